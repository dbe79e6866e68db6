"""The section [aws] of a plan: who makes what is on AWS, and of what."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from migrator.plan.section import Section

Arn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:(\d{12})?:.+$")]
TagText = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[\w .:/=+@-]+$")]
"""AWS allows letters, digits, spaces and _.:/=+-@ in tags."""

RESERVED = ("project", "owner", "migrator-plan", "migrator-managed-by")


class Aws(Section):
    """What the Limitless cluster on AWS is made of, and by whom: this tool or Terraform, never both."""

    managed_by: Literal["migrator", "terraform"] = Field(
        "migrator",
        description="Who makes, changes and deletes the Limitless cluster: `migrator cluster`, or Terraform "
        "(infra/terraform); the other one refuses.",
    )
    region: str | None = Field(None, pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", description="AWS Region of both.")
    project: TagText | None = Field(None, description="Tag `project` of everything made; without it the plan's name.")
    owner: TagText | None = Field(None, description="Tag `owner` of everything made: a team, a mailing list.")
    tags: dict[TagText, TagText] = Field(default={}, max_length=40, description="More tags of everything made.")
    subnet_group: str | None = Field(
        None, description="DB subnet group of the cluster; Terraform makes one where none is named."
    )
    security_groups: list[Annotated[str, Field(pattern=r"^sg-[0-9a-f]+$")]] = Field(
        default=[], description="Security groups of the cluster; Terraform makes one where none is named."
    )
    parameter_group: str | None = Field(
        None, description="DB cluster parameter group; Terraform makes one where none is named, AWS has a default."
    )
    kms_key_id: str | None = Field(
        None, description="ARN of the storage's key; Terraform makes one where none is named, AWS has a default."
    )
    monitoring_role_arn: Arn | None = Field(
        None, description="Role of Enhanced Monitoring, which Limitless requires; Terraform makes one."
    )
    monitoring_interval_s: Literal[1, 5, 10, 15, 30, 60] = Field(
        30, description="Seconds between two looks of Enhanced Monitoring."
    )
    master_username: str = Field(
        "postgres", pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$", description="Master user of the cluster."
    )
    deletion_protection: bool = Field(
        True, description="AWS refuses to delete the cluster until this is false and was applied."
    )
    auto_minor_version_upgrade: bool = Field(
        False,
        description="AWS upgrades minor versions by itself, in the maintenance window: what the audit judged and the "
        "probe asked is then another version's.",
    )
    backup_retention_days: int = Field(7, ge=1, le=35, description="Days that AWS keeps automated backups.")

    @model_validator(mode="after")
    def _tags(self) -> Self:
        if taken := sorted(set(self.tags) & set(RESERVED)):
            raise ValueError(f"tags {', '.join(taken)} are set from other fields")
        if reserved := sorted(key for key in self.tags if key.lower().startswith("aws:")):
            raise ValueError(f"tags {', '.join(reserved)} begin with aws:, which AWS keeps for itself")
        return self

"""The part of a plan that says where dossiers go, and what signs them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from migrator.plan.section import Section, secret_reference

_KMS = re.compile(r"^aws-kms:\S+$")

DossierKey = Annotated[str, AfterValidator(lambda value: value if _KMS.match(value) else secret_reference(value))]


class Dossiers(Section):
    """Fields of [decommission]."""

    dossier: str | None = Field(
        None,
        min_length=1,
        description="Where the dossier is written before classic is retired: s3://bucket/name, or a path; with / at "
        "its end a folder. Without it: a file in the home of the worker that writes it.",
        examples=["s3://audit-evidence/migrations/"],
    )
    dossier_key: DossierKey | None = Field(
        None,
        description="What signs it: an Ed25519 key in PEM as env:NAME, file:PATH or aws-secret:ID, or aws-kms:KEY, "
        "which stays in AWS KMS. Without it the dossier is not signed.",
    )
    dossier_fingerprint: str | None = Field(
        None,
        pattern=r"^sha256:[0-9a-f]{64}$",
        description="Fingerprint of that key: another one signs nothing, and is trusted by no command with this plan.",
    )
    dossier_kms_key_id: str | None = Field(
        None, description="S3 encrypts the dossier with this KMS key; without it as the bucket says."
    )
    dossier_retain_days: float | None = Field(
        None,
        gt=0,
        le=36_500,
        description="S3 locks the dossier for so long (Object Lock, COMPLIANCE): no account can delete it.",
    )

    @field_validator("dossier")
    @classmethod
    def _place(cls, value: str | None) -> str | None:
        if value is not None and ("://" in value and not re.match(r"^s3://[^/]+/.+$", value)):
            raise ValueError("the dossier goes to s3://bucket/name (or s3://bucket/folder/), or to a path")
        return value

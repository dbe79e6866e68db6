"""What a Limitless cluster is made of: one row for each setting, for AWS' API and for Terraform alike. Pure.

Sources: Aurora User Guide, "Creating a DB cluster that uses Aurora PostgreSQL Limitless Database", the RDS API
reference, and the documentation of Terraform's AWS provider (all read 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DATABASE_INSIGHTS_DAYS = 465
"""Performance Insights retention that advanced Database Insights requires."""

PLAN_TAG = "migrator-plan"
OWNER_TAG = "migrator-managed-by"


@dataclass(frozen=True)
class Wanted:
    """The cluster to make. What is None is left to AWS, and not compared.

    Attributes:
        monitoring_role_arn: Enhanced Monitoring is required for Limitless, and needs a role.
        master_password: looked up only when a cluster is created; never stored or shown.
    """

    cluster_id: str
    shard_group_id: str
    engine_version: str
    min_acu: float
    max_acu: float
    compute_redundancy: int
    subnet_group: str | None = None
    security_groups: tuple[str, ...] = ()
    parameter_group: str | None = None
    monitoring_role_arn: str | None = None
    monitoring_interval_s: int = 30
    master_username: str = "postgres"
    master_password: Callable[[], str] | None = field(default=None, repr=False)
    kms_key_id: str | None = None
    deletion_protection: bool = True
    auto_minor_version_upgrade: bool = False
    backup_retention_days: int = 7
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, under all its names.

    Attributes:
        parameter: of the call that creates; argument: of Terraform's resource.
        described: key in what AWS tells of it.
        modify: parameter of the call that changes it; None: it cannot be changed.
        words: what messages call it.
        read: takes the value out of what AWS tells under *described*.
    """

    parameter: str
    argument: str
    value: Callable[[Wanted], Any]
    described: str
    modify: str | None
    words: str
    read: Callable[[Any], Any] = lambda told: told
    same: Callable[[Any, Any], bool] = lambda wanted, told: bool(wanted == told)


def _same_set(wanted: Sequence[str], told: Sequence[str]) -> bool:
    return set(wanted) == set(told)


def _all_in(wanted: Sequence[str], told: Sequence[str]) -> bool:
    return set(wanted) <= set(told)


def _same_key(wanted: str, told: str) -> bool:
    """AWS tells the key's ARN; an alias leads to a key that only KMS knows."""
    return wanted.startswith("alias/") or ":alias/" in wanted or told == wanted or told.endswith(f"/{wanted}")


def _ids(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(group["VpcSecurityGroupId"]) for group in groups]


def _settled(value: Any) -> Callable[[Wanted], Any]:
    return lambda _: value


CLUSTER = (
    Setting("Engine", "engine", _settled("aurora-postgresql"), "Engine", None, "engine"),
    Setting(
        "EngineVersion", "engine_version", lambda w: w.engine_version, "EngineVersion", "EngineVersion",
        "engine version",
    ),
    Setting(
        "ClusterScalabilityType", "cluster_scalability_type", _settled("limitless"), "ClusterScalabilityType", None,
        "scalability type",
    ),
    Setting("StorageType", "storage_type", _settled("aurora-iopt1"), "StorageType", None, "storage"),
    Setting("StorageEncrypted", "storage_encrypted", _settled(True), "StorageEncrypted", None, "encryption"),
    Setting("KmsKeyId", "kms_key_id", lambda w: w.kms_key_id, "KmsKeyId", None, "encryption key", same=_same_key),
    Setting("MasterUsername", "master_username", lambda w: w.master_username, "MasterUsername", None, "master user"),
    Setting(
        "DBSubnetGroupName", "db_subnet_group_name", lambda w: w.subnet_group, "DBSubnetGroup", None, "subnet group"
    ),
    Setting(
        "VpcSecurityGroupIds", "vpc_security_group_ids", lambda w: list(w.security_groups) or None,
        "VpcSecurityGroups", "VpcSecurityGroupIds", "security groups", _ids, _same_set,
    ),
    Setting(
        "DBClusterParameterGroupName", "db_cluster_parameter_group_name", lambda w: w.parameter_group,
        "DBClusterParameterGroup", "DBClusterParameterGroupName", "parameter group",
    ),
    Setting(
        "DatabaseInsightsMode", "database_insights_mode", _settled("advanced"), "DatabaseInsightsMode",
        "DatabaseInsightsMode", "Database Insights",
    ),
    Setting(
        "EnablePerformanceInsights", "performance_insights_enabled", _settled(True), "PerformanceInsightsEnabled",
        "EnablePerformanceInsights", "Performance Insights",
    ),
    Setting(
        "PerformanceInsightsRetentionPeriod", "performance_insights_retention_period",
        _settled(DATABASE_INSIGHTS_DAYS), "PerformanceInsightsRetentionPeriod", "PerformanceInsightsRetentionPeriod",
        "days of Performance Insights",
    ),
    Setting(
        "MonitoringInterval", "monitoring_interval", lambda w: w.monitoring_interval_s, "MonitoringInterval",
        "MonitoringInterval", "seconds between two looks of Enhanced Monitoring",
    ),
    Setting(
        "MonitoringRoleArn", "monitoring_role_arn", lambda w: w.monitoring_role_arn, "MonitoringRoleArn",
        "MonitoringRoleArn", "role of Enhanced Monitoring",
    ),
    Setting(
        "EnableCloudwatchLogsExports", "enabled_cloudwatch_logs_exports", _settled(["postgresql"]),
        "EnabledCloudwatchLogsExports", "CloudwatchLogsExportConfiguration", "exported logs", list, _all_in,
    ),
    Setting(
        "EnableIAMDatabaseAuthentication", "iam_database_authentication_enabled", _settled(True),
        "IAMDatabaseAuthenticationEnabled", "EnableIAMDatabaseAuthentication", "IAM authentication",
    ),
    Setting(
        "DeletionProtection", "deletion_protection", lambda w: w.deletion_protection, "DeletionProtection",
        "DeletionProtection", "deletion protection",
    ),
    Setting(
        "AutoMinorVersionUpgrade", "auto_minor_version_upgrade", lambda w: w.auto_minor_version_upgrade,
        "AutoMinorVersionUpgrade", "AutoMinorVersionUpgrade", "automatic minor upgrades",
    ),
    Setting(
        "BackupRetentionPeriod", "backup_retention_period", lambda w: w.backup_retention_days,
        "BackupRetentionPeriod", "BackupRetentionPeriod", "days of backups",
    ),
    Setting(
        "CopyTagsToSnapshot", "copy_tags_to_snapshot", _settled(True), "CopyTagsToSnapshot", "CopyTagsToSnapshot",
        "tags on snapshots",
    ),
)  # fmt: skip

SHARD_GROUP = (
    Setting("MinACU", "min_acu", lambda w: w.min_acu, "MinACU", "MinACU", "smallest capacity (ACU)"),
    Setting("MaxACU", "max_acu", lambda w: w.max_acu, "MaxACU", "MaxACU", "largest capacity (ACU)"),
    Setting(
        "ComputeRedundancy", "compute_redundancy", lambda w: w.compute_redundancy, "ComputeRedundancy",
        "ComputeRedundancy", "standbys per shard",
    ),
    Setting(
        "PubliclyAccessible", "publicly_accessible", _settled(False), "PubliclyAccessible", None, "public access"
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that AWS has otherwise than the plan.

    Attributes:
        what: "cluster" or "shard group".
        changes: `migrator cluster create` changes it; else only another cluster, or another plan, does.
    """

    what: str
    setting: str
    found: Any
    wanted: Any
    changes: bool

    def __str__(self) -> str:
        return f"{self.setting}: {shown(self.found)} → {shown(self.wanted)}"


def shown(value: Any) -> str:
    """Return a setting's value in words."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def creation(settings: Sequence[Setting], wanted: Wanted) -> dict[str, Any]:
    """Return the parameters of the call that creates, without what is left to AWS."""
    values = {setting.parameter: setting.value(wanted) for setting in settings}
    return {name: value for name, value in values.items() if value is not None}


def differing(settings: Sequence[Setting], wanted: Wanted, told: Mapping[str, Any]) -> list[Setting]:
    """Return the settings that AWS tells otherwise. What it does not tell is no difference: see `untold`."""
    found = []
    for setting in settings:
        value = setting.value(wanted)
        if value is None or told.get(setting.described) is None:
            continue
        if not setting.same(value, setting.read(told[setting.described])):
            found.append(setting)
    return found


def untold(settings: Sequence[Setting], wanted: Wanted, told: Mapping[str, Any]) -> list[str]:
    """Return what AWS says nothing of, in words: whether it is as planned is not known."""
    return [s.words for s in settings if s.value(wanted) is not None and told.get(s.described) is None]


def differences(
    what: str, settings: Sequence[Setting], wanted: Wanted, told: Mapping[str, Any]
) -> tuple[Difference, ...]:
    """Return how AWS' *told* differs from *wanted*."""
    return tuple(
        Difference(what, s.words, s.read(told[s.described]), s.value(wanted), _may_change(s, wanted, told))
        for s in differing(settings, wanted, told)
    )


def modification(settings: Sequence[Setting], wanted: Wanted, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the call that changes what differs and can be changed; empty when nothing does."""
    changed: dict[str, Any] = {}
    for setting in differing(settings, wanted, told):
        if setting.modify is None or not _may_change(setting, wanted, told):
            continue
        value = setting.value(wanted)
        changed[setting.modify] = (
            {"EnableLogTypes": value} if setting.modify == "CloudwatchLogsExportConfiguration" else value
        )
    return changed


def missing_tags(wanted: Wanted, told: Mapping[str, Any]) -> dict[str, str]:
    """Return tags that lack or differ; other tags of the cluster are its owners' business."""
    if "TagList" not in told:
        return {}
    present = tags_of(told)
    return {key: value for key, value in wanted.tags.items() if present.get(key) != value}


def tags_of(told: Mapping[str, Any]) -> dict[str, str]:
    return {str(tag["Key"]): str(tag.get("Value", "")) for tag in told.get("TagList") or ()}


def foreign(wanted: Wanted, told: Mapping[str, Any]) -> str | None:
    """Return why the cluster is not this plan's to change; None when it is, or AWS tells no tags."""
    if "TagList" not in told:
        return None
    tags = tags_of(told)
    for key, value in ((PLAN_TAG, wanted.tags.get(PLAN_TAG)), (OWNER_TAG, wanted.tags.get(OWNER_TAG))):
        if value is None or tags.get(key) == value or (key == OWNER_TAG and key not in tags):
            continue
        has = f"{key}={tags[key]}" if key in tags else f"no tag {key}"
        return f"cluster {wanted.cluster_id} has {has}, the plan's is {key}={value}: tag it so to hand it over"
    return None


_VERSION = re.compile(r"^(\d+)\.(\d+)(?:\.(\d+))?-limitless$")


def version_problem(wanted: str, runs: str) -> str | None:
    """Return why a cluster that *runs* one version cannot be brought to another; None when it can, or is there."""
    if wanted == runs:
        return None
    new, old = _VERSION.match(wanted), _VERSION.match(runs)
    if not new or not old:
        return f"it runs {runs}, the plan says {wanted}"
    to, since = ([int(part or 0) for part in found.groups()] for found in (new, old))
    if to[0] != since[0]:
        return f"it runs {runs}, the plan says {wanted}: another major version takes another cluster"
    if to < since:
        return f"it runs {runs}, the plan says {wanted}: put the newer version into the plan, there is no way back"
    return None


def _may_change(setting: Setting, wanted: Wanted, told: Mapping[str, Any]) -> bool:
    if setting.modify is None:
        return False
    return setting.parameter != "EngineVersion" or version_problem(wanted.engine_version, told["EngineVersion"]) is None

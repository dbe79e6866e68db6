"""Every call to AWS in this tool's code, the IAM action it needs, and who makes it. Values only.

A test reads the code and holds this table to it, call by call; the policies in infra/terraform are made of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Duty(StrEnum):
    """What a right is for. A worker has those that its plan needs; `make` belongs to who runs `migrator cluster`."""

    OBSERVE = "observe"  # clusters and what they cost, once a minute or an hour
    SECRETS = "secrets"  # connection strings, tokens
    LOGIN = "login"  # tokens of IAM in the place of passwords
    NOTIFY = "notify"  # receivers of notifications
    RETIRE = "retire"  # classic's last snapshot, its stop and its deletion
    DRILL = "drill"  # classic's last copy, restored beside it and deleted again
    EVIDENCE = "evidence"  # the dossier: where it is kept, and what signs it
    EXPLAIN = "explain"  # doctor asks about its own rights
    MAKE = "make"  # the Limitless cluster


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a boto3 client.

    Attributes:
        service: as boto3 names its client.
        method: of the client.
        action: what IAM calls it; None where it needs no right.
    """

    service: str
    method: str
    action: str | None
    duty: Duty


CALLS = (
    Call("rds", "describe_db_clusters", "rds:DescribeDBClusters", Duty.OBSERVE),
    Call("rds", "describe_db_instances", "rds:DescribeDBInstances", Duty.OBSERVE),
    Call("rds", "describe_db_shard_groups", "rds:DescribeDBShardGroups", Duty.OBSERVE),
    Call("rds", "describe_db_engine_versions", "rds:DescribeDBEngineVersions", Duty.OBSERVE),
    Call("rds", "describe_integrations", "rds:DescribeIntegrations", Duty.OBSERVE),
    Call("cloudwatch", "get_metric_data", "cloudwatch:GetMetricData", Duty.OBSERVE),
    Call("cloudwatch", "get_metric_statistics", "cloudwatch:GetMetricStatistics", Duty.OBSERVE),
    Call("cloudwatch", "list_metrics", "cloudwatch:ListMetrics", Duty.OBSERVE),
    Call("secretsmanager", "get_secret_value", "secretsmanager:GetSecretValue", Duty.SECRETS),
    Call("sns", "publish", "sns:Publish", Duty.NOTIFY),
    Call("sts", "get_caller_identity", None, Duty.EXPLAIN),
    Call("iam", "simulate_principal_policy", "iam:SimulatePrincipalPolicy", Duty.EXPLAIN),
    Call("rds", "create_db_cluster_snapshot", "rds:CreateDBClusterSnapshot", Duty.RETIRE),
    Call("rds", "describe_db_cluster_snapshots", "rds:DescribeDBClusterSnapshots", Duty.RETIRE),
    Call("rds", "stop_db_cluster", "rds:StopDBCluster", Duty.RETIRE),
    Call("rds", "start_db_cluster", "rds:StartDBCluster", Duty.RETIRE),
    Call("rds", "delete_db_instance", "rds:DeleteDBInstance", Duty.RETIRE),
    Call("rds", "delete_db_cluster", "rds:DeleteDBCluster", Duty.RETIRE),
    Call("rds", "delete_db_cluster_snapshot", "rds:DeleteDBClusterSnapshot", Duty.RETIRE),
    Call("rds", "restore_db_cluster_from_snapshot", "rds:RestoreDBClusterFromSnapshot", Duty.DRILL),
    Call("rds", "create_db_instance", "rds:CreateDBInstance", Duty.DRILL),
    Call("s3", "put_object", "s3:PutObject", Duty.EVIDENCE),
    Call("s3", "get_object", "s3:GetObject", Duty.EVIDENCE),
    Call("s3", "get_object_lock_configuration", "s3:GetBucketObjectLockConfiguration", Duty.EVIDENCE),
    Call("s3", "get_bucket_versioning", "s3:GetBucketVersioning", Duty.EVIDENCE),
    Call("kms", "get_public_key", "kms:GetPublicKey", Duty.EVIDENCE),
    Call("kms", "sign", "kms:Sign", Duty.EVIDENCE),
    Call("rds", "create_db_cluster", "rds:CreateDBCluster", Duty.MAKE),
    Call("rds", "modify_db_cluster", "rds:ModifyDBCluster", Duty.MAKE),
    Call("rds", "create_db_shard_group", "rds:CreateDBShardGroup", Duty.MAKE),
    Call("rds", "modify_db_shard_group", "rds:ModifyDBShardGroup", Duty.MAKE),
    Call("rds", "delete_db_shard_group", "rds:DeleteDBShardGroup", Duty.MAKE),
    Call("rds", "add_tags_to_resource", "rds:AddTagsToResource", Duty.MAKE),
    Call("rds", "describe_db_subnet_groups", "rds:DescribeDBSubnetGroups", Duty.MAKE),
    Call("rds", "describe_db_cluster_parameter_groups", "rds:DescribeDBClusterParameterGroups", Duty.MAKE),
    Call("ec2", "describe_security_groups", "ec2:DescribeSecurityGroups", Duty.MAKE),
    Call("kms", "describe_key", "kms:DescribeKey", Duty.MAKE),
    Call("iam", "get_role", "iam:GetRole", Duty.MAKE),
)


@dataclass(frozen=True, slots=True)
class Implied:
    """A right that no call of ours is named after: AWS asks for it while it carries one out."""

    action: str
    duty: Duty
    why: str


IMPLIED = (
    Implied("kms:Decrypt", Duty.SECRETS, "secrets are encrypted with a key of the account"),
    Implied("rds-db:connect", Duty.LOGIN, "a token is signed on this machine; RDS asks for the right when it is used"),
    Implied("rds:AddTagsToResource", Duty.RETIRE, "the last snapshot is made with the cluster's tags"),
    Implied("rds:AddTagsToResource", Duty.DRILL, "what a drill makes is told by its tag"),
    Implied("rds:DeleteDBInstance", Duty.DRILL, "a drill deletes what it made"),
    Implied("rds:DeleteDBCluster", Duty.DRILL, "a drill deletes what it made"),
    Implied("kms:CreateGrant", Duty.DRILL, "RDS uses the snapshot's key by a grant"),
    Implied("kms:DescribeKey", Duty.DRILL, "RDS asks for the snapshot's key"),
    Implied("s3:PutObjectRetention", Duty.EVIDENCE, "the dossier is locked as the plan says"),
    Implied("kms:GenerateDataKey", Duty.EVIDENCE, "the bucket's or the plan's key encrypts it"),
    Implied("kms:Decrypt", Duty.EVIDENCE, "it is read back"),
    Implied("rds:CreateDBClusterSnapshot", Duty.MAKE, "a cluster is deleted with a last snapshot"),
    Implied("rds:DescribeDBClusterSnapshots", Duty.MAKE, "a last snapshot is waited for"),
    Implied("rds:DeleteDBCluster", Duty.MAKE, "migrator cluster delete"),
    Implied("iam:PassRole", Duty.MAKE, "Enhanced Monitoring is given its role"),
    Implied("kms:CreateGrant", Duty.MAKE, "RDS uses the storage's key by a grant"),
    Implied("kms:GenerateDataKeyWithoutPlaintext", Duty.MAKE, "RDS encrypts the storage with the key"),
)


def actions_of(duties: Iterable[Duty]) -> tuple[str, ...]:
    """Return the IAM actions of *duties*, each once, in the table's order."""
    wanted = set(duties)
    found = [call.action for call in CALLS if call.duty in wanted and call.action]
    return tuple(dict.fromkeys([*found, *(implied.action for implied in IMPLIED if implied.duty in wanted)]))


def action_of(service: str, method: str) -> str:
    """Return what IAM calls a call of ours; the call itself where it needs no right."""
    found = next((call.action for call in CALLS if (call.service, call.method) == (service, method)), None)
    return found or f"{service}:{method}"


def by_duty() -> dict[str, list[str]]:
    """Return the table for infra/terraform: the actions of each duty."""
    return {duty.value: list(actions_of([duty])) for duty in Duty}

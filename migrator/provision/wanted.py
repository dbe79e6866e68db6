"""The Limitless cluster that a plan describes, for AWS' API and for Terraform alike. Pure."""

from __future__ import annotations

from migrator.aws.cluster import OWNER_TAG, PLAN_TAG, Wanted
from migrator.errors import UsageError
from migrator.plan.schema import Plan


def wanted_of(plan: Plan) -> Wanted:
    """Return what the plan says of the cluster; its master password is no part of a plan.

    Raises:
        UsageError: the plan names no cluster on AWS.
    """
    limitless, aws = plan.limitless, plan.aws
    if not (limitless.cluster_id and limitless.shard_group_id):
        raise UsageError(
            "the plan names no cluster to provision", hint="Set limitless.cluster_id and limitless.shard_group_id."
        )
    return Wanted(
        cluster_id=limitless.cluster_id,
        shard_group_id=limitless.shard_group_id,
        engine_version=limitless.engine_version,
        min_acu=limitless.min_acu,
        max_acu=limitless.max_acu,
        compute_redundancy=limitless.compute_redundancy,
        subnet_group=aws.subnet_group,
        security_groups=tuple(aws.security_groups),
        parameter_group=aws.parameter_group,
        monitoring_role_arn=aws.monitoring_role_arn,
        monitoring_interval_s=aws.monitoring_interval_s,
        master_username=aws.master_username,
        kms_key_id=aws.kms_key_id,
        deletion_protection=aws.deletion_protection,
        auto_minor_version_upgrade=aws.auto_minor_version_upgrade,
        backup_retention_days=aws.backup_retention_days,
        tags=tags_of(plan),
    )


def tags_of(plan: Plan) -> dict[str, str]:
    """Return the tags of everything that is made for this plan."""
    owner = {"owner": plan.aws.owner} if plan.aws.owner else {}
    return {
        **plan.aws.tags,
        "project": plan.aws.project or plan.name,
        **owner,
        PLAN_TAG: plan.name,
        OWNER_TAG: plan.aws.managed_by,
    }

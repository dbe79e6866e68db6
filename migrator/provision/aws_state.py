"""What AWS has, against what is wanted: state, drift, and what keeps it from being changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migrator.aws.cluster import (
    CLUSTER,
    SHARD_GROUP,
    Difference,
    Wanted,
    differences,
    foreign,
    missing_tags,
    untold,
    version_problem,
)
from migrator.provision.cluster import ClusterState

ABSENT = "absent"
BAD = (
    "failed", "incompatible-network", "incompatible-parameters", "incompatible-restore", "storage-full",
    "inaccessible-encryption-credentials", "inaccessible-encryption-credentials-recoverable",
)  # fmt: skip
"""States that end by nothing but a person's work."""

Told = Mapping[str, Any]
"""A cluster, shard group or snapshot as RDS describes it; empty where there is none."""


def state_of(wanted: Wanted, cluster: Told, group: Told) -> ClusterState:
    return ClusterState(
        cluster=cluster.get("Status", ABSENT),
        shard_group=group.get("Status", ABSENT),
        endpoint=cluster.get("Endpoint") or group.get("Endpoint"),
        engine_version=cluster.get("EngineVersion"),
        min_acu=group.get("MinACU"),
        max_acu=group.get("MaxACU"),
        compute_redundancy=group.get("ComputeRedundancy"),
        differences=drift(wanted, cluster, group),
        untold=(
            *(untold(CLUSTER, wanted, cluster) if cluster else ()),
            *(untold(SHARD_GROUP, wanted, group) if group else ()),
        ),
    )


def drift(wanted: Wanted, cluster: Told, group: Told) -> tuple[Difference, ...]:
    """Return every setting and tag that AWS has otherwise than the plan."""
    tags = tuple(
        Difference(what, f"tag {key}", "none", value, True)
        for what, told in (("cluster", cluster), ("shard group", group))
        for key, value in missing_tags(wanted, told).items()
    )
    return (
        *differences("cluster", CLUSTER, wanted, cluster),
        *differences("shard group", SHARD_GROUP, wanted, group),
        *tags,
    )


def settled(told: Told) -> tuple[bool, str]:
    """Return whether AWS is done with it, and its state in words."""
    status = str(told.get("Status", ABSENT))
    pending = sorted(told.get("PendingModifiedValues") or ())
    return status == "available" and not pending, f"{status}, pending {', '.join(pending)}" if pending else status


def misfits(wanted: Wanted, cluster: Told, group: Told) -> list[str]:
    """Return what keeps the cluster that exists from becoming what is wanted."""
    found = []
    if cluster.get("EngineVersion") and (problem := version_problem(wanted.engine_version, cluster["EngineVersion"])):
        found.append(f"cluster {wanted.cluster_id}: {problem}")
    differing = drift(wanted, cluster, group)
    for difference in differing:
        if not difference.changes and difference.setting != "engine version":
            found.append(f"{difference.what}: {difference}; AWS cannot change that")
    if differing and (reason := foreign(wanted, cluster)):
        found.append(reason)
    return found


def removal_blockers(wanted: Wanted, cluster: Told) -> list[str]:
    """Return what keeps the cluster from being deleted."""
    blockers = []
    if cluster and (reason := foreign(wanted, cluster)):
        blockers.append(reason)
    if cluster.get("DeletionProtection") and cluster.get("Status") != "deleting":
        blockers.append(
            f"cluster {wanted.cluster_id} is protected from deletion: set aws.deletion_protection = false in the plan, "
            "then migrator cluster create applies it"
        )
    return blockers

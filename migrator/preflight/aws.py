"""Asks AWS what preflight wants to know: by reading, and by simulating rights. It changes nothing.

What is refused, or does not answer, is unknown and says so; one question that fails takes no other answer away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from migrator.doctor.aws import Aws as Client
from migrator.doctor.aws import Right
from migrator.errors import MigratorError
from migrator.plan.schema import Plan
from migrator.preflight.facts import Aws

Described = Mapping[str, Any]


def ask(plan: Plan, make: Callable[[Plan], Client] = Client) -> Aws:
    """Return what AWS says of both clusters of *plan*."""
    names = [name for name in (plan.classic.cluster_id, plan.limitless.cluster_id) if name]
    if not names and not plan.limitless.shard_group_id:
        return Aws()
    client, unknown = make(plan), []

    @contextmanager
    def trying(what: str) -> Iterator[None]:
        try:
            yield
        except MigratorError as error:
            unknown.append(f"{what} ({error})")

    clusters: dict[str, Described] = {}
    for name in names:
        with trying(f"cluster {name}"):
            found = (client.ask("rds", "describe_db_clusters", DBClusterIdentifier=name) or {}).get("DBClusters")
            if found:
                clusters[name] = found[0]
            else:
                unknown.append(f"cluster {name} (there is none of that name)")
    redundancy: int | None = None
    if group := plan.limitless.shard_group_id:
        with trying(f"shard group {group}"):
            answer = client.ask("rds", "describe_db_shard_groups", DBShardGroupIdentifier=group) or {}
            groups = answer.get("DBShardGroups") or [{}]
            if "ComputeRedundancy" in groups[0]:
                redundancy = int(groups[0]["ComputeRedundancy"])
            else:
                unknown.append(f"the redundancy of shard group {group}")
    newer, deprecated = {}, []
    for name, cluster in clusters.items():
        with trying(f"the engine version of {name}"):
            minor, old = _versions(client, cluster)
            newer.update({name: minor} if minor else {})
            deprecated += [name] if old else []
    integrations: tuple[str, ...] = ()
    classic = clusters.get(plan.classic.cluster_id or "")
    if classic is not None:
        with trying("zero-ETL integrations"):
            integrations = _integrations(client, str(classic.get("DBClusterArn", "")))
    denied: tuple[str, ...] | None = ()
    if plan.classic.cluster_id and plan.decommission.release_classic:
        try:
            rights: list[Right] = client.rights()
            denied = tuple(right.action for right in rights if not right.allowed)
        except MigratorError:
            denied = None
    return Aws(
        asked=True,
        regions={n: str(c.get("DBClusterArn", "")).split(":")[3] for n, c in clusters.items() if c.get("DBClusterArn")},
        protected={n: bool(c.get("DeletionProtection")) for n, c in clusters.items()},
        redundancy=redundancy,
        instances=len(classic.get("DBClusterMembers", ())) if classic is not None else None,
        denied=denied,
        newer=newer,
        deprecated=tuple(deprecated),
        integrations=integrations,
        unknown=tuple(unknown),
    )


def _versions(client: Client, cluster: Described) -> tuple[str, bool]:
    """Return the newest minor version a cluster could be brought to ('': none), and whether its own is deprecated."""
    engine, version = cluster.get("Engine", "aurora-postgresql"), cluster.get("EngineVersion", "")
    answer = client.ask("rds", "describe_db_engine_versions", Engine=engine, EngineVersion=version) or {}
    found = (answer.get("DBEngineVersions") or [{}])[0]
    minors = [t["EngineVersion"] for t in found.get("ValidUpgradeTarget", ()) if not t.get("IsMajorVersionUpgrade")]
    newest = max(minors, key=_numbers, default="")
    return newest, found.get("Status") == "deprecated"


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.partition("-")[0].split(".") if part.isdigit()]


def _integrations(client: Client, arn: str) -> tuple[str, ...]:
    answer = client.ask("rds", "describe_integrations", Filters=[{"Name": "source-arn", "Values": [arn]}]) or {}
    return tuple(str(one.get("IntegrationName", "unnamed")) for one in answer.get("Integrations", ()))

"""Creates and deletes a Limitless cluster on AWS.

Sources: Aurora User Guide, "Aurora PostgreSQL Limitless Database", and the RDS API reference (both read 2026-11).
RDS Proxy, read replicas and a managed master password do not exist for it; the cluster has no instances.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from migrator.errors import ClusterUnavailable, NoGo, PreconditionFailed, UsageError
from migrator.model.action import Action, Step, carry_out
from migrator.model.capacity import nodes_of
from migrator.poll import until
from migrator.provision.cluster import ClusterState, Progress

ABSENT = "absent"
DATABASE_INSIGHTS_DAYS = 465
"""Performance Insights retention that advanced Database Insights requires."""

_GONE = (
    "DBClusterSnapshotNotFoundFault",
    "DBClusterNotFoundFault",
    "DBShardGroupNotFound",
    "DBShardGroupNotFoundFault",
)
_EXISTS = ("DBClusterAlreadyExistsFault", "DBShardGroupAlreadyExists", "DBShardGroupAlreadyExistsFault")
_LATER = ("Throttling", "ThrottlingException", "RequestLimitExceeded", "ServiceUnavailable", "InternalFailure")
_BAD = ("failed", "incompatible-network", "incompatible-parameters", "storage-full")


def rds_client() -> Any:
    """Return a boto3 RDS client with this machine's region and credentials.

    Raises:
        UsageError: the AWS extra is not installed.
        ClusterUnavailable: no region or credentials.
    """
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise UsageError("AWS needs the AWS extra", hint="pip install 'migrator[aws]'") from None
    try:
        return boto3.client("rds")
    except BotoCoreError as error:
        raise ClusterUnavailable("AWS", type(error).__name__, "Set the region and credentials.") from None


@dataclass(frozen=True)
class Wanted:
    """The cluster to make.

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
    monitoring_role_arn: str | None = None
    master_username: str = "postgres"
    master_password: Callable[[], str] | None = field(default=None, repr=False)
    kms_key_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AwsProvisioner:
    """Makes what *wanted* says through *rds*; `sleep` and `clock` are replaced in tests."""

    wanted: Wanted
    rds: Any  # a boto3 RDS client: made at run time from AWS' own description of its API
    timeout_s: float = 45 * 60
    poll_s: float = 15.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def state(self) -> ClusterState:
        cluster, group = self._cluster(), self._group()
        return ClusterState(
            cluster=cluster.get("Status", ABSENT),
            shard_group=group.get("Status", ABSENT),
            endpoint=cluster.get("Endpoint") or group.get("Endpoint"),
            engine_version=cluster.get("EngineVersion"),
            min_acu=group.get("MinACU"),
            max_acu=group.get("MaxACU"),
            compute_redundancy=group.get("ComputeRedundancy"),
        )

    def actions(self) -> tuple[Action, ...]:
        """Return what `ensure` would do now.

        Raises:
            NoGo: what exists cannot be changed into what is wanted.
        """
        return tuple(step.action for step in self._steps())

    def _steps(self) -> tuple[Step[None], ...]:
        w, state = self.wanted, self.state()
        self._check(state)
        nodes = nodes_of(w.max_acu)
        todo = []
        if state.cluster == ABSENT:
            todo.append(
                Step[None](
                    Action(
                        f"cluster/aws/{w.cluster_id}",
                        f"Create DB cluster {w.cluster_id}, {w.engine_version}, storage aurora-iopt1",
                        f"migrator cluster delete (cluster {w.cluster_id})",
                    ),
                    lambda _: self._create_cluster(),
                )
            )
        if state.shard_group == ABSENT:
            todo.append(
                Step[None](
                    Action(
                        f"cluster/aws/{w.shard_group_id}",
                        f"Create DB shard group {w.shard_group_id}: {nodes.routers} routers, {nodes.shards} shards, "
                        f"{w.min_acu:g} to {w.max_acu:g} ACU, {w.compute_redundancy} standbys per shard",
                        f"migrator cluster delete (shard group {w.shard_group_id})",
                    ),
                    lambda _: self._add_group(),
                )
            )
        elif (state.min_acu, state.max_acu, state.compute_redundancy) != (w.min_acu, w.max_acu, w.compute_redundancy):
            todo.append(
                Step[None](
                    Action(
                        f"cluster/aws/{w.shard_group_id}/capacity",
                        f"Change {w.shard_group_id} to {w.min_acu:g} to {w.max_acu:g} ACU, {w.compute_redundancy} "
                        "standbys per shard (routers and shards stay as they are)",
                        "change it back",
                    ),
                    lambda _: self._modify_group(),
                )
            )
        return tuple(todo)

    def ensure(self, on_step: Progress | None = None) -> ClusterState:
        """Create what is missing, in order, and wait until both are available."""
        carry_out(self._steps(), None, on_step)
        self._wait("cluster", "available")
        self._wait("shard_group", "available")
        return self.state()

    def _add_group(self) -> None:
        self._wait("cluster", "available")  # a shard group needs a cluster that is available
        self._create_group()

    def remove(self, *, final_snapshot: str | None, on_step: Progress | None = None) -> ClusterState:
        """Delete the shard group, then the cluster; the storage goes with the cluster only."""
        w = self.wanted
        if self.state().shard_group not in (ABSENT, "deleting"):
            with self._aws("delete the shard group"):
                self.rds.delete_db_shard_group(DBShardGroupIdentifier=w.shard_group_id)
            if on_step:
                on_step(Action(f"cluster/aws/{w.shard_group_id}/delete", f"Delete shard group {w.shard_group_id}"))
        self._wait("shard_group", ABSENT)
        deleted = False
        if self.state().cluster not in (ABSENT, "deleting"):
            last: dict[str, Any] = (
                {"SkipFinalSnapshot": False, "FinalDBSnapshotIdentifier": final_snapshot}
                if final_snapshot
                else {"SkipFinalSnapshot": True}
            )
            with self._aws("delete the cluster"):
                self.rds.delete_db_cluster(DBClusterIdentifier=w.cluster_id, **last)
            deleted = True
            if on_step:
                kept = f", last snapshot {final_snapshot}" if final_snapshot else ", without a snapshot"
                on_step(Action(f"cluster/aws/{w.cluster_id}/delete", f"Delete cluster {w.cluster_id}{kept}"))
        self._wait("cluster", ABSENT)
        if final_snapshot:
            self._wait_for_snapshot(final_snapshot, deleted)
        return self.state()

    # -- details -----------------------------------------------------------------------------------------

    def _check(self, state: ClusterState) -> None:
        w, blockers = self.wanted, []
        if w.min_acu > w.max_acu:
            blockers.append(f"min_acu {w.min_acu:g} is above max_acu {w.max_acu:g}")
        if state.engine_version and state.engine_version != w.engine_version:
            blockers.append(f"cluster {w.cluster_id} runs {state.engine_version}, the plan says {w.engine_version}")
        if state.cluster == ABSENT and state.shard_group != ABSENT:
            blockers.append(f"shard group {w.shard_group_id} belongs to another cluster")
        for what, status in (("cluster", state.cluster), ("shard group", state.shard_group)):
            if status in _BAD:
                blockers.append(f"the {what} is {status}; see its events in the RDS console")
        if blockers:
            raise NoGo("cluster", blockers)

    def _create_cluster(self) -> None:
        w = self.wanted
        if w.master_password is None or w.monitoring_role_arn is None:
            missing = "a master password" if w.master_password is None else "a monitoring role"
            raise UsageError(f"a new Limitless cluster needs {missing}", hint="See: migrator cluster create --help")
        given: dict[str, Any] = {
            "DBSubnetGroupName": w.subnet_group,
            "VpcSecurityGroupIds": list(w.security_groups) or None,
            "KmsKeyId": w.kms_key_id,
            "Tags": [{"Key": k, "Value": v} for k, v in w.tags.items()] or None,
        }
        with self._aws("create the cluster"):
            self.rds.create_db_cluster(
                DBClusterIdentifier=w.cluster_id,
                Engine="aurora-postgresql",
                EngineVersion=w.engine_version,
                ClusterScalabilityType="limitless",
                StorageType="aurora-iopt1",
                StorageEncrypted=True,
                MasterUsername=w.master_username,
                MasterUserPassword=w.master_password(),
                DatabaseInsightsMode="advanced",
                EnablePerformanceInsights=True,
                PerformanceInsightsRetentionPeriod=DATABASE_INSIGHTS_DAYS,
                MonitoringInterval=30,
                MonitoringRoleArn=w.monitoring_role_arn,
                EnableCloudwatchLogsExports=["postgresql"],
                EnableIAMDatabaseAuthentication=True,
                DeletionProtection=False,  # the tool asks before it deletes, and takes a snapshot
                **{name: value for name, value in given.items() if value is not None},
            )

    def _create_group(self) -> None:
        w = self.wanted
        with self._aws("create the shard group"):
            self.rds.create_db_shard_group(
                DBShardGroupIdentifier=w.shard_group_id,
                DBClusterIdentifier=w.cluster_id,
                MinACU=w.min_acu,
                MaxACU=w.max_acu,
                ComputeRedundancy=w.compute_redundancy,
                PubliclyAccessible=False,
            )

    def _modify_group(self) -> None:
        w = self.wanted
        with self._aws("change the shard group"):
            self.rds.modify_db_shard_group(
                DBShardGroupIdentifier=w.shard_group_id,
                MinACU=w.min_acu,
                MaxACU=w.max_acu,
                ComputeRedundancy=w.compute_redundancy,
            )

    def _cluster(self) -> Mapping[str, Any]:
        with self._aws("describe the cluster", gone_is_fine=True):
            found = self.rds.describe_db_clusters(DBClusterIdentifier=self.wanted.cluster_id)["DBClusters"]
            return found[0] if found else {}
        return {}

    def _group(self) -> Mapping[str, Any]:
        with self._aws("describe the shard group", gone_is_fine=True):
            answer = self.rds.describe_db_shard_groups(DBShardGroupIdentifier=self.wanted.shard_group_id)
            found = [g for g in answer["DBShardGroups"] if g.get("DBClusterIdentifier") == self.wanted.cluster_id]
            if answer["DBShardGroups"] and not found:
                raise NoGo("cluster", [f"shard group {self.wanted.shard_group_id} belongs to another cluster"])
            return found[0] if found else {}
        return {}

    def _wait(self, part: str, wanted: str) -> None:
        name = part.replace("_", " ")

        def look() -> tuple[bool, str]:
            state = self.state()
            found: str = getattr(state, part)
            if found in _BAD and found != wanted:
                raise PreconditionFailed(f"the {name} is {found}", hint="See its events in the RDS console.")
            sized = part != "shard_group" or wanted != "available" or self._has_capacity(state)
            return found == wanted and sized, found

        reached, found = self._until(look)
        if not reached:
            raise ClusterUnavailable(
                "AWS",
                f"the {name} is still {found} after {self.timeout_s / 60:.0f} min",
                "Run the same command again: it goes on waiting.",
            )

    def _until(self, look: Callable[[], tuple[bool, str]]) -> tuple[bool, str]:
        """Ask AWS until a state is reached, or the time is up; *look* returns whether it is, and the state."""
        return until(
            look, self.timeout_s, self.poll_s, done=lambda answer: answer[0], clock=self.clock, sleep=self.sleep
        )

    def _has_capacity(self, state: ClusterState) -> bool:
        """Whether a change of capacity has taken effect: a shard group is still "available" right after the request."""
        w = self.wanted
        return (state.min_acu, state.max_acu, state.compute_redundancy) == (w.min_acu, w.max_acu, w.compute_redundancy)

    def _wait_for_snapshot(self, name: str, deleted: bool) -> None:
        """Return when the last snapshot is finished: a cluster may be deleted before its snapshot is finished.

        Args:
            deleted: by this call, so that there must be one.
        """

        def look() -> tuple[bool, str]:
            answer: Mapping[str, Any] = {}
            with self._aws("describe the last snapshot", gone_is_fine=True):
                answer = self.rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=name)
            status = next((str(s["Status"]) for s in answer.get("DBClusterSnapshots", ())), ABSENT)
            if status == "failed":
                raise PreconditionFailed(f"the last snapshot {name} failed", hint="See its events in the RDS console.")
            return status == "available" or (status == ABSENT and not deleted), status

        reached, status = self._until(look)
        if not reached:
            raise ClusterUnavailable(
                "AWS", f"the last snapshot {name} is still {status}", "Run the same command again: it waits for it."
            )

    @contextmanager
    def _aws(self, what: str, *, gone_is_fine: bool = False) -> Iterator[None]:
        """Translate AWS' errors; creating what exists and deleting what is missing count as done."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            message = error.response.get("Error", {}).get("Message", "")
            if code in _EXISTS or (code in _GONE and (gone_is_fine or what.startswith("delete"))):
                return
            if code in _LATER:
                raise ClusterUnavailable("AWS", f"it answers {code}", "Try again.") from None
            raise PreconditionFailed(f"AWS refuses to {what}: {code}: {message}") from None
        except BotoCoreError as error:
            raise ClusterUnavailable(
                "AWS", type(error).__name__, "Check region and credentials of this machine."
            ) from None

"""Makes, changes and deletes a Limitless cluster on AWS, to what `migrator.aws.cluster` says of it.

Sources: Aurora User Guide, "Aurora PostgreSQL Limitless Database", and the RDS API reference (both read 2026-11).
RDS Proxy, read replicas and a managed master password do not exist for it; the cluster has no instances.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from migrator.aws.answers import Refused, asking, client
from migrator.aws.cluster import (
    CLUSTER,
    SHARD_GROUP,
    Difference,
    Setting,
    Wanted,
    creation,
    differences,
    missing_tags,
    modification,
)
from migrator.aws.ground import look, problems
from migrator.errors import ClusterUnavailable, NoGo, PreconditionFailed, UsageError
from migrator.model.action import Action, Step, carry_out
from migrator.model.capacity import nodes_of
from migrator.poll import until
from migrator.provision.aws_state import ABSENT, BAD, Told, misfits, removal_blockers, settled, state_of
from migrator.provision.cluster import ClusterState, Progress

_INSIST_S = 300.0
_NOT_YET = frozenset(
    (
        "InvalidDBClusterStateFault", "InvalidDBShardGroupState", "InvalidDBShardGroupStateFault",
        "DBClusterNotFoundFault", "DBShardGroupNotFound", "DBShardGroupNotFoundFault",
    )
)  # fmt: skip
"""Answers to a call that changes what was seen a moment ago."""

_NO_CLUSTER = frozenset(("DBClusterNotFoundFault",))
_NO_GROUP = frozenset(("DBShardGroupNotFound", "DBShardGroupNotFoundFault"))
_NO_SNAPSHOT = frozenset(("DBClusterSnapshotNotFoundFault",))
_CLUSTER_EXISTS = frozenset(("DBClusterAlreadyExistsFault",))
_GROUP_EXISTS = frozenset(("DBShardGroupAlreadyExists", "DBShardGroupAlreadyExistsFault"))


def rds_client(region: str | None = None) -> Any:
    """Return a boto3 RDS client; raises as `migrator.aws.answers.client`."""
    return client("rds", region)


@dataclass(frozen=True)
class AwsProvisioner:
    """Makes what *wanted* says through *rds*; `sleep` and `clock` are replaced in tests.

    Attributes:
        others: clients of other services by name, for what has to be there before; made when they are needed.
    """

    wanted: Wanted
    rds: Any  # a boto3 RDS client: made at run time from AWS' own description of its API
    others: dict[str, Any] = field(default_factory=dict)
    timeout_s: float = 45 * 60
    poll_s: float = 15.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def state(self) -> ClusterState:
        return state_of(self.wanted, self._cluster(), self._group())

    def actions(self) -> tuple[Action, ...]:
        """Return what `ensure` would do now.

        Raises:
            NoGo: what exists cannot be changed into what is wanted.
        """
        return tuple(step.action for step in self._steps())

    def ensure(self, on_step: Progress | None = None) -> ClusterState:
        """Create what is missing and change what differs, in order, and wait until both are as wanted."""
        carry_out(self._steps(), None, on_step)
        self._wait_until_settled()
        # What another run made at the same moment may differ from what is wanted here.
        carry_out(self._steps(), None, on_step)
        return self.state()

    def remove(self, *, final_snapshot: str | None, on_step: Progress | None = None) -> ClusterState:
        """Delete the shard group, then the cluster; the storage goes with the cluster only.

        Raises:
            NoGo: the cluster is protected from deletion, or another plan's.
        """
        w = self.wanted
        cluster, group = self._cluster(), self._group()
        if blockers := removal_blockers(w, cluster):
            raise NoGo("cluster delete", blockers)
        if group and group.get("Status") != "deleting":
            self._insist("delete_db_shard_group", _NO_GROUP, DBShardGroupIdentifier=w.shard_group_id)
            if on_step:
                on_step(Action(f"cluster/aws/{w.shard_group_id}/delete", f"Delete shard group {w.shard_group_id}"))
        self._wait("shard group", lambda: (not (found := self._group()), found.get("Status", ABSENT)))
        cluster = self._cluster()
        deleted = bool(cluster) and cluster.get("Status") != "deleting"
        if deleted:
            last: dict[str, Any] = (
                {"SkipFinalSnapshot": False, "FinalDBSnapshotIdentifier": final_snapshot}
                if final_snapshot
                else {"SkipFinalSnapshot": True}
            )
            self._insist("delete_db_cluster", _NO_CLUSTER, DBClusterIdentifier=w.cluster_id, **last)
            if on_step:
                kept = f", last snapshot {final_snapshot}" if final_snapshot else ", without a snapshot"
                on_step(Action(f"cluster/aws/{w.cluster_id}/delete", f"Delete cluster {w.cluster_id}{kept}"))
        self._wait("cluster", lambda: (not (found := self._cluster()), found.get("Status", ABSENT)))
        if final_snapshot:
            self._wait_for_snapshot(final_snapshot, deleted)
        return self.state()

    # -- what is to be done --------------------------------------------------------------------------------------

    def _steps(self) -> tuple[Step[None], ...]:
        cluster, group = self._cluster(), self._group()
        self._check(cluster, group)
        todo = []
        if not cluster:
            todo.append(Step[None](self._creation_action(), lambda _: self._create_cluster()))
        if not group:
            todo.append(Step[None](self._group_action(), lambda _: self._add_group()))
        return (*todo, *self._modifications(cluster, group))

    def _modifications(self, cluster: Told, group: Told) -> list[Step[None]]:
        """Return the steps that change what exists; each says what it has and what it gets."""
        w, todo = self.wanted, []
        if cluster and modification(CLUSTER, w, cluster):
            todo.append(
                Step[None](
                    Action(
                        f"cluster/aws/{w.cluster_id}/settings",
                        f"Change {w.cluster_id}: {_said(differences('cluster', CLUSTER, w, cluster))}"
                        + (" (a new version interrupts connections)" if self._upgrades(cluster) else ""),
                        None if self._upgrades(cluster) else "put the former values into the plan and run it again",
                    ),
                    lambda _: self._modify_cluster(),
                )
            )
        if group and modification(SHARD_GROUP, w, group):
            todo.append(
                Step[None](
                    Action(
                        f"cluster/aws/{w.shard_group_id}/capacity",
                        f"Change {w.shard_group_id}: {_said(differences('shard group', SHARD_GROUP, w, group))} "
                        "(routers and shards stay as they are)",
                        "put the former values into the plan and run it again",
                    ),
                    lambda _: self._modify_group(),
                )
            )
        for what, told, arn in (("cluster", cluster, "DBClusterArn"), ("shard group", group, "DBShardGroupArn")):
            tags = missing_tags(w, told)
            if tags and told.get(arn):
                name = w.cluster_id if what == "cluster" else w.shard_group_id
                todo.append(
                    Step[None](
                        Action(f"cluster/aws/{name}/tags", f"Tag {what} {name}: {_pairs(tags)}", "tag it as before"),
                        lambda _, arn=told[arn], tags=tags: self._tag(arn, tags),  # type: ignore[misc]  # bound per turn
                    )
                )
        return todo

    def _upgrades(self, cluster: Told) -> bool:
        return bool(cluster.get("EngineVersion")) and cluster["EngineVersion"] != self.wanted.engine_version

    def _creation_action(self) -> Action:
        w = self.wanted
        protected = "" if w.deletion_protection else ", NOT protected from deletion"
        return Action(
            f"cluster/aws/{w.cluster_id}",
            f"Create DB cluster {w.cluster_id}, {w.engine_version}, storage aurora-iopt1{protected}",
            f"migrator cluster delete (cluster {w.cluster_id})",
        )

    def _group_action(self) -> Action:
        w = self.wanted
        nodes = nodes_of(w.max_acu)
        return Action(
            f"cluster/aws/{w.shard_group_id}",
            f"Create DB shard group {w.shard_group_id}: {nodes.routers} routers, {nodes.shards} shards, "
            f"{w.min_acu:g} to {w.max_acu:g} ACU, {w.compute_redundancy} standbys per shard",
            f"migrator cluster delete (shard group {w.shard_group_id})",
        )

    def _check(self, cluster: Told, group: Told) -> None:
        """Raise NoGo with everything that keeps what exists from becoming what is wanted."""
        w, blockers = self.wanted, []
        if w.min_acu > w.max_acu:
            blockers.append(f"min_acu {w.min_acu:g} is above max_acu {w.max_acu:g}")
        for what, told in (("cluster", cluster), ("shard group", group)):
            status = told.get("Status", ABSENT)
            if status in (*BAD, "deleting"):
                blockers.append(f"the {what} is {status}; see its events in the RDS console")
        if not cluster:
            if group:
                blockers.append(f"shard group {w.shard_group_id} belongs to another cluster")
            blockers += problems(w, look(w, self.others | {"rds": self.rds}))
        else:
            blockers += misfits(w, cluster, group)
        if blockers:
            raise NoGo("cluster", blockers)

    # -- calls ---------------------------------------------------------------------------------------------------

    def _create_cluster(self) -> None:
        w = self.wanted
        if w.master_password is None or w.monitoring_role_arn is None:
            missing = "a master password" if w.master_password is None else "a monitoring role"
            raise UsageError(f"a new Limitless cluster needs {missing}", hint="See: migrator cluster create --help")
        password = w.master_password()
        self._insist(
            "create_db_cluster",
            _CLUSTER_EXISTS,
            DBClusterIdentifier=w.cluster_id,
            MasterUserPassword=password,
            **creation(CLUSTER, w),
            **_tags(w.tags),
        )

    def _add_group(self) -> None:
        w = self.wanted
        self._wait("cluster", lambda: settled(self._cluster()))  # a shard group needs a cluster that is available
        self._insist(
            "create_db_shard_group",
            _GROUP_EXISTS,
            DBShardGroupIdentifier=w.shard_group_id,
            DBClusterIdentifier=w.cluster_id,
            **creation(SHARD_GROUP, w),
            **_tags(w.tags),
        )

    def _modify_cluster(self) -> None:
        """Ask for what differs now: a change by another run, a moment ago, is not asked for twice."""
        self._wait("cluster", lambda: settled(self._cluster()))
        if changes := modification(CLUSTER, self.wanted, self._cluster()):
            self._insist(
                "modify_db_cluster", DBClusterIdentifier=self.wanted.cluster_id, ApplyImmediately=True, **changes
            )
        self._wait_until_changed("cluster", CLUSTER, self._cluster)

    def _modify_group(self) -> None:
        self._wait("shard group", lambda: settled(self._group()))
        if modification(SHARD_GROUP, self.wanted, self._group()):
            w = self.wanted
            self._insist(
                "modify_db_shard_group",
                DBShardGroupIdentifier=w.shard_group_id,
                MinACU=w.min_acu,
                MaxACU=w.max_acu,
                ComputeRedundancy=w.compute_redundancy,
            )
        self._wait_until_changed("shard group", SHARD_GROUP, self._group)

    def _tag(self, arn: str, tags: Mapping[str, str]) -> None:
        self._insist("add_tags_to_resource", ResourceName=arn, **_tags(tags))

    def _insist(self, method: str, fine: frozenset[str] = frozenset(), **parameters: Any) -> None:
        """Make a call that changes something, again and again while AWS throttles it or is not ready for it.

        AWS' parts hear of a change one after the other: a cluster that is "available" may not be, for another call.

        Raises:
            Refused: it refuses for another reason, or still after `_INSIST_S`.
        """

        def once() -> Refused | ClusterUnavailable | None:
            try:
                with asking("rds", method, fine=fine):
                    getattr(self.rds, method)(**parameters)
            except Refused as error:
                if error.code not in _NOT_YET:
                    raise
                return error
            except ClusterUnavailable as error:
                return error
            return None

        last = until(once, _INSIST_S, self.poll_s, done=lambda error: error is None, clock=self.clock, sleep=self.sleep)
        if last is not None:
            raise last

    def _cluster(self) -> Told:
        with asking("rds", "describe_db_clusters", fine=_NO_CLUSTER):
            found = self.rds.describe_db_clusters(DBClusterIdentifier=self.wanted.cluster_id)["DBClusters"]
            return found[0] if found else {}
        return {}

    def _group(self) -> Told:
        with asking("rds", "describe_db_shard_groups", fine=_NO_GROUP):
            answer = self.rds.describe_db_shard_groups(DBShardGroupIdentifier=self.wanted.shard_group_id)
            found = [g for g in answer["DBShardGroups"] if g.get("DBClusterIdentifier") == self.wanted.cluster_id]
            if answer["DBShardGroups"] and not found:
                raise NoGo("cluster", [f"shard group {self.wanted.shard_group_id} belongs to another cluster"])
            return found[0] if found else {}
        return {}

    # -- waits ---------------------------------------------------------------------------------------------------

    def _wait_until_settled(self) -> None:
        self._wait("cluster", lambda: settled(self._cluster()))
        self._wait("shard group", lambda: settled(self._group()))

    def _wait_until_changed(self, what: str, settings: Sequence[Setting], describe: Callable[[], Told]) -> None:
        """Return when a change that was asked for reads back: right after the request all is "available" as before."""

        def look() -> tuple[bool, str]:
            told = describe()
            done, words = settled(told)
            left = modification(settings, self.wanted, told)
            return done and not left, f"{words}, changing {', '.join(left)}" if done and left else words

        self._wait(what, look)

    def _wait(self, name: str, look: Callable[[], tuple[bool, str]]) -> None:
        """Ask until *look* says it is reached. A moment in which AWS does not answer ends no wait of half an hour.

        Raises:
            PreconditionFailed: a state was reached that ends by nothing but a person's work.
            ClusterUnavailable: the time is up.
        """

        def once() -> tuple[bool, str]:
            try:
                reached, found = look()
            except ClusterUnavailable as error:
                return False, f"unknown ({error.why})"
            if not reached and found in BAD:
                raise PreconditionFailed(f"the {name} is {found}", hint="See its events in the RDS console.")
            return reached, found

        reached, found = until(
            once, self.timeout_s, self.poll_s, done=lambda answer: answer[0], clock=self.clock, sleep=self.sleep
        )
        if not reached:
            raise ClusterUnavailable(
                "AWS",
                f"the {name} is still {found} after {self.timeout_s / 60:.0f} min",
                "Run the same command again: it goes on waiting.",
            )

    def _wait_for_snapshot(self, name: str, deleted: bool) -> None:
        """Return when the last snapshot is finished: a cluster may be deleted before its snapshot is finished.

        Args:
            deleted: by this call, so that there must be one.
        """

        def as_wanted() -> tuple[bool, str]:
            answer: Told = {}
            with asking("rds", "describe_db_cluster_snapshots", fine=_NO_SNAPSHOT):
                answer = self.rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=name)
            status = next((str(s["Status"]) for s in answer.get("DBClusterSnapshots", ())), ABSENT)
            return status == "available" or (status == ABSENT and not deleted), status

        self._wait(f"last snapshot {name}", as_wanted)


def _said(found: tuple[Difference, ...]) -> str:
    return "; ".join(str(difference) for difference in found if difference.changes)


def _pairs(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in tags.items())


def _tags(tags: Mapping[str, str]) -> dict[str, Any]:
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]} if tags else {}

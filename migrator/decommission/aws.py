"""Retires an Aurora cluster without losing its last copy.

Nothing is deleted before the last snapshot was read back: finished, of this cluster, newer than the hand-over,
encrypted as the cluster is. Its name being taken says nothing: an earlier decommission may have made it, and one
that failed has a name too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from migrator.aws.answers import asking, client
from migrator.errors import ClusterUnavailable, PreconditionFailed
from migrator.poll import until

Described = Mapping[str, Any]
"""A cluster or snapshot as RDS describes it."""

_GONE = ("DBClusterNotFoundFault",)
_NO_SNAPSHOT = ("DBClusterSnapshotNotFoundFault",)
_EXISTS = ("DBClusterSnapshotAlreadyExistsFault",)
_UNDER_WAY = ("InvalidDBInstanceState", "InvalidDBInstanceStateFault", "DBInstanceNotFound", "DBInstanceNotFoundFault")
_MAX_NAMES = 100


def problems_of(
    snapshot: Described, cluster: Described | None, cluster_id: str, not_before: datetime | None
) -> list[str]:
    """Return why *snapshot* is no last copy of the cluster; empty when it is one. Pure.

    Args:
        cluster: None when it does not exist any more; then only the snapshot is checked.
    """
    problems = []
    if snapshot.get("DBClusterIdentifier") != cluster_id:
        problems.append(f"it is of cluster {snapshot.get('DBClusterIdentifier')}")
    taken = snapshot.get("SnapshotCreateTime")
    if snapshot.get("Status") == "available" and not_before is not None and (taken is None or taken < not_before):
        problems.append(f"it was taken at {taken}, before the hand-over at {not_before}")
    if cluster is not None:
        if snapshot.get("DbClusterResourceId") not in (None, cluster.get("DbClusterResourceId")):
            problems.append("it is of an earlier cluster of that name")
        for key, words in (("StorageEncrypted", "encryption"), ("KmsKeyId", "encryption key")):
            if key in cluster and snapshot.get(key) != cluster[key]:
                problems.append(f"its {words} is not the cluster's")
    return problems


def is_being_made(snapshot: Described) -> bool:
    return snapshot.get("Status") in ("creating", "copying", "pending")


@dataclass(frozen=True)
class AwsReleaser:
    """An Aurora cluster: a manual snapshot first, then it is stopped; instances and cluster are deleted much later.

    Deletion protection is respected: a person has to switch it off.

    Attributes:
        not_before: the hand-over; a snapshot from before lacks classic's last writes.
        rds: a boto3 RDS client, made when it is needed; `sleep` and `clock` are replaced in tests.
        tags: of the last copy: whose it is.
        region: the plan's; None: this machine's.
    """

    cluster_id: str
    not_before: datetime | None = None
    rds: Any = field(default=None, repr=False)
    timeout_s: float = 100 * 60
    poll_s: float = 15.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    kind: str = "aws"
    tags: Mapping[str, str] = field(default_factory=dict)
    region: str | None = None

    @property
    def snapshot_id(self) -> str:
        return f"{self.cluster_id}-before-decommission"

    def _client(self) -> Any:
        return self.rds if self.rds is not None else client("rds", self.region)

    def snapshot(self) -> str:
        """Take the last snapshot, or find the one of an earlier attempt; return its name when it is finished.

        Raises:
            PreconditionFailed: the cluster does not exist any more and there is no good snapshot, or the snapshot
                failed.
            ClusterUnavailable: it is not finished yet; the next call goes on waiting.
        """
        rds = self._client()
        with asking("rds"):
            cluster = self._cluster(rds)
            name = self._name(rds, cluster)
            return self._finished(rds, name, cluster)

    def shape(self) -> dict[str, Any]:
        """Return what a restored copy needs to be like the cluster; empty when that does not exist any more."""
        rds = self._client()
        with asking("rds"):
            cluster = self._cluster(rds)
            if cluster is None:
                return {}
            members = [m["DBInstanceIdentifier"] for m in cluster.get("DBClusterMembers", ())]
            instance = rds.describe_db_instances(DBInstanceIdentifier=members[0])["DBInstances"][0] if members else {}
        groups = [group["VpcSecurityGroupId"] for group in cluster.get("VpcSecurityGroups", ())]
        found = {
            "engine": cluster.get("Engine", "aurora-postgresql"),
            "engine_version": cluster.get("EngineVersion"),
            "subnet_group": cluster.get("DBSubnetGroup"),
            "parameter_group": cluster.get("DBClusterParameterGroup"),
            "security_groups": groups,
            "port": cluster.get("Port"),
            "instance_class": instance.get("DBInstanceClass"),
            "serverless": cluster.get("ServerlessV2ScalingConfiguration"),
        }
        return {key: value for key, value in found.items() if value}

    def state(self) -> str | None:
        """Return the cluster's status; None when it does not exist."""
        rds = self._client()
        with asking("rds"):
            cluster = self._cluster(rds)
        return str(cluster["Status"]) if cluster is not None else None

    def has(self, name: str) -> bool:
        """Return whether snapshot *name* is where the cluster is looked for."""
        if not name:
            return False
        with asking("rds"):
            return self._snapshot(self._client(), name) is not None

    def stop(self) -> str:
        """Stop the cluster, unless it is stopped, or on its way there or back.

        Raises:
            PreconditionFailed: AWS refuses, for good: a global database and one with a replica in another region
                cannot be stopped.
        """
        state = self.state()
        if state != "available":
            return f"cluster {self.cluster_id} is {state or 'deleted'}"
        with asking("rds"):
            _quietly(_GONE, self._client().stop_db_cluster, DBClusterIdentifier=self.cluster_id)
        return f"cluster {self.cluster_id} is being stopped"

    def start(self) -> str:
        """Start the cluster: it is about to be deleted, which AWS does with no stopped one."""
        with asking("rds"):
            _quietly(_GONE, self._client().start_db_cluster, DBClusterIdentifier=self.cluster_id)
        return f"cluster {self.cluster_id} is being started"

    def delete_copy(self, name: str) -> str:
        """Delete the last copy *name*, whose time is over."""
        if name not in self._names():
            raise PreconditionFailed(f"{name} is no last copy of cluster {self.cluster_id}")
        with asking("rds"):
            _quietly(_NO_SNAPSHOT, self._client().delete_db_cluster_snapshot, DBClusterSnapshotIdentifier=name)
        return f"snapshot {name} is deleted"

    def delete(self) -> str:
        """Delete instances and cluster, once the last copy was read back again."""
        rds = self._client()
        with asking("rds"):
            cluster = self._cluster(rds)
            kept = self._kept(rds, cluster)
            if cluster is None:
                return f"cluster {self.cluster_id} is deleted; snapshot {kept} is kept"
            if cluster.get("DeletionProtection"):
                raise PreconditionFailed(
                    f"cluster {self.cluster_id} is protected from deletion",
                    hint="Switch deletion protection off, then: migrator resume.",
                )
            for member in cluster["DBClusterMembers"]:
                name = member["DBInstanceIdentifier"]
                _quietly(_UNDER_WAY, rds.delete_db_instance, DBInstanceIdentifier=name, SkipFinalSnapshot=True)
            if cluster["Status"] != "deleting":
                _quietly(_GONE, rds.delete_db_cluster, DBClusterIdentifier=self.cluster_id, SkipFinalSnapshot=True)
            after = self._cluster(rds)
            if after is not None and after["Status"] != "deleting":
                raise ClusterUnavailable("AWS RDS", f"cluster {self.cluster_id} is {after['Status']}, not deleting")
        return f"cluster {self.cluster_id} is being deleted; snapshot {kept} is kept"

    # -- details -----------------------------------------------------------------------------------------------

    def _cluster(self, rds: Any) -> Described | None:
        answer = _quietly(_GONE, rds.describe_db_clusters, DBClusterIdentifier=self.cluster_id)
        return answer["DBClusters"][0] if answer and answer["DBClusters"] else None

    def _snapshot(self, rds: Any, name: str) -> Described | None:
        answer = _quietly(_NO_SNAPSHOT, rds.describe_db_cluster_snapshots, DBClusterSnapshotIdentifier=name)
        return answer["DBClusterSnapshots"][0] if answer and answer["DBClusterSnapshots"] else None

    def _names(self) -> list[str]:
        return [self.snapshot_id, *(f"{self.snapshot_id}-{n}" for n in range(2, _MAX_NAMES))]

    def _name(self, rds: Any, cluster: Described | None) -> str:
        """Return the name of a snapshot that is, or becomes, the last copy; take one when there is none."""
        for name in self._names():
            described = self._snapshot(rds, name)
            if described is None:
                if cluster is None:
                    raise PreconditionFailed(
                        f"cluster {self.cluster_id} is deleted and has no snapshot from after the hand-over",
                        hint="Look at the cluster's events and snapshots in the RDS console before anything else.",
                    )
                # Should another worker be faster, what it made is read back like any other.
                _quietly(
                    _EXISTS,
                    rds.create_db_cluster_snapshot,
                    DBClusterIdentifier=self.cluster_id,
                    DBClusterSnapshotIdentifier=name,
                    **({"Tags": [{"Key": k, "Value": v} for k, v in self.tags.items()]} if self.tags else {}),
                )
                return name
            usable = described["Status"] == "available" or is_being_made(described)
            if usable and not problems_of(described, cluster, self.cluster_id, self.not_before):
                return name
        raise PreconditionFailed(f"{_MAX_NAMES} snapshots are named {self.snapshot_id} and none is a last copy")

    def _finished(self, rds: Any, name: str, cluster: Described | None) -> str:
        def look() -> str:
            described = self._snapshot(rds, name)
            status = str(described["Status"]) if described else "absent"
            if described is not None and status == "available":
                problems = problems_of(described, cluster, self.cluster_id, self.not_before)
                if problems:
                    raise PreconditionFailed(f"snapshot {name} is no last copy: {'; '.join(problems)}")
            elif described is not None and not is_being_made(described):
                raise PreconditionFailed(
                    f"snapshot {name} is {status}",
                    hint="Look at the cluster's events in the RDS console, then: migrator resume takes another one.",
                )
            return status

        status = until(look, self.timeout_s, self.poll_s, done="available".__eq__, clock=self.clock, sleep=self.sleep)
        if status != "available":
            raise ClusterUnavailable("AWS RDS", f"snapshot {name} is still {status}")
        return name

    def _kept(self, rds: Any, cluster: Described | None) -> str:
        """Return the snapshot that is read back as the last copy at this moment, before anything is deleted."""
        for name in self._names():
            described = self._snapshot(rds, name)
            if described is None:
                break
            if described["Status"] == "available" and not problems_of(
                described, cluster, self.cluster_id, self.not_before
            ):
                return name
        raise PreconditionFailed(
            f"no finished snapshot of cluster {self.cluster_id} from after the hand-over: it is not deleted",
            hint="migrator resume takes one.",
        )


def _quietly(fine: tuple[str, ...], act: Callable[..., Any], **values: object) -> Any:
    """Return what *act* answers; None when AWS answers with one of the codes in *fine*."""
    from botocore.exceptions import ClientError

    try:
        return act(**values)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in fine:
            return None
        raise

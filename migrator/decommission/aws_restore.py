"""Restores a cluster snapshot on AWS into a cluster of its own, for a drill, and deletes that again.

It never touches another cluster: what it deletes has the drill's name and its tag, which is looked at before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from migrator.aws.answers import asking, client
from migrator.decommission.aws import _GONE, _NO_SNAPSHOT, _quietly
from migrator.errors import ClusterUnavailable, PreconditionFailed
from migrator.poll import until

TAG = "migrator-drill"

_EXISTS = ("DBClusterAlreadyExistsFault", "DBInstanceAlreadyExists", "DBInstanceAlreadyExistsFault")
_NO_INSTANCE = ("DBInstanceNotFound", "DBInstanceNotFoundFault", "InvalidDBInstanceState", "InvalidDBClusterStateFault")


@dataclass(frozen=True)
class AwsRestorer:
    """A snapshot, and the cluster that a drill makes of it.

    Attributes:
        shape: of the cluster it was taken of; see `AwsReleaser.shape`.
        rds: a boto3 RDS client, made when it is needed; `sleep` and `clock` are replaced in tests.
    """

    cluster_id: str
    snapshot: str
    shape: Mapping[str, Any]
    rds: Any = field(default=None, repr=False)
    timeout_s: float = 4 * 3600
    poll_s: float = 20.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    region: str | None = None

    @property
    def name(self) -> str:
        return f"{self.cluster_id[:50]}-{TAG}"

    @property
    def instance(self) -> str:
        return f"{self.name}-1"

    def _client(self) -> Any:
        return self.rds if self.rds is not None else client("rds", self.region)

    @contextmanager
    def restored(self) -> Iterator[tuple[str, int | None]]:
        """Yield host and port of the restored cluster, which is deleted when it is left, also after an error."""
        try:
            yield self._restore()
        finally:
            self.remove()

    def _restore(self) -> tuple[str, int | None]:
        rds, shape = self._client(), self.shape
        tags = [{"Key": TAG, "Value": self.cluster_id}]
        optional = {
            "EngineVersion": shape.get("engine_version"),
            "DBSubnetGroupName": shape.get("subnet_group"),
            "VpcSecurityGroupIds": shape.get("security_groups"),
            "DBClusterParameterGroupName": shape.get("parameter_group"),
            "Port": shape.get("port"),
            "ServerlessV2ScalingConfiguration": shape.get("serverless"),
        }
        with asking("rds"):
            there = self._cluster(rds)
            if there is not None:
                self._require_ours(there)
            _quietly(
                _EXISTS,
                rds.restore_db_cluster_from_snapshot,
                DBClusterIdentifier=self.name,
                SnapshotIdentifier=self.snapshot,
                Engine=str(shape.get("engine", "aurora-postgresql")),
                DeletionProtection=False,
                Tags=tags,
                **{key: value for key, value in optional.items() if value},
            )
            _quietly(
                _EXISTS,
                rds.create_db_instance,
                DBInstanceIdentifier=self.instance,
                DBClusterIdentifier=self.name,
                Engine=str(shape.get("engine", "aurora-postgresql")),
                DBInstanceClass=str(shape.get("instance_class", "db.serverless")),
                PubliclyAccessible=False,
                Tags=tags,
            )
            return self._available(rds)

    def _available(self, rds: Any) -> tuple[str, int | None]:
        def look() -> str:
            answer = rds.describe_db_instances(DBInstanceIdentifier=self.instance)
            return str(answer["DBInstances"][0]["DBInstanceStatus"])

        status = until(look, self.timeout_s, self.poll_s, done="available".__eq__, clock=self.clock, sleep=self.sleep)
        cluster = self._cluster(rds)
        if status != "available" or cluster is None:
            raise ClusterUnavailable("AWS RDS", f"the restored instance {self.instance} is still {status}")
        return str(cluster["Endpoint"]), cluster.get("Port")

    def remove(self) -> None:
        """Delete the drill's instance and cluster; nothing to do when there are none."""
        rds = self._client()
        with asking("rds"):
            there = self._cluster(rds)
            if there is None:
                return
            self._require_ours(there)
            _quietly(_NO_INSTANCE, rds.delete_db_instance, DBInstanceIdentifier=self.instance, SkipFinalSnapshot=True)
            if there.get("Status") != "deleting":
                _quietly(_GONE, rds.delete_db_cluster, DBClusterIdentifier=self.name, SkipFinalSnapshot=True)

    def _require_ours(self, cluster: Mapping[str, Any]) -> None:
        tags = {tag["Key"]: tag["Value"] for tag in cluster.get("TagList", ())}
        if tags.get(TAG) != self.cluster_id:
            raise PreconditionFailed(
                f"cluster {self.name} was not made by a drill of {self.cluster_id}: it is left alone",
                hint="Rename or delete it yourself.",
            )

    def _cluster(self, rds: Any) -> Mapping[str, Any] | None:
        answer = _quietly(_GONE, rds.describe_db_clusters, DBClusterIdentifier=self.name)
        return answer["DBClusters"][0] if answer and answer["DBClusters"] else None


def newest_snapshot(rds: Any, cluster_id: str) -> str:
    """Return the newest finished snapshot of a cluster, for a drill before the hand-over.

    Raises:
        PreconditionFailed: there is none.
    """
    with asking("rds"):
        answer = _quietly(_NO_SNAPSHOT, rds.describe_db_cluster_snapshots, DBClusterIdentifier=cluster_id)
    found = [s for s in (answer or {}).get("DBClusterSnapshots", ()) if s.get("Status") == "available"]
    if not found:
        raise PreconditionFailed(f"cluster {cluster_id} has no finished snapshot", hint="Take one, or wait for AWS'.")
    newest = max(found, key=lambda one: one["SnapshotCreateTime"])
    return str(newest["DBClusterSnapshotIdentifier"])

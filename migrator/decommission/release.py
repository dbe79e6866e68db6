"""What becomes of classic when nobody needs it any more?

One door, so that the workflow does not know where it runs: on this machine a server is stopped, on AWS a final
snapshot is taken and the cluster deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from migrator.errors import ClusterUnavailable, PreconditionFailed


class Releaser(Protocol):
    """Retires the classic cluster. Both calls are safe to run twice."""

    def snapshot(self) -> str:
        """Keep a last copy; returns how it is called, empty when nothing is kept."""
        ...

    def release(self) -> str:
        """Give classic back; returns what was done, in one line."""
        ...


@dataclass(frozen=True)
class KeepClassic:
    """For clusters the tool does not own: says what is left to do."""

    why: str

    def snapshot(self) -> str:
        return ""

    def release(self) -> str:
        return f"classic was left running ({self.why}); take a last snapshot and remove it when you are ready"


@dataclass(frozen=True)
class LocalReleaser:
    """A server on this machine: it is stopped, and its data directory is the last copy."""

    home: Path

    def _server(self) -> Any:
        from migrator.local.stack import attach  # only where local servers exist

        return attach(self.home).classic

    def snapshot(self) -> str:
        return str(self._server().data)

    def release(self) -> str:
        self._server().stop()
        return "the local classic server was stopped; its data directory is kept"


@dataclass(frozen=True)
class AwsReleaser:
    """An Aurora cluster: a manual snapshot first, then instances and cluster are deleted.

    Deletion protection is respected: who switched it on has to switch it off.
    """

    cluster_id: str

    @property
    def snapshot_id(self) -> str:
        return f"{self.cluster_id}-before-decommission"

    def _rds(self) -> Any:
        try:
            import boto3
        except ImportError:
            raise PreconditionFailed(
                "releasing an AWS cluster needs the AWS extra", hint="pip install 'migrator[aws]'"
            ) from None
        return boto3.client("rds")

    def snapshot(self) -> str:
        rds = self._rds()
        with _aws():
            try:
                rds.create_db_cluster_snapshot(
                    DBClusterIdentifier=self.cluster_id, DBClusterSnapshotIdentifier=self.snapshot_id
                )
            except (
                rds.exceptions.DBClusterSnapshotAlreadyExistsFault,  # an earlier try made it
                rds.exceptions.DBClusterNotFoundFault,  # an earlier try went further
            ):
                return self.snapshot_id
            rds.get_waiter("db_cluster_snapshot_available").wait(DBClusterSnapshotIdentifier=self.snapshot_id)
        return self.snapshot_id

    def release(self) -> str:
        rds = self._rds()
        with _aws():
            try:
                found = rds.describe_db_clusters(DBClusterIdentifier=self.cluster_id)["DBClusters"][0]
            except rds.exceptions.DBClusterNotFoundFault:
                return f"cluster {self.cluster_id} is gone; snapshot {self.snapshot_id} is kept"
            if found.get("DeletionProtection"):
                raise PreconditionFailed(
                    f"cluster {self.cluster_id} is protected from deletion",
                    hint="Switch deletion protection off, then: migrator resume.",
                )
            for member in found["DBClusterMembers"]:
                try:
                    rds.delete_db_instance(DBInstanceIdentifier=member["DBInstanceIdentifier"], SkipFinalSnapshot=True)
                except (rds.exceptions.InvalidDBInstanceStateFault, rds.exceptions.DBInstanceNotFoundFault):
                    continue  # being deleted already
            if found["Status"] != "deleting":
                rds.delete_db_cluster(DBClusterIdentifier=self.cluster_id, SkipFinalSnapshot=True)
        return f"cluster {self.cluster_id} is being deleted; snapshot {self.snapshot_id} is kept"


class _aws:
    """Turns what the AWS client raises about network and credentials into our words."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, PreconditionFailed):
            return
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, ClientError):
            code = error.response.get("Error", {}).get("Code", "unknown")
            raise PreconditionFailed(f"AWS refuses to retire classic ({code})") from None
        if isinstance(error, BotoCoreError):
            raise ClusterUnavailable("AWS RDS", type(error).__name__, "Check region and credentials.") from None

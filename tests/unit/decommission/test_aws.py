"""Nothing is deleted before the last snapshot was read back. Calls are checked against AWS' own description of its
API by botocore's stubber; what AWS does with them is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from migrator.decommission.aws import AwsReleaser
from migrator.errors import ClusterUnavailable, PreconditionFailed

HANDED_OVER = datetime(2026, 11, 1, 12, tzinfo=UTC)
LATER = HANDED_OVER + timedelta(minutes=2)
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1"
FIRST = "orders-before-decommission"


class Aws:
    """What AWS answers, in order, and a releaser that asks it."""

    def __init__(self, stubber: Stubber, rds: Any) -> None:
        self.stubber = stubber
        self.slept: list[float] = []
        self.time = 0.0
        self.releaser = AwsReleaser("orders", HANDED_OVER, rds, sleep=self._sleep, clock=lambda: self.time)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def cluster(self, status: str | None = "available", **changes: Any) -> None:
        if status is None:
            self.stubber.add_client_error("describe_db_clusters", "DBClusterNotFoundFault", http_status_code=404)
            return
        found = {
            "Status": status, "StorageEncrypted": True, "KmsKeyId": KEY, "DbClusterResourceId": "cluster-1",
            "DBClusterMembers": [{"DBInstanceIdentifier": "orders-1"}], "DeletionProtection": False, **changes,
        }  # fmt: skip
        self.stubber.add_response("describe_db_clusters", {"DBClusters": [found]}, {"DBClusterIdentifier": "orders"})

    def snapshot(self, status: str | None = "available", name: str = FIRST, **changes: Any) -> None:
        wanted = {"DBClusterSnapshotIdentifier": name}
        if status is None:
            self.stubber.add_client_error(
                "describe_db_cluster_snapshots", "DBClusterSnapshotNotFoundFault", expected_params=wanted
            )
            return
        found = {
            "Status": status, "DBClusterIdentifier": "orders", "SnapshotCreateTime": LATER, "StorageEncrypted": True,
            "KmsKeyId": KEY, "DbClusterResourceId": "cluster-1", **changes,
        }  # fmt: skip
        self.stubber.add_response("describe_db_cluster_snapshots", {"DBClusterSnapshots": [found]}, wanted)

    def takes(self, name: str = FIRST, error: str | None = None) -> None:
        wanted = {"DBClusterIdentifier": "orders", "DBClusterSnapshotIdentifier": name}
        if error:
            self.stubber.add_client_error("create_db_cluster_snapshot", error, expected_params=wanted)
        else:
            self.stubber.add_response("create_db_cluster_snapshot", {}, wanted)


@pytest.fixture
def aws() -> Iterator[Aws]:
    rds = boto3.client("rds", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="y")
    with Stubber(rds) as stubber:
        yield Aws(stubber, rds)
        stubber.assert_no_pending_responses()


def test_a_snapshot_is_waited_for_until_it_is_finished(aws: Aws) -> None:
    aws.cluster()
    aws.snapshot(None)
    aws.takes()
    for status in ("creating", "creating", "available"):
        aws.snapshot(status)

    assert aws.releaser.snapshot() == FIRST
    assert len(aws.slept) == 2


@pytest.mark.parametrize("fault", ["creating", "exists"])
def test_one_that_an_earlier_try_began_is_waited_for_too(aws: Aws, fault: str) -> None:
    """That its name is taken says that it was begun, not that it is there."""
    aws.cluster()
    if fault == "exists":
        aws.snapshot(None)
        aws.takes(error="DBClusterSnapshotAlreadyExistsFault")
    else:
        aws.snapshot("creating")
    aws.snapshot("creating")
    aws.snapshot("available")

    assert aws.releaser.snapshot() == FIRST


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "failed"},
        {"SnapshotCreateTime": HANDED_OVER - timedelta(seconds=1)},
        {"DBClusterIdentifier": "another"},
        {"DbClusterResourceId": "cluster-0"},
        {"KmsKeyId": "arn:aws:kms:eu-west-1:123456789012:key/2"},
        {"StorageEncrypted": False},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_one_that_is_no_last_copy_is_left_alone_and_another_is_taken(aws: Aws, wrong: dict[str, Any]) -> None:
    aws.cluster()
    aws.snapshot(**wrong)
    aws.snapshot(None, name=f"{FIRST}-2")
    aws.takes(f"{FIRST}-2")
    aws.snapshot(name=f"{FIRST}-2")

    assert aws.releaser.snapshot() == f"{FIRST}-2"


@pytest.mark.parametrize("status", ["creating", "failed", None])
def test_a_cluster_without_a_finished_snapshot_is_not_deleted(aws: Aws, status: str | None) -> None:
    """Whoever calls delete first, or again, finds a refusal: no call that deletes is made."""
    aws.cluster()
    aws.snapshot(status)
    if status is not None:
        aws.snapshot(None, name=f"{FIRST}-2")

    with pytest.raises(PreconditionFailed, match="not deleted"):
        aws.releaser.delete()


def test_a_snapshot_that_failed_is_an_error_and_one_that_takes_too_long_is_asked_for_again(aws: Aws) -> None:
    aws.cluster()
    aws.snapshot(None)
    aws.takes()
    aws.snapshot("failed")
    with pytest.raises(PreconditionFailed, match="is failed"):
        aws.releaser.snapshot()
    aws.time = 0.0
    aws.cluster()
    aws.snapshot("creating")
    aws.snapshot("creating")
    aws.releaser = AwsReleaser("orders", HANDED_OVER, aws.releaser.rds, timeout_s=0.0)

    with pytest.raises(ClusterUnavailable, match="still creating"):
        aws.releaser.snapshot()


def test_a_cluster_is_deleted_once_and_found_being_deleted(aws: Aws) -> None:
    aws.cluster()
    aws.snapshot()
    aws.stubber.add_response("delete_db_instance", {}, {"DBInstanceIdentifier": "orders-1", "SkipFinalSnapshot": True})
    aws.stubber.add_response("delete_db_cluster", {}, {"DBClusterIdentifier": "orders", "SkipFinalSnapshot": True})
    aws.cluster("deleting")
    assert "is being deleted; snapshot orders-before-decommission is kept" in aws.releaser.delete()

    aws.cluster(None)
    aws.snapshot()
    assert "is deleted" in aws.releaser.delete()


def test_a_cluster_that_is_gone_without_a_copy_stops_everything(aws: Aws) -> None:
    aws.cluster(None)
    aws.snapshot(None)

    with pytest.raises(PreconditionFailed, match="is deleted and has no snapshot"):
        aws.releaser.snapshot()


def test_deletion_protection_is_respected_and_throttling_is_no_refusal(aws: Aws) -> None:
    aws.cluster(DeletionProtection=True)
    aws.snapshot()
    with pytest.raises(PreconditionFailed, match="protected"):
        aws.releaser.delete()
    aws.stubber.add_client_error("describe_db_clusters", "ThrottlingException")

    with pytest.raises(ClusterUnavailable):
        aws.releaser.delete()


def test_a_refusal_names_the_call_and_the_right(aws: Aws) -> None:
    """Without the text of AWS, which names the account."""
    aws.stubber.add_client_error(
        "describe_db_clusters", "AccessDenied", "User: arn:aws:iam::1:role/w is not authorized"
    )

    with pytest.raises(PreconditionFailed, match=r"rds:DescribeDBClusters \(AccessDenied\)") as refused:
        aws.releaser.snapshot()
    assert "arn:" not in str(refused.value)

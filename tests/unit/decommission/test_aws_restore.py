"""A drill's cluster is made of the snapshot, waited for, and deleted; nothing that a drill did not make is touched."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from migrator.decommission.aws_restore import TAG, AwsRestorer, newest_snapshot
from migrator.decommission.restore import with_host
from migrator.errors import PreconditionFailed

NAME = f"orders-{TAG}"
SHAPE = {
    "engine": "aurora-postgresql", "engine_version": "16.13", "subnet_group": "private",
    "security_groups": ["sg-1"], "instance_class": "db.r6g.large",
}  # fmt: skip
TAGS = [{"Key": TAG, "Value": "orders"}]


@pytest.fixture
def rds() -> Iterator[tuple[Any, Stubber]]:
    client = boto3.client("rds", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="y")
    with Stubber(client) as stub:
        yield client, stub
        stub.assert_no_pending_responses()


def cluster(stub: Stubber, there: bool = True, tags: Any = TAGS) -> None:
    if not there:
        stub.add_client_error("describe_db_clusters", "DBClusterNotFoundFault", http_status_code=404)
        return
    found = {"Status": "available", "TagList": tags, "Endpoint": "drill.example", "Port": 5432}
    stub.add_response("describe_db_clusters", {"DBClusters": [found]}, {"DBClusterIdentifier": NAME})


def restorer(client: Any) -> AwsRestorer:
    return AwsRestorer("orders", "last", SHAPE, client, sleep=lambda _: None)


def makes(stub: Stubber) -> None:
    stub.add_response(
        "restore_db_cluster_from_snapshot",
        {},
        {
            "DBClusterIdentifier": NAME, "SnapshotIdentifier": "last", "Engine": "aurora-postgresql",
            "EngineVersion": "16.13", "DBSubnetGroupName": "private", "VpcSecurityGroupIds": ["sg-1"],
            "DeletionProtection": False, "Tags": TAGS,
        },
    )  # fmt: skip
    stub.add_response(
        "create_db_instance",
        {},
        {
            "DBInstanceIdentifier": f"{NAME}-1", "DBClusterIdentifier": NAME, "Engine": "aurora-postgresql",
            "DBInstanceClass": "db.r6g.large", "PubliclyAccessible": False, "Tags": TAGS,
        },
    )  # fmt: skip
    for status in ("creating", "available"):
        stub.add_response("describe_db_instances", {"DBInstances": [{"DBInstanceStatus": status}]})


def removes(stub: Stubber) -> None:
    cluster(stub)
    stub.add_response("delete_db_instance", {}, {"DBInstanceIdentifier": f"{NAME}-1", "SkipFinalSnapshot": True})
    stub.add_response("delete_db_cluster", {}, {"DBClusterIdentifier": NAME, "SkipFinalSnapshot": True})


@pytest.mark.parametrize("fails", [False, True])
def test_it_is_made_and_deleted_also_after_an_error(rds: tuple[Any, Stubber], fails: bool) -> None:
    client, stub = rds
    cluster(stub, there=False)
    makes(stub)
    cluster(stub)
    removes(stub)

    if fails:
        with pytest.raises(ZeroDivisionError), restorer(client).restored():
            raise ZeroDivisionError
    else:
        with restorer(client).restored() as found:
            assert found == ("drill.example", 5432)


def test_a_cluster_of_somebody_else_is_left_alone(rds: tuple[Any, Stubber]) -> None:
    client, stub = rds
    cluster(stub, tags=[])
    cluster(stub, tags=[])

    with pytest.raises(PreconditionFailed, match="left alone"), restorer(client).restored():
        raise AssertionError("it must not be used")


def test_the_newest_finished_snapshot(rds: tuple[Any, Stubber]) -> None:
    client, stub = rds
    taken = (("old", "available", 1), ("new", "available", 2), ("half", "creating", 3))
    found = [
        {
            "DBClusterSnapshotIdentifier": name,
            "Status": status,
            "SnapshotCreateTime": datetime(2026, 1, day, tzinfo=UTC),
        }
        for name, status, day in taken
    ]
    stub.add_response("describe_db_cluster_snapshots", {"DBClusterSnapshots": found})
    stub.add_response("describe_db_cluster_snapshots", {"DBClusterSnapshots": []})

    assert newest_snapshot(client, "orders") == "new"
    with pytest.raises(PreconditionFailed):
        newest_snapshot(client, "orders")


def test_the_same_role_reaches_the_restored_cluster() -> None:
    dsn = with_host("postgresql://tool:p%40ss@orders.example:5433/app?sslmode=verify-full", "drill.example", 5432)

    assert "host=drill.example" in dsn and "port=5432" in dsn and "user=tool" in dsn and "verify-full" in dsn

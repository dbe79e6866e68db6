"""The cluster on AWS is made, found again, changed and deleted, in an order AWS accepts. Calls are checked against
AWS' own description of its API by botocore's stubber; what AWS does with them is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from migrator.errors import ClusterUnavailable, NoGo, PreconditionFailed, UsageError
from migrator.model.capacity import nodes_of
from migrator.provision.aws import AwsProvisioner, Wanted
from migrator.provision.cluster import LocalProvisioner

WANTED = Wanted(
    cluster_id="orders",
    shard_group_id="orders-group",
    engine_version="16.13-limitless",
    min_acu=20,
    max_acu=500,
    compute_redundancy=1,
    monitoring_role_arn="arn:aws:iam::123456789012:role/rds-monitoring",
    master_password=lambda: "a-long-password",
)


@dataclass
class Script:
    """What AWS answers, in order."""

    stubber: Stubber
    provisioner: AwsProvisioner
    slept: list[float] = field(default_factory=list)

    def cluster(self, status: str | None, version: str = "16.13-limitless") -> None:
        wanted = {"DBClusterIdentifier": "orders"}
        if status is None:
            self.stubber.add_client_error(
                "describe_db_clusters", "DBClusterNotFoundFault", http_status_code=404, expected_params=wanted
            )
        else:
            found = {"Status": status, "EngineVersion": version, "Endpoint": "orders.cluster-x.rds.amazonaws.com"}
            self.stubber.add_response("describe_db_clusters", {"DBClusters": [found]}, wanted)

    def group(self, status: str | None, cluster: str = "orders", **changes: Any) -> None:
        wanted = {"DBShardGroupIdentifier": "orders-group"}
        if status is None:
            self.stubber.add_client_error(
                "describe_db_shard_groups", "DBShardGroupNotFound", http_status_code=404, expected_params=wanted
            )
        else:
            found = {
                "Status": status,
                "DBClusterIdentifier": cluster,
                "MinACU": 20.0,
                "MaxACU": 500.0,
                "ComputeRedundancy": 1,
                **changes,
            }
            self.stubber.add_response("describe_db_shard_groups", {"DBShardGroups": [found]}, wanted)

    def state(self, cluster: str | None, group: str | None, **changes: Any) -> None:
        self.cluster(cluster)
        self.group(group, **changes)

    def snapshot(self, name: str, status: str) -> None:
        found = {"DBClusterSnapshotIdentifier": name, "Status": status}
        self.stubber.add_response(
            "describe_db_cluster_snapshots", {"DBClusterSnapshots": [found]}, {"DBClusterSnapshotIdentifier": name}
        )

    def does(self, call: str, expected: dict[str, Any]) -> None:
        self.stubber.add_response(call, {}, expected)

    def fails(self, call: str, code: str) -> None:
        self.stubber.add_client_error(call, code, "no")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """One client for all: reading AWS' description of its API takes half a second."""
    made = boto3.client("rds", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")
    yield made
    made.close()


@pytest.fixture
def aws(client: Any) -> Iterator[Script]:
    with Stubber(client) as stubber:
        ticks = iter(range(1000))
        slept: list[float] = []
        provisioner = AwsProvisioner(
            WANTED, client, timeout_s=10, poll_s=1, sleep=slept.append, clock=lambda: float(next(ticks))
        )
        yield Script(stubber, provisioner, slept)
        stubber.assert_no_pending_responses()


GROUP_CALL = {
    "DBShardGroupIdentifier": "orders-group",
    "DBClusterIdentifier": "orders",
    "MinACU": 20,
    "MaxACU": 500,
    "ComputeRedundancy": 1,
    "PubliclyAccessible": False,
}


def test_a_new_cluster_is_made_with_what_limitless_demands(aws: Script) -> None:
    """Cluster first, then its shard group once the cluster is available; each is waited for."""
    aws.state(None, None)
    aws.does(
        "create_db_cluster",
        {
            "DBClusterIdentifier": "orders",
            "Engine": "aurora-postgresql",
            "EngineVersion": "16.13-limitless",
            "ClusterScalabilityType": "limitless",
            "StorageType": "aurora-iopt1",
            "StorageEncrypted": True,
            "MasterUsername": "postgres",
            "MasterUserPassword": "a-long-password",
            "DatabaseInsightsMode": "advanced",
            "EnablePerformanceInsights": True,
            "PerformanceInsightsRetentionPeriod": 465,
            "MonitoringInterval": 30,
            "MonitoringRoleArn": ANY,
            "EnableCloudwatchLogsExports": ["postgresql"],
            "EnableIAMDatabaseAuthentication": True,
            "DeletionProtection": False,
        },
    )
    aws.state("creating", None)
    aws.state("available", None)
    aws.does("create_db_shard_group", GROUP_CALL)
    aws.state("available", "creating")
    aws.state("available", "creating")
    aws.state("available", "available")
    aws.state("available", "available")
    seen: list[str] = []

    state = aws.provisioner.ensure(lambda action: seen.append(action.id))

    assert state.ready and state.endpoint == "orders.cluster-x.rds.amazonaws.com"
    assert seen == ["cluster/aws/orders", "cluster/aws/orders-group"]
    assert len(aws.slept) == 2


def test_a_second_run_finds_nothing_to_do(aws: Script) -> None:
    for _ in range(4):
        aws.state("available", "available")

    assert aws.provisioner.ensure().ready


def test_an_interrupted_run_goes_on(aws: Script) -> None:
    """The cluster exists already, and a second operator is faster with the shard group: both are fine."""
    aws.state("available", None)
    aws.state("available", None)
    aws.fails("create_db_shard_group", "DBShardGroupAlreadyExists")
    for _ in range(3):
        aws.state("available", "available")

    assert aws.provisioner.ensure().ready


def test_capacity_is_changed_in_place(aws: Script) -> None:
    """Another capacity is a change of the shard group, and the dry run says that nodes stay as they are."""
    aws.state("available", "available", MaxACU=400.0)
    (action,) = aws.provisioner.actions()
    aws.state("available", "available", MaxACU=400.0)
    aws.does(
        "modify_db_shard_group",
        {"DBShardGroupIdentifier": "orders-group", "MinACU": 20, "MaxACU": 500, "ComputeRedundancy": 1},
    )
    for _ in range(3):
        aws.state("available", "available")

    aws.provisioner.ensure()

    assert "routers and shards stay as they are" in action.summary


@pytest.mark.parametrize(
    ("cluster", "group", "blocker"),
    [
        (("available", "16.9-limitless"), ("available", "orders"), "runs 16.9-limitless"),
        (("available", "16.13-limitless"), ("available", "billing"), "belongs to another cluster"),
        (("failed", "16.13-limitless"), (None, "orders"), "the cluster is failed"),
    ],
)
def test_what_exists_and_does_not_fit_is_a_no_go(
    aws: Script, cluster: tuple[str, str], group: tuple[str | None, str], blocker: str
) -> None:
    """Nothing that somebody else made is changed into what the plan says."""
    aws.cluster(*cluster)
    aws.group(*group)

    with pytest.raises(NoGo, match=blocker):
        aws.provisioner.ensure()


def test_deleting_takes_the_shard_group_first(aws: Script) -> None:
    """The cluster goes last, with a final snapshot, and a second run finds nothing."""
    aws.state("available", "available")
    aws.does("delete_db_shard_group", {"DBShardGroupIdentifier": "orders-group"})
    aws.state("available", "deleting")
    aws.state("available", None)
    aws.state("available", None)
    aws.does(
        "delete_db_cluster",
        {"DBClusterIdentifier": "orders", "SkipFinalSnapshot": False, "FinalDBSnapshotIdentifier": "last-one"},
    )
    aws.state("deleting", None)
    aws.state(None, None)
    aws.snapshot("last-one", "creating")  # the cluster is gone before its last snapshot is there
    aws.snapshot("last-one", "available")
    aws.state(None, None)
    for _ in range(4):
        aws.state(None, None)
    aws.snapshot("last-one", "available")
    aws.state(None, None)

    assert aws.provisioner.remove(final_snapshot="last-one").absent
    assert aws.provisioner.remove(final_snapshot="last-one").absent


def test_a_last_snapshot_that_failed_is_said(aws: Script) -> None:
    aws.state(None, None)
    for _ in range(3):
        aws.state(None, None)
    aws.snapshot("last-one", "failed")

    with pytest.raises(PreconditionFailed, match="failed"):
        aws.provisioner.remove(final_snapshot="last-one")


def test_a_change_of_capacity_is_in_force_only_when_it_is_read_back(aws: Script) -> None:
    """Right after it was asked for, a shard group still calls itself available, with what it had."""
    aws.state("available", "available", MaxACU=400.0)
    aws.does(
        "modify_db_shard_group",
        {"DBShardGroupIdentifier": "orders-group", "MinACU": 20, "MaxACU": 500, "ComputeRedundancy": 1},
    )
    aws.state("available", "available", MaxACU=400.0)
    aws.state("available", "available", MaxACU=400.0)
    aws.state("available", "modifying", MaxACU=400.0)
    aws.state("available", "available")
    aws.state("available", "available")

    assert aws.provisioner.ensure().max_acu == 500.0
    assert len(aws.slept) == 2


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("Throttling", ClusterUnavailable),
        ("AccessDenied", PreconditionFailed),
        ("InvalidDBClusterStateFault", PreconditionFailed),
    ],
)
def test_errors_of_aws_are_ours(aws: Script, code: str, error: type[Exception]) -> None:
    aws.fails("describe_db_clusters", code)

    with pytest.raises(error):
        aws.provisioner.state()


def test_waiting_is_bounded(aws: Script) -> None:
    """Past the limit it says so and can be run again."""
    for _ in range(11):  # the cluster before there is anything to wait for, then one look a second up to the limit
        aws.state("creating", None)

    with pytest.raises(ClusterUnavailable, match="still creating"):
        aws.provisioner.ensure()


def test_a_cluster_that_fails_ends_the_wait(aws: Script) -> None:
    aws.state("incompatible-network", None)

    with pytest.raises(PreconditionFailed, match="incompatible-network"):
        aws.provisioner._wait("cluster", "available")


def test_a_new_cluster_needs_password_and_role(aws: Script) -> None:
    aws.state(None, None)
    bare = replace(aws.provisioner, wanted=replace(WANTED, master_password=None))

    with pytest.raises(UsageError, match="master password"):
        bare.ensure()


def test_the_password_is_in_no_text() -> None:
    assert "a-long-password" not in repr(WANTED)


@pytest.mark.parametrize(
    ("max_acu", "routers", "shards"), [(16, 2, 2), (400, 2, 2), (401, 2, 3), (500, 2, 3), (2301, 8, 16), (6144, 8, 16)]
)
def test_capacity_decides_the_nodes(max_acu: float, routers: int, shards: int) -> None:
    """Source: Aurora User Guide, capacity table of Limitless (read 2026-11)."""
    nodes = nodes_of(max_acu)

    assert (nodes.routers, nodes.shards) == (routers, shards)


@pytest.mark.parametrize("max_acu", [15.5, 6145])
def test_capacity_has_limits(max_acu: float) -> None:
    with pytest.raises(ValueError, match="16 to 6144"):
        nodes_of(max_acu)


def test_the_local_provisioner_knows_that_nothing_is_there(tmp_path: Any) -> None:
    """Without servers it would start them, and there is nothing to remove."""
    local = LocalProvisioner(tmp_path / "nowhere")

    assert local.state().absent and len(local.actions()) == 1
    assert local.remove(final_snapshot=None).absent

"""The cluster on AWS is made, found again, changed and deleted, in an order AWS accepts, whatever interrupts it.
Requests are checked against AWS' own description of its API; tests/fixtures/aws.py plays what AWS does with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from migrator.aws.cluster import Wanted
from migrator.errors import ClusterUnavailable, NoGo, PreconditionFailed, UsageError
from migrator.model.capacity import nodes_of
from migrator.provision.aws import AwsProvisioner
from migrator.provision.cluster import ClusterState, LocalProvisioner
from tests.fixtures.aws import Killed, Rds, rds

TAGS = {"project": "orders", "migrator-plan": "orders", "migrator-managed-by": "migrator"}
WANTED = Wanted(
    cluster_id="orders",
    shard_group_id="orders-group",
    engine_version="16.13-limitless",
    min_acu=20,
    max_acu=500,
    compute_redundancy=1,
    monitoring_role_arn="arn:aws:iam::123456789012:role/rds-monitoring",
    security_groups=("sg-1",),
    master_password=lambda: "a-long-password",
    tags=TAGS,
)


class Others:
    """Roles and security groups: all there is to ask of the other services here."""

    def get_role(self, **_: Any) -> dict[str, Any]:
        return {"Role": {"AssumeRolePolicyDocument": {"Principal": {"Service": "monitoring.rds.amazonaws.com"}}}}

    def describe_security_groups(self, GroupIds: list[str]) -> dict[str, Any]:
        return {"SecurityGroups": [{"GroupId": name, "VpcId": "vpc-1"} for name in GroupIds]}


@dataclass
class World:
    service: Rds
    client: Any
    slept: list[float] = field(default_factory=list)
    time: float = 0.0

    def provisioner(self, wanted: Wanted = WANTED, timeout_s: float = 3600) -> AwsProvisioner:
        others = {"iam": Others(), "ec2": Others()}
        return AwsProvisioner(
            wanted, self.client, others, timeout_s=timeout_s, sleep=self._sleep, clock=lambda: self.time
        )

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def made(self, wanted: Wanted = WANTED) -> World:
        """Make it all, and forget how."""
        self.provisioner(wanted).ensure()
        self.service.calls.clear()
        self.service.given.clear()
        return self


@pytest.fixture
def aws() -> Iterator[World]:
    with rds() as (service, client):
        yield World(service, client)


def as_wanted(state: ClusterState) -> bool:
    return state.ready and not state.differences and not state.untold


def test_a_new_cluster_is_made_with_what_limitless_demands(aws: World) -> None:
    """Cluster first, then its shard group once the cluster is available; each is waited for."""
    seen: list[str] = []

    state = aws.provisioner().ensure(lambda action: seen.append(action.id))

    assert as_wanted(state) and state.endpoint == "orders.cluster-x.rds.amazonaws.com"
    assert seen == ["cluster/aws/orders", "cluster/aws/orders-group"]
    tags = [{"Key": key, "Value": value} for key, value in TAGS.items()]
    assert aws.service.given == [
        (
            "CreateDBCluster",
            {
                "DBClusterIdentifier": "orders",
                "Engine": "aurora-postgresql",
                "EngineVersion": "16.13-limitless",
                "ClusterScalabilityType": "limitless",
                "StorageType": "aurora-iopt1",
                "StorageEncrypted": True,
                "MasterUsername": "postgres",
                "MasterUserPassword": "a-long-password",
                "VpcSecurityGroupIds": ["sg-1"],
                "DatabaseInsightsMode": "advanced",
                "EnablePerformanceInsights": True,
                "PerformanceInsightsRetentionPeriod": 465,
                "MonitoringInterval": 30,
                "MonitoringRoleArn": "arn:aws:iam::123456789012:role/rds-monitoring",
                "EnableCloudwatchLogsExports": ["postgresql"],
                "EnableIAMDatabaseAuthentication": True,
                "DeletionProtection": True,
                "AutoMinorVersionUpgrade": False,
                "BackupRetentionPeriod": 7,
                "CopyTagsToSnapshot": True,
                "Tags": tags,
            },
        ),
        (
            "CreateDBShardGroup",
            {
                "DBShardGroupIdentifier": "orders-group",
                "DBClusterIdentifier": "orders",
                "MinACU": 20,
                "MaxACU": 500,
                "ComputeRedundancy": 1,
                "PubliclyAccessible": False,
                "Tags": tags,
            },
        ),
    ]


def test_a_second_run_finds_nothing_to_do(aws: World) -> None:
    aws.made()

    assert aws.provisioner().actions() == ()
    assert as_wanted(aws.provisioner().ensure()) and aws.service.made() == []


CHANGED = replace(
    WANTED, max_acu=700, deletion_protection=False, engine_version="16.14-limitless", tags={**TAGS, "owner": "data"}
)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("begin", ["nothing", "made"])
def test_a_run_that_is_killed_at_any_call_is_finished_by_the_next(begin: str, moment: str) -> None:
    """Before the call left this machine, and after AWS had carried it out; making it, and changing it."""
    wanted, number = WANTED if begin == "nothing" else CHANGED, 0
    while True:
        with rds() as (service, client):
            world = World(service, client)
            if begin == "made":
                world.made()
            setattr(service, moment, number)
            try:
                world.provisioner(wanted).ensure()
            except Killed:
                setattr(service, moment, None)
            else:
                break
            state = world.provisioner(wanted).ensure()

            assert as_wanted(state), number
            made = service.made()
            assert made.count("CreateDBCluster") <= 2 and made.count("CreateDBShardGroup") <= 2, number
            assert service.cluster and service.cluster.told["EngineVersion"] == wanted.engine_version
        number += 1
    assert number > 10


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_deletion_that_is_killed_at_any_call_is_finished_by_the_next(moment: str) -> None:
    wanted, number = replace(WANTED, deletion_protection=False), 0
    while True:
        with rds() as (service, client):
            world = World(service, client).made(wanted)
            setattr(service, moment, number)
            try:
                world.provisioner(wanted).remove(final_snapshot="last-one")
            except Killed:
                setattr(service, moment, None)
            else:
                break

            assert world.provisioner(wanted).remove(final_snapshot="last-one").absent, number
            assert service.snapshots == {"last-one": ["available"]}, number
        number += 1
    assert number > 8


def test_what_differs_is_shown_first_and_changed_in_one_call_each(aws: World) -> None:
    aws.made()
    wanted = replace(CHANGED, engine_version=WANTED.engine_version)

    said = [action.summary for action in aws.provisioner(wanted).actions()]

    assert said == [
        "Change orders: deletion protection: on → off",
        "Change orders-group: largest capacity (ACU): 500 → 700 (routers and shards stay as they are)",
        "Tag cluster orders: owner=data",
        "Tag shard group orders-group: owner=data",
    ]
    assert as_wanted(aws.provisioner(wanted).ensure())
    assert [call for call in aws.service.given if call[0].startswith("Modify")] == [
        ("ModifyDBCluster", {"DBClusterIdentifier": "orders", "DeletionProtection": False, "ApplyImmediately": True}),
        (
            "ModifyDBShardGroup",
            {"DBShardGroupIdentifier": "orders-group", "MinACU": 20, "MaxACU": 700, "ComputeRedundancy": 1},
        ),
    ]


def test_a_new_minor_version_has_no_undo(aws: World) -> None:
    aws.made()
    [action] = aws.provisioner(replace(WANTED, engine_version="16.14-limitless")).actions()

    assert action.undo is None and "interrupts connections" in action.summary


@pytest.mark.parametrize(
    ("wanted", "blocker"),
    [
        (replace(WANTED, engine_version="16.9-limitless"), "there is no way back"),
        (replace(WANTED, engine_version="17.1-limitless"), "another major version takes another cluster"),
        (replace(WANTED, master_username="root"), "master user: postgres → root; AWS cannot change that"),
        (replace(WANTED, max_acu=700, tags={**TAGS, "migrator-plan": "billing"}), "migrator-plan=orders"),
        (replace(WANTED, max_acu=700, tags={**TAGS, "migrator-managed-by": "x"}), "migrator-managed-by=migrator"),
        (replace(WANTED, min_acu=600), "above max_acu"),
    ],
)
def test_what_exists_and_does_not_fit_is_a_no_go(aws: World, wanted: Wanted, blocker: str) -> None:
    aws.made()

    with pytest.raises(NoGo, match=blocker):
        aws.provisioner(wanted).ensure()
    assert aws.service.made() == []


def test_a_cluster_without_our_tags_is_not_changed(aws: World) -> None:
    """Somebody made it by hand: it may serve something else."""
    aws.made()
    assert aws.service.cluster
    aws.service.cluster.told["TagList"] = []

    with pytest.raises(NoGo, match="tag it so to hand it over"):
        aws.provisioner(replace(WANTED, max_acu=600)).ensure()
    with pytest.raises(NoGo, match="tag it so to hand it over"):
        aws.provisioner().remove(final_snapshot=None)
    assert aws.service.made() == []


@pytest.mark.parametrize("part", ["cluster", "group"])
def test_what_is_broken_is_a_no_go(aws: World, part: str) -> None:
    aws.made()
    getattr(aws.service, part).told["Status"] = "incompatible-network"

    with pytest.raises(NoGo, match="incompatible-network"):
        aws.provisioner().ensure()


def test_drift_is_told_with_both_values(aws: World) -> None:
    """Also what AWS says nothing of: that is not the same as being as planned."""
    aws.made()
    assert aws.service.cluster
    aws.service.cluster.told |= {"BackupRetentionPeriod": 1, "DatabaseInsightsMode": "standard"}
    del aws.service.cluster.told["AutoMinorVersionUpgrade"]

    state = aws.provisioner().state()

    assert [str(difference) for difference in state.differences] == [
        "Database Insights: standard → advanced",
        "days of backups: 1 → 7",
    ]
    assert state.untold == ("automatic minor upgrades",)


def test_a_group_of_another_cluster_is_left_alone(aws: World) -> None:
    aws.made()
    assert aws.service.group
    aws.service.group.told["DBClusterIdentifier"] = "billing"

    with pytest.raises(NoGo, match="belongs to another cluster"):
        aws.provisioner().ensure()


def test_a_protected_cluster_is_not_deleted(aws: World) -> None:
    aws.made()

    with pytest.raises(NoGo, match=r"aws\.deletion_protection = false"):
        aws.provisioner().remove(final_snapshot="last-one")
    assert aws.service.made() == []


def test_a_last_snapshot_that_failed_is_said(aws: World) -> None:
    aws.service.snapshots["last-one"] = ["failed"]

    with pytest.raises(PreconditionFailed, match="failed"):
        aws.provisioner().remove(final_snapshot="last-one")


@pytest.mark.parametrize("code", ["Throttling", "InvalidDBClusterStateFault", "ServiceUnavailable"])
def test_a_call_that_comes_too_early_or_too_often_is_made_again(aws: World, code: str) -> None:
    for method in ("CreateDBCluster", "CreateDBShardGroup"):
        aws.service.refuse[method] = [code, code]

    assert as_wanted(aws.provisioner().ensure())


def test_a_moment_without_an_answer_ends_no_wait(aws: World) -> None:
    provisioner = aws.provisioner()
    # The first two looks decide what is to be done; those after a creation are waits.
    codes = ["Throttling", "InternalFailure"]
    provisioner.ensure(lambda action: aws.service.refuse.update(DescribeDBShardGroups=codes))

    assert as_wanted(provisioner.state())


@pytest.mark.parametrize(
    ("method", "code", "said", "hint"),
    [
        ("CreateDBCluster", "AccessDenied", r"rds:CreateDBCluster \(AccessDenied\): rds:CreateDBCluster", "Allow rds:"),
        ("CreateDBCluster", "ExpiredToken", r"credentials .* rds:CreateDBCluster \(ExpiredToken\)", "Renew"),
        ("CreateDBShardGroup", "MaxDBShardGroupLimitReached", "rds:CreateDBShardGroup: MaxDBShardGroupLimit", ""),
        ("DescribeDBClusters", "AccessDenied", "rds:DescribeDBClusters is missing", "Allow rds:DescribeDBClusters"),
    ],
)
def test_a_refusal_names_call_code_and_right(aws: World, method: str, code: str, said: str, hint: str) -> None:
    aws.service.refuse[method] = [code]

    with pytest.raises(PreconditionFailed, match=said) as refused:
        aws.provisioner().ensure()
    assert hint in refused.value.hint
    assert "arn:x" not in str(refused.value) or "Limit" in said


def test_a_change_that_never_settles_is_waited_for_within_bounds(aws: World) -> None:
    aws.made()
    assert aws.service.group
    modify = aws.service._ModifyDBShardGroup

    def never(given: dict[str, Any]) -> dict[str, Any]:
        modify(given)
        assert aws.service.group
        aws.service.group.late = {}
        return {}

    aws.service._ModifyDBShardGroup = never  # type: ignore[method-assign]
    with pytest.raises(ClusterUnavailable, match="still available, changing MaxACU after 10 min"):
        aws.provisioner(replace(WANTED, max_acu=600), timeout_s=600).ensure()


def test_a_new_cluster_needs_password_and_role(aws: World) -> None:
    with pytest.raises(UsageError, match="master password"):
        aws.provisioner(replace(WANTED, master_password=None)).ensure()
    with pytest.raises(UsageError, match="monitoring role"):
        aws.provisioner(replace(WANTED, monitoring_role_arn=None)).ensure()


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

"""What preflight asks AWS, as AWS' own descriptions of its API have it; one refusal takes no other answer away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from migrator.doctor.aws import Aws as Client
from migrator.doctor.aws import Right
from migrator.plan.schema import Plan
from migrator.preflight.aws import ask

ARN = "arn:aws:rds:eu-west-1:123456789012:cluster:"
PLAN = Plan.model_validate(
    {
        "name": "shop",
        "classic": {"writer": "env:A", "cluster_id": "shop"},
        "limitless": {"dsn": "env:B", "cluster_id": "shop-limitless", "shard_group_id": "shop-group"},
    }
)
ORDER = ("rds", "iam", "sts")


@pytest.fixture
def aws() -> Iterator[tuple[Any, dict[str, Stubber]]]:
    keys: Any = {"region_name": "eu-west-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}
    clients = {name: boto3.client(name, **keys) for name in ORDER}  # type: ignore[call-overload]  # names one by one
    stubs = {name: Stubber(client) for name, client in clients.items()}
    for stub in stubs.values():
        stub.activate()
    yield lambda plan: Client(plan, dict(clients)), stubs
    for stub in stubs.values():
        stub.assert_no_pending_responses()


def cluster(name: str, region: str = "eu-west-1", **values: Any) -> dict[str, Any]:
    found = {
        "DBClusterArn": ARN.replace("eu-west-1", region) + name, "Engine": "aurora-postgresql", "EngineVersion": "16.9",
        "DeletionProtection": True, "DBClusterMembers": [{"DBInstanceIdentifier": f"{name}-{n}"} for n in (1, 2)],
        **values,
    }  # fmt: skip
    return {"DBClusters": [found]}


def versions(status: str, *minors: str) -> dict[str, Any]:
    targets: list[dict[str, Any]] = [{"EngineVersion": minor, "IsMajorVersionUpgrade": False} for minor in minors]
    targets.append({"EngineVersion": "17.5", "IsMajorVersionUpgrade": True})
    return {"DBEngineVersions": [{"Status": status, "ValidUpgradeTarget": targets}]}


def test_everything_that_is_asked(aws: tuple[Any, dict[str, Stubber]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "rights", lambda _self: [Right("rds:DeleteDBCluster", False)])
    make, stubs = aws
    rds = stubs["rds"]
    rds.add_response("describe_db_clusters", cluster("shop"), {"DBClusterIdentifier": "shop"})
    other = cluster("shop-limitless", "eu-central-1", DeletionProtection=False)
    rds.add_response("describe_db_clusters", other, {"DBClusterIdentifier": "shop-limitless"})
    rds.add_response("describe_db_shard_groups", {"DBShardGroups": [{"ComputeRedundancy": 0}]})
    rds.add_response("describe_db_engine_versions", versions("available", "16.10", "16.9"))
    rds.add_response("describe_db_engine_versions", versions("deprecated"))
    rds.add_response("describe_integrations", {"Integrations": [{"IntegrationName": "to-redshift"}]})

    found = ask(PLAN, make)

    assert found.asked and found.unknown == ()
    assert found.regions == {"shop": "eu-west-1", "shop-limitless": "eu-central-1"}
    assert found.protected == {"shop": True, "shop-limitless": False}
    assert (found.redundancy, found.instances) == (0, 2)
    assert (found.newer, found.deprecated) == ({"shop": "16.10"}, ("shop-limitless",))
    assert (found.integrations, found.denied) == (("to-redshift",), ("rds:DeleteDBCluster",))


def test_what_is_refused_is_unknown_and_the_rest_is_known(aws: tuple[Any, dict[str, Stubber]]) -> None:
    make, stubs = aws
    rds = stubs["rds"]
    rds.add_response("describe_db_clusters", cluster("shop"))
    rds.add_client_error("describe_db_clusters", "DBClusterNotFoundFault")
    rds.add_client_error("describe_db_shard_groups", "AccessDenied")
    rds.add_client_error("describe_db_engine_versions", "AccessDenied")
    rds.add_client_error("describe_integrations", "AccessDenied")
    stubs["sts"].add_client_error("get_caller_identity", "AccessDenied")

    found = ask(PLAN, make)

    assert found.protected == {"shop": True} and found.redundancy is None and found.denied is None
    assert [why.partition(" (")[0] for why in found.unknown] == [
        "cluster shop-limitless", "shard group shop-group", "the engine version of shop", "zero-ETL integrations",
    ]  # fmt: skip


def test_a_plan_without_aws_asks_nothing() -> None:
    plan = Plan.model_validate({"name": "shop", "classic": {"writer": "env:A"}, "limitless": {"dsn": "env:B"}})

    def never(_plan: Plan) -> Client:
        raise AssertionError("nothing of AWS is named")

    assert not ask(plan, never).asked

"""What doctor asks AWS, as AWS' own descriptions of its API have it; and how each refusal is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from migrator.doctor.aws import Aws, Caller, Cluster, resources, wanted
from migrator.errors import ClusterUnavailable, UsageError
from migrator.plan.schema import Plan

PLAN = Plan.model_validate(
    {
        "name": "shop",
        "classic": {"writer": "aws-secret:shop#dsn", "cluster_id": "shop"},
        "limitless": {"dsn": "env:B", "cluster_id": "shop-limitless", "shard_group_id": "shop-group"},
    }
)


DENIED = {
    ("rds:DeleteDBCluster", "arn:aws:rds:eu-west-1:123456789012:cluster:shop"): "implicitDeny",
    # Of one of two clusters only: a right on the other does not help.
    ("rds:DescribeDBClusters", "arn:aws:rds:eu-west-1:123456789012:cluster:shop-limitless"): "implicitDeny",
}


@pytest.fixture
def aws() -> Iterator[tuple[Aws, dict[str, Stubber]]]:
    keys: Any = {"region_name": "eu-west-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}
    clients = {name: boto3.client(name, **keys) for name in ("sts", "rds", "iam")}
    stubs = {name: Stubber(client) for name, client in clients.items()}
    for stub in stubs.values():
        stub.activate()
    yield Aws(PLAN, dict(clients)), stubs
    for stub in stubs.values():
        stub.assert_no_pending_responses()


def test_the_caller_and_its_rights(aws: tuple[Aws, dict[str, Stubber]]) -> None:
    asked, stubs = aws
    arn = "arn:aws:sts::123456789012:assumed-role/worker/i-1"
    for _ in range(2):
        stubs["sts"].add_response("get_caller_identity", {"Arn": arn})
    asked_for: list[tuple[str, ...]] = []
    groups: dict[tuple[str, ...], list[str]] = {}
    for action in wanted(PLAN):
        groups.setdefault(resources(PLAN, action, arn, "eu-west-1"), []).append(action)
    for on, names in groups.items():
        asked_for.append(on)
        stubs["iam"].add_response(
            "simulate_principal_policy",
            {"EvaluationResults": [
                {
                    "EvalActionName": name,
                    "EvalDecision": "allowed",
                    "ResourceSpecificResults": [
                        {"EvalResourceName": one, "EvalResourceDecision": DENIED.get((name, one), "allowed")}
                        for one in on
                    ],
                }
                for name in names
            ]},
            {
                "PolicySourceArn": "arn:aws:iam::123456789012:role/worker",
                "ActionNames": names,
                "ResourceArns": list(on),
            },
        )  # fmt: skip

    assert asked.caller() == Caller(arn, "eu-west-1")
    found = asked.rights()

    assert [right.action for right in found if not right.allowed] == ["rds:DescribeDBClusters", "rds:DeleteDBCluster"]
    assert {right.action for right in found} == set(wanted(PLAN))
    assert ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop-AAAAAA",) in asked_for


def test_clusters_that_are_there_and_that_are_not(aws: tuple[Aws, dict[str, Stubber]]) -> None:
    asked, stubs = aws
    found = {"DBClusters": [{"DBClusterIdentifier": "shop", "Status": "available", "EngineVersion": "16.4"}]}
    stubs["rds"].add_response("describe_db_clusters", found, {"DBClusterIdentifier": "shop"})
    stubs["rds"].add_client_error("describe_db_clusters", "DBClusterNotFoundFault")
    groups = {"DBShardGroups": [{"Status": "creating", "MaxACU": 64.0}]}
    stubs["rds"].add_response("describe_db_shard_groups", groups, {"DBShardGroupIdentifier": "shop-group"})

    assert asked.clusters() == [
        Cluster("cluster", "shop", "available", "16.4"),
        Cluster("cluster", "shop-limitless", None),
        Cluster("shard group", "shop-group", "creating", "64 ACU at most"),
    ]


def test_a_refusal_is_told_by_its_code_alone(aws: tuple[Aws, dict[str, Stubber]]) -> None:
    asked, stubs = aws
    stubs["rds"].add_client_error("describe_db_clusters", "AccessDenied", "User: arn:… is not authorized to …")

    with pytest.raises(ClusterUnavailable, match="it answered AccessDenied to rds:describe_db_clusters") as refused:
        asked.clusters()
    assert "arn:" not in str(refused.value)


def test_only_what_the_plan_needs_is_asked_for() -> None:
    def of(**sections: Any) -> tuple[str, ...]:
        body = {"name": "shop", "classic": {"writer": "env:A"}, "limitless": {"dsn": "env:B"}, **sections}
        return wanted(Plan.model_validate(body))

    assert of() == ()
    assert of(classic={"writer": "aws-secret:s"}) == ("secretsmanager:GetSecretValue",)
    tokens = {"writer": "rds-iam:aws-secret:s#dsn", "readers": ["rds-iam://the%20tool@h/d"]}
    assert of(classic=tokens) == ("secretsmanager:GetSecretValue", "rds-db:connect")
    plan = Plan.model_validate({"name": "shop", "classic": tokens, "limitless": {"dsn": "env:B"}})
    caller = "arn:aws-cn:iam::123456789012:user/x"
    assert resources(plan, "rds-db:connect", caller, "cn-north-1") == (
        "arn:aws-cn:rds-db:cn-north-1:123456789012:dbuser:*/*",
        "arn:aws-cn:rds-db:cn-north-1:123456789012:dbuser:*/the tool",
    )
    kept = of(classic={"writer": "env:A", "cluster_id": "c"}, decommission={"release_classic": False})
    assert "rds:DeleteDBCluster" not in kept and "cloudwatch:GetMetricData" in kept


def test_without_a_plan_it_is_not_known_what_to_ask() -> None:
    with pytest.raises(UsageError):
        Aws(None)

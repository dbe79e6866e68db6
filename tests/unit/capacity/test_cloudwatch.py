"""What AWS says is read as it says it. Calls are checked against AWS' own description of its API by botocore's stubber;
what AWS does with them is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from migrator.capacity.cloudwatch import CloudWatch, NodeUse
from migrator.control.cost import Hour
from migrator.errors import ClusterUnavailable

NOW = datetime(2026, 11, 29, 12, 34, tzinfo=UTC)
END = datetime(2026, 11, 29, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
GROUP = [{"Name": "DBShardGroupIdentifier", "Value": "orders-shards"}]
CLUSTER = [{"Name": "DBClusterIdentifier", "Value": "orders"}]


def query(name: str, metric: str, dimensions: list[dict[str, str]], stat: str = "Average") -> dict[str, Any]:
    found = {"Namespace": "AWS/RDS", "MetricName": metric, "Dimensions": dimensions}
    return {"Id": name, "MetricStat": {"Metric": found, "Period": 3600, "Stat": stat}}


HOURS = [
    query("acu", "DBShardGroupCapacity", GROUP),
    query("peak", "DBShardGroupCapacity", GROUP, "Maximum"),
    query("standby", "DBShardGroupComputeRedundancyCapacity", GROUP),
    query("bytes", "VolumeBytesUsed", CLUSTER),
]


class Aws:
    def __init__(self, client: Any, stub: Stubber) -> None:
        self.source, self.stub = CloudWatch("orders", "orders-shards", client), stub

    def data(
        self,
        queries: list[dict[str, Any]],
        begin: datetime,
        values: dict[str, dict[datetime, float]],
        *,
        more: str = "",
        token: str = "",
    ) -> None:
        wanted = {"MetricDataQueries": queries, "StartTime": begin, "EndTime": END, "ScanBy": "TimestampAscending"}
        results = [{"Id": name, "Timestamps": list(v), "Values": list(v.values())} for name, v in values.items()]
        answer = {"MetricDataResults": results} | ({"NextToken": more} if more else {})
        self.stub.add_response("get_metric_data", answer, wanted | ({"NextToken": token} if token else {}))

    def listed(self, metric: str, found: list[list[dict[str, str]]], *, more: str = "", token: str = "") -> None:
        wanted = {"Namespace": "AWS/RDS", "MetricName": metric, "Dimensions": GROUP, "RecentlyActive": "PT3H"}
        answer = {"Metrics": [{"Namespace": "AWS/RDS", "MetricName": metric, "Dimensions": d} for d in found]}
        self.stub.add_response(
            "list_metrics",
            answer | ({"NextToken": more} if more else {}),
            wanted | ({"NextToken": token} if token else {}),
        )


@pytest.fixture
def aws() -> Iterator[Aws]:
    client = boto3.client(
        "cloudwatch", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="not-a-secret"
    )
    with Stubber(client) as stub:
        yield Aws(client, stub)
        stub.assert_no_pending_responses()


def test_the_first_time_two_months_are_read_page_by_page(aws: Aws) -> None:
    begin = END - timedelta(days=62)
    aws.data(HOURS, begin, {"acu": {begin: 20.0}, "peak": {begin: 31.0}}, more="next")
    rest = {"acu": {END - HOUR: 22.5}, "standby": {END - HOUR: 11.0}, "bytes": {END - HOUR: 5e11}}
    aws.data(HOURS, begin, rest, token="next")

    assert aws.source.hours(None, NOW) == [Hour(begin, 20.0, 31.0), Hour(END - HOUR, 22.5, None, 11.0, 5e11)]


def test_the_last_hours_are_read_again(aws: Aws) -> None:
    """They arrive late. A stored hour of a clock that was ahead asks for no future."""
    aws.data(HOURS, END - 5 * HOUR, {"acu": {END - 2 * HOUR: 16.0, END - 5 * HOUR: 17.0}})
    assert [h.at for h in aws.source.hours(END - 2 * HOUR, NOW)] == [END - 5 * HOUR, END - 2 * HOUR]
    aws.data(HOURS, END - 3 * HOUR, {})
    assert aws.source.hours(END + timedelta(days=3), NOW) == []


def test_what_is_no_value_is_left_out(aws: Aws) -> None:
    """No number, less than nothing, the hour that is not over, and storage alone: an hour needs its capacity."""
    begin = END - timedelta(days=62)
    acu = {begin: float("nan"), begin + HOUR: -1.0, begin + 2 * HOUR: float("inf"), END: 30.0, begin + 3 * HOUR: 0.0}
    aws.data(HOURS, begin, {"acu": acu, "bytes": {END - HOUR: 1.0}})

    assert aws.source.hours(None, NOW) == [Hour(begin + 3 * HOUR, 0.0)]


def node(kind: str, name: str, *more: tuple[str, str]) -> list[dict[str, str]]:
    """How a node reports: by group, type, name and more."""
    values = {"DBShardGroupSubClusterType": kind, "DBShardGroupSubClusterIdentifier": name, **dict(more)}
    return GROUP + [{"Name": name, "Value": value} for name, value in values.items()]


def test_nodes_are_known_by_what_reports(aws: Aws) -> None:
    """Whatever dimensions they report under, with their standbys; what is no node is left out."""
    router = node("Distributed Transaction Router", "DTR-2-103")
    writer = node("Data Access Shard", "DAS-4-112", ("DBShardGroupInstanceIdentifier", "112"))
    standby = node("Data Access Shard", "DAS-4-113", ("DBShardGroupInstanceIdentifier", "113"))
    aws.listed("CPUUtilization", [GROUP, router, writer], more="next")
    aws.listed("CPUUtilization", [standby, node("Something New", "7")], token="next")
    aws.listed("ACUUtilization", [writer])
    asked = [("CPUUtilization", router), ("CPUUtilization", writer), ("CPUUtilization", standby)]
    queries = [query(f"n{n}", *one) for n, one in enumerate([*asked, ("ACUUtilization", writer)])]
    at = END - HOUR
    aws.data(queries, END - timedelta(days=1), {"n1": {at: 40.0, at - HOUR: 85.0}, "n2": {at: 91.0}, "n3": {at: 130.0}})

    assert aws.source.nodes(NOW) == [NodeUse("4", "shard", 0.91, 1.0)], "the router has no value"


def test_no_node_reports(aws: Aws) -> None:
    aws.listed("CPUUtilization", [])
    aws.listed("ACUUtilization", [])
    assert aws.source.nodes(NOW) == []


@pytest.mark.parametrize("code", ["AccessDenied", "Throttling", "InvalidClientTokenId"])
def test_a_refusal_is_its_code(aws: Aws, code: str) -> None:
    aws.stub.add_client_error("get_metric_data", code, "User: arn:aws:iam::1234:user/ada is not authorized")

    with pytest.raises(ClusterUnavailable) as caught:
        aws.source.hours(None, NOW)
    assert str(caught.value) == f"AWS is unavailable: it answers {code}" and "ListMetrics" in caught.value.hint

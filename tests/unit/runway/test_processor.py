"""Processors are read where the server is, and nowhere else. Calls to AWS are checked against AWS' own description of
its API by botocore's stubber; what AWS does with them is not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from migrator.errors import ClusterUnavailable
from migrator.runway.counters import Session
from migrator.runway.processor import CloudWatch, Machine, Used, is_here, machine, used, vcpus_of

NOW = datetime(2026, 11, 29, 12, 34, tzinfo=UTC)
HOUR = datetime(2026, 11, 29, 11, tzinfo=UTC)
TICK = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A machine that was booted at 1000, with a postgres and a bash that has a bracket in its name."""
    (tmp_path / "stat").write_text("cpu  100 10 50 800 40 0 0 0 0 0\ncpu0 1 1\nbtime 1000\n")
    for pid, name in ((7, "postgres"), (8, "ba) sh")):
        (tmp_path / str(pid)).mkdir()
        fields = ["S", *["0"] * 10, "30", "20", *["0"] * 6, str(50 * TICK), "0"]
        (tmp_path / str(pid) / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")
    return tmp_path


def test_a_server_process_is_known_by_its_name_and_its_beginning(proc: Path) -> None:
    """A number alone may be any process's: of another container, or of after the session's end."""
    assert is_here(7, 1050.5, proc)
    assert not is_here(7, 1060.0, proc) and not is_here(8, 1050.0, proc) and not is_here(9, 1050.0, proc)
    sessions = [Session(pid, "mirrors", 1050.0, True, True) for pid in (7, 8, 9)]
    assert used(sessions, proc) == {Used(7, 1050.0, "mirrors"): 50 / TICK}


def test_the_share_that_was_busy(proc: Path) -> None:
    before = machine(proc)
    assert before is not None and before.busy_s == 160 / TICK and before.total_s == 1000 / TICK
    assert Machine(before.busy_s + 3, before.total_s + 4, 4).since(before) == pytest.approx(0.75)
    assert before.since(before) is None
    assert Machine(0, before.total_s + 4, 4).since(before) is None, "booted anew"
    assert machine(proc / "nowhere") is None


@pytest.mark.parametrize(
    ("name", "vcpus"),
    [
        ("db.r7g.16xlarge", 64), ("db.r8g.48xlarge", 192), ("db.r6i.xlarge", 4), ("db.t4g.medium", 2),
        ("db.r7g.large", 2), ("db.serverless", None), ("db.x2g.metal", None), ("", None),
    ],
)  # fmt: skip
def test_vcpus_of_a_class(name: str, vcpus: int | None) -> None:
    assert vcpus_of(name) == vcpus


class Aws:
    def __init__(self, cloudwatch: Any, rds: Any, watched: Stubber, asked: Stubber) -> None:
        self.source = CloudWatch("orders", cloudwatch, rds)
        self.watched, self.asked = watched, asked

    def hours(self, values: list[tuple[datetime, float]], begin: datetime, more: str = "", token: str = "") -> None:
        wanted = {
            "MetricDataQueries": [
                {
                    "Id": "cpu",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "AWS/RDS",
                            "MetricName": "CPUUtilization",
                            "Dimensions": [
                                {"Name": "DBClusterIdentifier", "Value": "orders"},
                                {"Name": "Role", "Value": "WRITER"},
                            ],
                        },
                        "Period": 3600,
                        "Stat": "Average",
                    },
                }
            ],
            "StartTime": begin,
            "EndTime": HOUR + timedelta(hours=1),
            "ScanBy": "TimestampAscending",
        }
        result = {"Id": "cpu", "Timestamps": [at for at, _ in values], "Values": [v for _, v in values]}
        answer = {"MetricDataResults": [result]} | ({"NextToken": more} if more else {})
        self.watched.add_response("get_metric_data", answer, wanted | ({"NextToken": token} if token else {}))


@pytest.fixture
def aws() -> Iterator[Aws]:
    keys = {"region_name": "eu-west-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}
    cloudwatch, rds = boto3.client("cloudwatch", **keys), boto3.client("rds", **keys)  # type: ignore[call-overload]
    with Stubber(cloudwatch) as watched, Stubber(rds) as asked:
        yield Aws(cloudwatch, rds, watched, asked)
        watched.assert_no_pending_responses()
        asked.assert_no_pending_responses()


def test_the_first_time_two_months_are_read_page_by_page(aws: Aws) -> None:
    begin = HOUR + timedelta(hours=1) - timedelta(days=62)
    aws.hours([(begin, 70.0)], begin, more="next")
    aws.hours([(HOUR, 85.5), (HOUR - timedelta(hours=1), 120.0)], begin, token="next")

    assert aws.source.hours(None, NOW) == [(begin, 0.7), (HOUR - timedelta(hours=1), 1.0), (HOUR, 0.855)]


def test_later_only_what_is_new(aws: Aws) -> None:
    aws.hours([], HOUR)
    assert aws.source.hours(HOUR - timedelta(hours=1), NOW) == [], "an hour without a value is a gap"
    assert aws.source.hours(HOUR, NOW) == [], "no hour is over since: AWS is not asked"


def test_the_writers_class_is_the_size(aws: Aws) -> None:
    """Not a reader's; and a cluster that fails over has no writer for a moment."""
    members = [
        {"DBInstanceIdentifier": "reader", "IsClusterWriter": False},
        {"DBInstanceIdentifier": "writer", "IsClusterWriter": True},
    ]
    aws.asked.add_response(
        "describe_db_clusters", {"DBClusters": [{"DBClusterMembers": members}]}, {"DBClusterIdentifier": ANY}
    )
    aws.asked.add_response(
        "describe_db_instances", {"DBInstances": [{"DBInstanceClass": "db.r7g.16xlarge"}]},
        {"DBInstanceIdentifier": "writer"},
    )  # fmt: skip
    assert aws.source.vcpus() == 64
    aws.asked.add_response(
        "describe_db_clusters", {"DBClusters": [{"DBClusterMembers": members[:1]}]}, {"DBClusterIdentifier": ANY}
    )
    assert aws.source.vcpus() is None


def test_what_aws_refuses_is_said_without_its_words(aws: Aws) -> None:
    aws.watched.add_client_error("get_metric_data", "AccessDenied", "user arn:aws:iam::1:secret may not")
    with pytest.raises(ClusterUnavailable, match="AccessDenied") as caught:
        aws.source.hours(None, NOW)
    assert "secret" not in str(caught.value) and "cloudwatch:GetMetricData" in str(caught.value.hint)


def test_the_use_of_the_shard_group_is_that_of_the_newest_minute(aws: Aws) -> None:
    wanted = {
        "Namespace": "AWS/RDS",
        "MetricName": "DBShardGroupACUUtilization",
        "Dimensions": [{"Name": "DBShardGroupIdentifier", "Value": "group"}],
        "StartTime": NOW - timedelta(minutes=5),
        "EndTime": NOW,
        "Period": 60,
        "Statistics": ["Average"],
    }
    points = [{"Timestamp": NOW - timedelta(minutes=m), "Average": 90.0 - 10 * m, "Unit": "Percent"} for m in (3, 1, 2)]
    aws.watched.add_response("get_metric_statistics", {"Label": "x", "Datapoints": points}, wanted)
    assert aws.source.acu_use("group", NOW) == pytest.approx(0.8)
    aws.watched.add_response("get_metric_statistics", {"Label": "x", "Datapoints": []}, wanted)
    assert aws.source.acu_use("group", NOW) is None

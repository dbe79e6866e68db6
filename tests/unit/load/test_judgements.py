"""When a test stops, what gets worse first, what it would cost, and where it may not run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import ANY

import boto3
import pytest
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from migrator.load import acu
from migrator.load.checks import TargetFacts, Wanted, judge
from migrator.load.project import MARGIN, Cluster, Use, project
from migrator.load.run import Span
from migrator.load.stop import Limits, Second, Watched, reason
from migrator.load.watch import Watch
from migrator.load.worse import Point, first_worse
from migrator.model.cost import Prices
from tests.fixtures.aws import KEYS

# -- stop ------------------------------------------------------------------------------------------------------------

CALM = Watched(cpu=0.3, active=5, before=4)


def seconds(**values: Any) -> list[Second]:
    return [Second(**{"answered": 100, **values})] * 6


def test_a_calm_test_goes_on() -> None:
    assert reason(seconds(), CALM, Limits()) == reason(seconds(), None, Limits()) == reason([], None, Limits()) == ""


@pytest.mark.parametrize(
    ("last", "watched", "said"),
    [
        (seconds(errors=6), None, "6% of the answers in 5 seconds were errors (limit 5%)"),
        (seconds(slow=2), None, "took longer than 5,000 ms"),
        ([Second(waiting=5)] * 10, None, "no answer for 10 s, while 5 arrivals waited"),
        (seconds(), Watched(0.81, 5, 4), "81% of its processors"),
        (seconds(), Watched(0.3, 15, 4), "15 sessions of others are active on classic (limit 14; 4 before the test)"),
        (seconds(), Watched(0.3, 5, 4, age_s=6), "has not answered the test's watch for 6 s"),
        (seconds(), Watched(None, None, 0), "neither the processors nor the sessions"),
    ],
)
def test_why_a_test_stops(last: list[Second], watched: Watched | None, said: str) -> None:
    assert said in reason(last, watched, Limits())


@pytest.mark.parametrize(
    ("last", "watched"),
    [
        ([Second(answered=2, errors=2)] * 5, None),  # ten answers are no share
        ([Second(waiting=0)] * 60, None),  # nothing arrives: nothing is missing
        ([*[Second(waiting=5)] * 9, Second(answered=1, waiting=5)], None),
        (seconds(errors=5), None),
        (seconds(), Watched(0.3, 20, 10)),  # twice as many as before, on a busy classic
        (seconds(), Watched(None, 5, 4)),  # AWS has not answered yet; sessions are seen
    ],
)
def test_why_it_does_not(last: list[Second], watched: Watched | None) -> None:
    assert reason(last, watched, Limits()) == ""


# -- what gets worse -------------------------------------------------------------------------------------------------


def points(*ms: float, calls: int = 500) -> list[Point]:
    return [Point(100.0 * n, calls, value) for n, value in enumerate(ms, 1)]


def test_the_first_to_get_worse_is_first() -> None:
    found = first_worse(
        {
            "steady": points(10, 11, 12, 13),
            "late": points(10, 11, 12, 90),
            "early": points(10, 30, 40, 50),
            "much": points(10, 11, 12, 900),
            "rare": points(1, 50, 90, 100, calls=20),
        }
    )

    assert [(w.statement, w.from_rate) for w in found] == [
        ("early", 200.0), ("much", 400.0), ("late", 400.0), ("steady", None), ("rare", None),
    ]  # fmt: skip


def test_one_slow_step_is_no_trend_and_a_hair_is_nothing() -> None:
    spike, hair = first_worse({"spike": points(10, 90, 12, 13), "hair": points(0.5, 1.5, 2, 3)})

    assert (spike.from_rate, hair.from_rate) == (None, None)


# -- cost ------------------------------------------------------------------------------------------------------------

CLUSTER = Cluster(16, 64, 1, Prices(0.2, 0.1), storage_gb=1000)
USES = [Use(100, 20), Use(300, 40)]


def test_capacity_lies_on_the_measured_line() -> None:
    """64 ACU and below: 2 routers and 2 shards, so that one standby for each shard adds half."""
    found = project(USES, peak=200, growth=1.5, mean=200, cluster=CLUSTER)

    assert (found.peak_acu, found.mean_acu, found.enough) == (60.0, 45.0, True)
    assert found.monthly_usd == pytest.approx(45 * 730 * 0.2 + 1000 * 0.1)
    assert found.least_usd == pytest.approx(16 * 1.5 * 730 * 0.2 + 1000 * 0.1)


def test_nothing_is_projected_far_above_what_was_measured() -> None:
    far = project(USES, peak=300, growth=MARGIN * 1.01, mean=50, cluster=CLUSTER)
    near = project(USES, peak=300, growth=MARGIN, mean=50, cluster=CLUSTER)

    assert (far.peak_acu, far.enough) == (None, None) and any("not known" in line for line in far.assumptions)
    assert near.peak_acu == pytest.approx(55 * 1.5)


def test_more_than_the_plans_maximum_is_said() -> None:
    small = Cluster(16, 32, 0, Prices(None, None))
    found = project(USES, peak=300, growth=1, mean=300, cluster=small)

    assert found.enough is False and found.mean_acu == 32 and found.monthly_usd is None
    assert any("no price" in line for line in found.assumptions)


def test_without_a_measurement_only_the_least_is_priced() -> None:
    found = project([], peak=300, growth=2, mean=300, cluster=CLUSTER)

    assert (found.peak_acu, found.monthly_usd) == (None, None) and found.least_usd is not None


@given(
    st.lists(
        st.tuples(st.floats(1, 1000), st.floats(1, 500)), min_size=1, max_size=6, unique_by=lambda use: round(use[0], 3)
    ),
    st.floats(1, 1000),
    st.floats(1, 1.5),
)
def test_more_load_takes_no_less(pairs: list[tuple[float, float]], rate: float, more: float) -> None:
    """Where what was measured rises with the rate, so does what is projected; never below what is reserved."""
    rates, used = sorted(rate for rate, _ in pairs), sorted(acu for _, acu in pairs)
    uses = [Use(*pair) for pair in zip(rates, used, strict=True)]
    one, other = (project(uses, rate * times, 1, rate * times, CLUSTER) for times in (1, more))

    if one.mean_acu is not None and other.mean_acu is not None:
        assert 24 <= one.mean_acu <= other.mean_acu + 1e-6 <= 96 + 1e-6


def test_capacity_is_of_whole_minutes_within_a_rate() -> None:
    began = datetime(2026, 11, 30, 10, 0, 30, tzinfo=UTC)
    minutes = {datetime(2026, 11, 30, 10, n, tzinfo=UTC): 16.0 + n for n in range(6)}
    spans = [Span(50, 0, 150, 48), Span(100, 150, 200, 99), Span(150, 200, 320, 140)]

    assert acu.uses(minutes, began, spans) == [Use(48, 17.5), Use(140, 20.0)]
    assert acu.has_all(minutes, began + timedelta(minutes=5))
    assert not acu.has_all(minutes, began + timedelta(minutes=9))


AT = datetime(2026, 11, 30, 10, 0, 30, tzinfo=UTC)
MINUTE = AT.replace(second=0)


def cloudwatch(metric: str, dimensions: list[dict[str, str]], values: dict[datetime, float], begin: datetime) -> Any:
    """A client of CloudWatch that expects one question, checked by botocore against AWS' description of it."""
    made = boto3.client("cloudwatch", **KEYS)
    stub = Stubber(made)
    points = [{"Timestamp": at, "Average": value} for at, value in values.items()]
    asked = {
        "Namespace": "AWS/RDS", "MetricName": metric, "Dimensions": dimensions, "StartTime": begin, "EndTime": ANY,
        "Period": 60, "Statistics": ["Average"],
    }  # fmt: skip
    stub.add_response("get_metric_statistics", {"Label": metric, "Datapoints": points}, asked)
    stub.activate()
    return made


def test_cloudwatch_is_asked_for_capacity_by_the_minute() -> None:
    group = [{"Name": "DBShardGroupIdentifier", "Value": "group"}]
    client = cloudwatch("DBShardGroupCapacity", group, {MINUTE: 18.5}, MINUTE)

    assert acu.minutes(client, "group", AT, AT) == {MINUTE: 18.5}


@pytest.mark.parametrize(
    ("values", "newest"),
    [({MINUTE: 85.0, MINUTE - timedelta(minutes=2): 20.0}, 0.85), ({}, None), ({MINUTE: 130.0}, 1.0)],
)
def test_cloudwatch_is_asked_for_the_writers_processors(values: dict[datetime, float], newest: float | None) -> None:
    writer = [{"Name": "DBClusterIdentifier", "Value": "classic"}, {"Name": "Role", "Value": "WRITER"}]
    client = cloudwatch("CPUUtilization", writer, values, AT - timedelta(minutes=5))

    assert Watch("", "classic", cloudwatch=client).newest_of_aws(AT) == newest


# -- where it may run ------------------------------------------------------------------------------------------------


def facts(**more: Any) -> TargetFacts:
    return TargetFacts(
        **{"database": "app", "has_control": False, "is_replica": False, "is_limitless": True, "free": 100, **more}
    )


def wanted(**more: Any) -> Wanted:
    values = {
        "side": "Limitless", "given": False, "connections": 32, "processes": 2, "up_to": None, "highest": 100.0,
        "commits": False, "writes": True,
    }  # fmt: skip
    return Wanted(**{**values, **more})


CLASSIC = {"side": "classic", "up_to": 100.0}
ON_CLASSIC = facts(is_limitless=False)


@pytest.mark.parametrize(
    ("found", "asked", "said"),
    [
        (facts(has_control=True), wanted(commits=True, given=True), ["schema migrator"]),
        (facts(), wanted(commits=True), ["--limitless REF"]),
        (facts(is_replica=True), wanted(), ["read replica"]),
        (facts(is_limitless=False), wanted(), ["not Aurora Limitless"]),
        (facts(), wanted(**CLASSIC), ["is Aurora Limitless"]),
        (facts(), wanted(reading=3), ["3 tenants read from it now"]),
        (facts(free=20), wanted(), ["32 connections are wanted", "20 are free"]),
        (ON_CLASSIC, wanted(**CLASSIC, connections=51), ["may take 50"]),
        (ON_CLASSIC, wanted(**{**CLASSIC, "up_to": 50.0}), ["50/s is the most"]),
        (ON_CLASSIC, wanted(**CLASSIC, watched=False), ["GRANT pg_monitor"]),
        (facts(free=None), wanted(connections=5000), ["ulimit -n"]),
    ],
)
def test_where_a_test_may_not_run(found: TargetFacts, asked: Wanted, said: list[str]) -> None:
    blockers = judge(found, asked, files=1024)

    assert len(blockers) == 1 and all(part in blockers[0] for part in said), blockers


@pytest.mark.parametrize(
    ("found", "asked"),
    [
        (facts(has_control=True), wanted()),
        (facts(), wanted(commits=True, given=True)),
        (facts(is_replica=True), wanted(writes=False)),
        (facts(), wanted(reading=3, up_to=100.0)),
        (facts(), wanted(reading=3, given=True)),
        (facts(free=None), wanted(connections=1900)),
        (ON_CLASSIC, wanted(**CLASSIC, connections=50)),
        (ON_CLASSIC, wanted(**CLASSIC, connections=90, given=True)),
    ],
)
def test_where_it_may(found: TargetFacts, asked: Wanted) -> None:
    assert judge(found, asked, files=1024) == []
    assert judge(found, asked) == []

"""What is said about the bill and the shards, and what is said to be unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from migrator.capacity.lines import Known, capacity_line, causes, cost_line, skew_of
from migrator.capacity.nodes import _place, rates
from migrator.control.cost import Seen
from migrator.model.cost import Against, Basis, Capacity, Node, Prices, SingleShard, Stored, TenantShare, Used
from migrator.plan.schema import Plan

NOW = datetime(2026, 4, 21, tzinfo=UTC)
LAST = datetime(2026, 4, 20, 23, tzinfo=UTC)


def plan(**cost: float) -> Plan:
    prices = {"acu_hour_usd": 0.2, "storage_gb_month_usd": 0.1, "projected_monthly_usd": 1000} | cost
    return Plan.model_validate(
        {"name": "shop", "classic": {"writer": "env:A"}, "limitless": {"dsn": "env:B"}, "cost": prices}
    )


def stored(
    day: int, basis: Basis = Basis.CLOUDWATCH, acu: float = 20, without: float = 0.0, peak: float = 31
) -> Stored:
    return Stored(date(2026, 4, day), 0, basis, Used(24, 24 * acu, 2400, 24), peak, without)


def known(rows: list[Stored], capacity: Capacity | None = None, **cost: Any) -> Known:
    prices = (Prices(cost.get("acu", 0.2), cost.get("gb", 0.1)),)
    return Known(Seen(datetime(2026, 3, 1, tzinfo=UTC), LAST, NOW), prices, rows, capacity)


MONTH = [stored(day) for day in range(1, 21)]


def test_a_month_in_a_line() -> None:
    line = cost_line(known(MONTH), plan())

    assert line.summary == (
        "1,926.67 USD so far in 2026-04, 2,890.00 at its end (2,890.00 to 2,890.00); 20.0 ACU and 100.0 GB;"
        " 293% of the 1,000.00 USD a month that the plan projects"
    )
    assert (line.against, line.basis, line.doubts, line.currency) == (Against.OVER, Basis.CLOUDWATCH, (), "USD")
    assert (line.known_hours, line.over_hours, line.age_s) == (480, 480, 3600)


def test_before_the_first_look_it_is_unknown() -> None:
    line = cost_line(Known(Seen(None, None, NOW), (Prices(None, None),), [], None), plan())
    assert (line.against, line.forecast, line.ratio) == (Against.UNKNOWN, None, None)
    assert line.summary == "unknown: no worker has looked at Limitless yet"
    assert capacity_line(Known(Seen(None, None, NOW), (Prices(None, None),), [], None), plan()).summary == line.summary


def test_a_model_is_the_least_and_says_from_what() -> None:
    line = cost_line(known([stored(day, Basis.MODEL) for day in range(1, 21)]), plan())
    assert line.summary.startswith("at least 1,926.67 USD")
    assert line.doubts == (
        "modelled where CloudWatch has no figures: 24.0 ACU (min_acu of the plan, and its standbys) stand for the"
        " capacity in use, so that the bill is at least this",
    )


def test_the_last_hours_of_cloudwatch_may_be_late() -> None:
    """They are no doubt until they are later than that."""
    late = [replace(row, used=Used(21, 420, 2100, 21)) if row.day.day == 20 else row for row in MONTH]
    later = [replace(row, used=Used(19, 380, 1900, 19)) if row.day.day == 20 else row for row in MONTH]
    assert cost_line(known(late), plan()).doubts == ()
    assert cost_line(known(later), plan()).doubts == (
        "5 h of this month are not known, and taken to be like the last 7 days (20.07 USD)",
    )


def test_what_is_not_known_is_said_with_what_it_does() -> None:
    """Hours, standbys, prices, a worker that rested, AWS that refuses."""
    aws = Capacity(NOW, (), (), 0, None, ("CloudWatch: it answers AccessDenied", "Limitless: timeout"))
    rows = [stored(day, without=24.0) for day in range(10, 20)]
    found = replace(
        known(rows, aws, gb=None),
        seen=Seen(datetime(2026, 4, 5, 6, tzinfo=UTC), datetime(2026, 4, 19, 23, tzinfo=UTC), NOW),
    )
    line = cost_line(found, plan(storage_gb_month_usd=0))

    assert list(line.doubts) == [
        "the last figure is of 2026-04-19 23:00 UTC: does a worker run?",
        "138 h of this month are not known, and taken to be like the last 7 days (552.00 USD)",
        "counted from 2026-04-05 06:00 UTC on, the first figure",
        "240 h of this month lack the capacity of the standbys",
        "storage is not priced: the plan states no cost.storage_gb_month_usd",
        "CloudWatch: it answers AccessDenied",
    ]


def test_without_a_price_the_quantities_are_shown() -> None:
    line = cost_line(known(MONTH, acu=None), plan(acu_hour_usd=0))
    assert line.against is Against.UNPRICED
    assert line.summary.startswith("20.0 ACU and 100.0 GB on average in the last 7 days; not priced")


def test_without_a_projection_nothing_is_over() -> None:
    line = cost_line(known(MONTH), plan(projected_monthly_usd=0))
    assert line.against is Against.UNPROJECTED and "no cost.projected_monthly_usd" in line.summary


def looked(sizes: list[int], tenants: list[TenantShare], single: SingleShard | None = None) -> Capacity:
    shards = tuple(Node(str(n), "shard", size) for n, size in enumerate(sizes, 1))
    return Capacity(NOW, (Node("9", "router", 10**12), *shards), tuple(tenants), 1000, single)


def test_the_largest_shard_and_who_makes_it_so() -> None:
    """Routers hold no rows; tenants of other shards, and small ones, are no cause."""
    tenants = [
        TenantShare("big", 500, None, 0.5, "2"),
        TenantShare("elsewhere", 200, None, 0.2, "1"),
        TenantShare("unplaced", 100, None, 0.1, None),
        TenantShare("small", 1, None, 0.001, "2"),
    ]
    line = capacity_line(known(MONTH, looked([100, 500, 100, 100], tenants, SingleShard(0.97, "counted"))), plan())

    assert line.summary == (
        "4 shards, the largest (2) at 2.50 times the mean, by tenant big (50% of all); 31.0 ACU at most in 7 days, 33.0"
        " below max_acu (64); 97.0% of statements on one shard (counted)"
    )
    assert (line.skew, line.largest_shard, [t.tenant for t in line.cause]) == (2.5, "2", ["big"])


def test_no_more_tenants_are_named_than_it_takes() -> None:
    """Those of the largest shard, the largest first, until it is even without them; three at most."""
    sizes = {"a": 0.2, "b": 0.08, "c": 0.07, "d": 0.06, "e": 0.05}
    tenants = [TenantShare(name, 1, None, share, "2") for name, share in sizes.items()]
    assert [t.tenant for t in causes(looked([100, 150, 100, 100], tenants))] == ["a"]
    assert [t.tenant for t in causes(looked([100, 300, 100, 100], tenants))] == ["a", "b"]
    assert [t.tenant for t in causes(looked([100, 900, 100, 100], tenants))] == ["a", "b", "c"]


def test_even_shards_need_no_cause() -> None:
    line = capacity_line(known(MONTH, looked([100, 110], [TenantShare("a", 900, None, 0.9, "2")])), plan())
    assert line.cause == () and line.summary.startswith("2 shards, the largest (2) at 1.05 times the mean;")


def test_a_skew_of_many_small_tenants_is_not_blamed_on_one() -> None:
    line = capacity_line(known(MONTH, looked([100, 500], [TenantShare("a", 1, None, 0.01, "2")])), plan())
    assert "by none of the largest tenants alone" in line.summary


@pytest.mark.parametrize(("values", "skew"), [([], None), ([0, 0], None), ([5], 1.0), ([1, 1, 4], 2.0)])
def test_skew(values: list[float], skew: float | None) -> None:
    assert skew_of(values) == skew


def test_a_plan_names_one_shard_and_a_tenants_name_is_none() -> None:
    """A tenant may be called like a shard or a slice; several shards, or none, are no answer."""
    slices = {"orders_fs00003": "2", "orders_fs00004": "4"}
    assert _place("Foreign Scan on orders_fs00003 orders\n  Filter: (t = 'postgres_s7')", slices) == "2"
    assert _place("Scan on orders_fs00003\n  Filter: (t = 'it''s orders_fs00004\n postgres_s1')", slices) == "2"
    assert _place("Foreign Scan\nRemote Plans from Shard postgres_s4:\n  Seq Scan on orders_ts00512", {}) == "4"
    assert _place("Append\n -> Scan on orders_fs00003\n -> Scan on orders_fs00004", slices) is None
    assert _place("Result\n  One-Time Filter: false", slices) is None


def test_counters_that_went_back_count_nothing() -> None:
    assert rates({"1": 100, "2": 50}, {"1": 160, "2": 10, "3": 5}, 60) == {"1": 1.0}
    assert rates({"1": 100}, {"1": 160}, 0) == {}

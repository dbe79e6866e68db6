"""Are skew, forecast, runway and size computed as stated?"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.audit.evidence.rows import Load
from migrator.audit.sizing.runway import Writer, facts, runway, weeks_until_full
from migrator.audit.sizing.shards import Demand, size
from migrator.audit.sizing.tenants import Growth, TableCounts, distribution, gini, histogram, unknown_to_root
from migrator.runway.judge import judge


def test_the_distribution_of_a_small_case() -> None:
    """Totals over tables, bytes by row width, hot tenants with reasons, tenants that one table alone knows."""
    orders = TableCounts("orders", {"a": 10, "b": 10, "c": 1000}, {"c": 5}, bytes=1020 * 100)
    items = TableCounts("items", {"a": 5, "b": 5, "c": 5, "ghost": 1, None: 4}, bytes=20 * 10, derived=True)

    found = distribution([orders, items], hot_ratio=20, growth=Growth(0.15, 24))

    assert (found["count"], found["rows"], found["max_rows"]) == (4, 1036, 1005)
    assert found["median_rows"] == 15
    assert found["max_to_median"] == 67.0
    [hot] = found["hot"]
    assert hot["tenant"] == "c"
    assert hot["reasons"] == [
        "67 times the median in rows, most of them in orders",
        "97% of all rows",
        "100% of recent writes",
    ]
    assert found["largest"][0] | {"tables": {}} == {
        "tenant": "c",
        "rows": 1005,
        "bytes": 1000 * 100 + 5 * 10,
        "share": round(1005 / 1036, 6),
        "write_share": 1.0,
        "tables": {},
    }
    assert found["tenantless"] == {"items": 4}
    assert found["only_in"] == [{"table": "items", "count": 1, "sample": ["ghost"]}]
    assert found["exact"]


def test_a_sample_is_scaled_and_said() -> None:
    """Ten percent of the blocks give a tenth of the rows."""
    found = distribution([TableCounts("t", {"a": 10, "b": 90}, sample_pct=10.0)], hot_ratio=20, growth=Growth())

    assert found["rows"] == 1000
    assert not found["exact"]
    assert found["tables"][0]["method"] == "sample of 10 % of blocks"


def test_tenants_the_root_does_not_know() -> None:
    """Only an exact count of the root can tell."""
    root, other = TableCounts("accounts", {"a": 1}), TableCounts("orders", {"a": 1, "z": 1, None: 1})

    assert unknown_to_root([root, other], "accounts") == {"orders": ["z"]}
    assert unknown_to_root([TableCounts("accounts", {"a": 1}, sample_pct=1.0), other], "accounts") == {}


def test_nothing_to_count() -> None:
    """No tenants give figures of zero, not errors."""
    found = distribution([TableCounts("t")], hot_ratio=20, growth=Growth())

    assert (found["count"], found["rows"], found["max_to_median"], found["hot"]) == (0, 0, None, [])


@given(st.lists(st.integers(0, 10**9), max_size=50))
def test_gini_and_histogram_hold_their_bounds(values: list[int]) -> None:
    """Gini lies between 0 and 1; the histogram loses no tenant and no row."""
    bins = histogram(sorted(values))

    assert -1e-9 <= gini(values) <= 1
    assert sum(b["tenants"] for b in bins) == len(values)
    assert sum(b["rows"] for b in bins) == sum(values)
    assert all(b["from_rows"] <= b["to_rows"] for b in bins)


def test_growth_compounds() -> None:
    """15 % a month over 24 weeks is a factor of about 2.2."""
    assert Growth(0.15, 24).factor == pytest.approx(2.16, abs=0.01)


def test_a_saturated_writer_has_weeks() -> None:
    """At 85 % and 15 % a month the writer is full after about five weeks, before any cost of capture."""
    found = runway(Load(commits=100, seconds=10), Writer(0.85, 64), Growth(0.15, 24))

    assert found["weeks"]["none"] == pytest.approx(5.0, abs=0.1)
    assert found["weeks"]["triggers"] < found["weeks"]["none"]
    assert found["closes"] is False
    assert "a larger writer: 2." in found["advice"] and "replicas" in found["advice"]
    assert found["transactions_per_s"] == 10


def test_a_quiet_writer_has_time() -> None:
    """At 20 % the calendar closes with triggers; without growth it never ends."""
    assert runway(None, Writer(0.2, 8), Growth(0.15, 24))["closes"] is True
    assert math.isinf(weeks_until_full(0.5, Growth(0.0, 24), 0.1))


def test_the_audit_judges_as_the_gate_does() -> None:
    """The same facts give the same weeks, the same options, the same answer."""
    load, writer, growth = Load(row_writes=1_500_000, seconds=10), Writer(0.43, 8), Growth(0.15, 24)
    found, asked = runway(load, writer, growth), judge(facts(load, writer, growth))

    assert (found["closes"], found["summary"], found["advice"]) == (asked.closes, asked.summary, asked.advice)
    assert asked.weeks is not None and found["weeks"]["triggers"] == round(asked.weeks, 1)
    assert "150,000 row writes/s" in found["capture_cost_source"]


def test_an_unknown_writer_is_no_answer() -> None:
    """Without its CPU the runway says what it needs."""
    assert runway(None, None, Growth())["closes"] is None


def test_the_size_is_a_range() -> None:
    """Low, likely and high are ordered; the hottest shard is at least its share of tenants."""
    found = size(Demand(54, 4 * 2**40, 0.4, 2.2, 0.2), shards=4)

    assert found["max_acu"]["low"] < found["max_acu"]["likely"] < found["max_acu"]["high"]
    assert found["hottest_shard_acu"] >= 0.4 * found["max_acu"]["likely"] - 1
    assert found["assumptions"]

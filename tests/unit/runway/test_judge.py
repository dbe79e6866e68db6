"""What is unknown never closes, more load never lengthens the runway, and each way out has its figures."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.audit.report.accepted import strange
from migrator.runway.growth import Growth
from migrator.runway.judge import (
    CAPTURE_SHARE,
    INCLUDED,
    MODELLED,
    Capture,
    Facts,
    accepted,
    capture_cost,
    factor,
    floor_blockers,
    gate_blockers,
    judge,
    weeks_until_full,
)

ADR = Facts(0.85, "as the plan says", 64, Growth.stated(0.15, "as the plan says"), MODELLED, 24.0)


def option(facts: Facts, name: str) -> tuple[bool | None, str]:
    found = next(o for o in judge(facts).options if o.name == name)
    return found.closes, found.text


def test_the_decision_does_not_close_and_says_what_would() -> None:
    """85 % and 15 % a month: full within a week with capture; each way out says how much of it is needed."""
    facts = replace(ADR, read_share=0.65, busiest=(("app.orders", 0.5), ("app.items", 0.3), ("app.log", 0.15)))
    found = judge(facts)

    assert found.closes is False and found.weeks is not None and found.weeks < 1.0
    assert [o.name for o in found.options] == [
        "replica_reads", "larger_writer", "fewer_tables", "writes_early", "shorter_calendar",
    ]  # fmt: skip
    assert option(facts, "replica_reads") == (
        True,
        "move reads to replicas first: 61% of the application's load has to leave the writer, and reads are 65% of its"
        " statements' time; then it is full after 26.6 weeks with all of them gone",
    )
    assert option(facts, "larger_writer")[0] is True and "192 vCPUs for 64" in option(facts, "larger_writer")[1]
    assert "have 95% of all row writes; without them capture costs 0.7% of the load" in option(facts, "fewer_tables")[1]
    assert "53% of it at the end" in option(facts, "writes_early")[1]
    assert "at most 0.7 weeks from now" in option(facts, "shorter_calendar")[1]


def test_reads_that_are_too_few_do_not_close_it() -> None:
    assert option(replace(ADR, read_share=0.3), "replica_reads")[0] is False
    assert option(replace(ADR, read_share=None), "replica_reads")[0] is None


def test_a_writer_that_no_class_can_replace() -> None:
    assert option(replace(ADR, vcpus=128), "larger_writer") == (
        False,
        "a larger writer: 2.5 times the present one with 128 vCPUs is more than the largest instance class has (192)",
    )


def test_an_unknown_cpu_is_no_yes() -> None:
    found = judge(replace(ADR, cpu=None, cpu_source="nothing measures it"))

    assert found.closes is None and found.weeks is None
    [blocker] = gate_blockers(found, [])
    assert blocker.code == "runway.unknown" and "nothing measures it" in blocker and "runway.cpu_pct" in blocker


def test_the_worse_end_of_what_is_known_decides() -> None:
    """Growth of 2 to 20 % a month around 10 %: it closes in the middle, so it does not."""
    sure = replace(ADR, cpu=0.5, capture=INCLUDED, growth=Growth.stated(0.10, "x"))
    unsure = replace(sure, growth=Growth(0.10, 0.02, 0.20, "measured"))

    assert judge(sure).closes is True
    assert judge(unsure).closes is False and judge(unsure).likely_weeks == judge(sure).likely_weeks


@pytest.mark.parametrize("monthly", [0.0, -0.1, -0.9])
def test_a_load_that_does_not_grow_is_never_full(monthly: float) -> None:
    found = judge(replace(ADR, cpu=0.5, growth=Growth.stated(monthly, "x")))

    assert found.closes is True and found.endless and found.weeks is None and "never full" in found.summary
    assert judge(replace(ADR, cpu=0.99, growth=Growth.stated(monthly, "x"))).closes is False, "full with capture"


def test_what_is_accepted_by_name_blocks_nothing() -> None:
    short, unknown = judge(ADR), judge(replace(ADR, cpu=None))

    assert gate_blockers(short, ["runway.short"]) == gate_blockers(unknown, ["runway.unknown"]) == ()
    assert gate_blockers(short, ["runway"]) == () and gate_blockers(short, ["runway.unknown", "run"]) != ()
    assert not accepted("runway.short", ["AUD-RUN-01"])


@pytest.mark.parametrize("entry", ["runway.shrot", "runway.short.", "runways", "runway/short"])
def test_a_name_that_accepts_nothing_is_said(entry: str) -> None:
    assert "there is no blocker" in strange([entry])[0] and "runway.short" in strange([entry])[0]
    assert strange(["runway", "runway.short", "runway.unknown", "runway.floor", "rights/x"]) == ()


def test_waves_stop_below_the_floor_alone() -> None:
    """The gate's blocker may have been accepted; close to the end another name has to be."""
    found = judge(replace(ADR, cpu=0.9, capture=INCLUDED, needed_weeks=13))
    assert found.weeks is not None and 3 < found.weeks < 4

    assert floor_blockers(found, 2.0, []) == ()
    [blocker] = floor_blockers(found, 4.0, ["runway.short"])
    assert blocker.code == "runway.floor" and "waves take reads off the writer" in blocker
    assert floor_blockers(found, 4.0, ["runway.floor"]) == ()
    assert floor_blockers(judge(replace(ADR, cpu=None)), 4.0, []) == (), "unknown is said, not blocked"


def test_captures_cost_follows_the_rows_written() -> None:
    found = capture_cost(0.85, 64, 150_000)

    assert (found.low, found.high) == pytest.approx((1.5 / 54.4, 3.9 / 54.4))
    assert capture_cost(0.85, None, 150_000) == capture_cost(None, 64, 1.0) == capture_cost(0.5, 8, 0.0) == MODELLED
    assert capture_cost(0.85, 64, 150_000, busiest=False) == MODELLED, "a mean says no less, never less"
    assert capture_cost(0.85, 64, 900_000, busiest=False).high > CAPTURE_SHARE[1]


_SHARE = st.floats(0.0, 1.0)


@given(
    cpu=_SHARE, more=_SHARE, growth=st.floats(-0.5, 2.0), grown=st.floats(0.0, 1.0), extra=st.floats(0.0, 0.5),
    dearer=st.floats(0.0, 0.5),
)  # fmt: skip
def test_more_never_lengthens_the_runway(
    cpu: float, more: float, growth: float, grown: float, extra: float, dearer: float
) -> None:
    """More load, more growth, dearer capture: the writer is full no later."""
    weeks = weeks_until_full(cpu, growth, extra)

    assert weeks >= 0
    assert weeks_until_full(min(cpu + more, 1.0), growth, extra) <= weeks
    assert weeks_until_full(cpu, growth + grown, extra) <= weeks
    assert weeks_until_full(cpu, growth, extra + dearer) <= weeks


@given(cpu=st.floats(0.01, 0.99), growth=st.floats(0.001, 1.0), extra=st.floats(0.0, 0.3), needed=st.floats(0, 100))
def test_the_weeks_are_when_the_load_is_full(cpu: float, growth: float, extra: float, needed: float) -> None:
    """After so many weeks of that growth the load is 1; and the answer is the comparison with what is needed."""
    facts = replace(
        ADR, cpu=cpu, growth=Growth.stated(growth, "x"), capture=Capture(extra, extra, "x"), needed_weeks=needed
    )
    found = judge(facts)

    assert found.weeks is not None and not found.endless
    if found.weeks > 0:
        assert cpu * (1 + extra) * factor(growth, found.weeks) == pytest.approx(1.0, rel=1e-6)
    assert found.closes is (found.weeks >= needed)
    assert bool(found.options) is not found.closes
    assert found.likely_weeks is not None and math.isclose(found.likely_weeks, found.weeks)


@pytest.mark.parametrize("cpu", [0.0, 0.01, 0.85])
def test_a_calendar_of_any_length_has_an_answer(cpu: float) -> None:
    """A plan may say so by mistake, and status shows the runway during an incident too."""
    found = judge(replace(ADR, cpu=cpu, needed_weeks=1e6))
    assert found.closes is (cpu == 0.0)
    assert found.summary

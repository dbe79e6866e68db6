"""What is measured goes before what the plan says, once it spans enough; what capture and waves do is no growth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from migrator.control.writer_load import Calendar, Day
from migrator.plan.schema import Plan
from migrator.runway.forecast import CLOUDWATCH, LOCAL, Known, concluded, is_spared, needed_weeks
from migrator.runway.growth import MONTH_DAYS
from migrator.runway.judge import INCLUDED, MODELLED, judge

TODAY = 20_000
DAY_S = 86_400.0


def plan(**runway: Any) -> Plan:
    body = {"name": "shop", "classic": {"writer": "env:A"}, "limitless": {"dsn": "env:B"}, "runway": runway}
    return Plan.model_validate(body)


def days(value: Callable[[int], float], count: int, *, until: int = TODAY, seconds: float = DAY_S) -> list[Day]:
    """The *count* days before *until*, each with a busiest hour of twice its mean."""
    return [Day(n, seconds, value(n), 2 * value(n)) for n in range(until - count, until)]


def known(captured: int | None = None, began: int = TODAY - 7, **metrics: list[Day]) -> Known:
    calendar = Calendar(began * DAY_S, None if captured is None else captured * DAY_S, None, TODAY * DAY_S + 3600)
    return Known({name.replace("__", "."): found for name, found in metrics.items()}, calendar)


def growing(monthly: float, start: float) -> Callable[[int], float]:
    return lambda number: float(start * (1 + monthly) ** ((number - TODAY) / MONTH_DAYS))


def test_nothing_known_is_unknown() -> None:
    facts = concluded(known(), plan())

    assert facts.cpu is None and "neither CloudWatch nor this machine's /proc" in facts.cpu_source
    assert judge(facts).closes is None


def test_the_plan_speaks_where_nothing_is_measured() -> None:
    facts = concluded(known(), plan(cpu_pct=50.0, vcpus=16, monthly_growth_pct=7.0))

    assert (facts.cpu, facts.vcpus, facts.growth.monthly, facts.capture) == (0.5, 16, 0.07, MODELLED)
    assert "as the plan says" in facts.cpu_source


def test_hours_are_no_day() -> None:
    """A busiest hour is known after a whole day; until then the plan speaks, and without it nobody does."""
    morning = known(cpu__local=[Day(TODAY, 5 * 3600, 0.2, 0.3)])

    assert concluded(morning, plan()).cpu is None
    assert "measured 5 h" in concluded(morning, plan()).cpu_source
    stated = concluded(morning, plan(cpu_pct=60.0))
    assert stated.cpu == 0.6 and "measured 5 h" in stated.doubts[0]


def test_a_few_days_can_only_raise_what_the_plan_says() -> None:
    """Two days of a week may be the quiet ones; a whole week goes before the plan."""
    for count, stated, cpu in ((2, 60.0, 0.6), (2, 30.0, 0.4), (7, 60.0, 0.4)):
        found = concluded(known(cpu__local=days(lambda _: 0.2, count)), plan(cpu_pct=stated))
        assert found.cpu == pytest.approx(cpu), (count, stated)


def test_the_day_that_is_not_over_can_only_raise_the_peak() -> None:
    week = days(lambda _: 0.2, 7)

    for now, cpu in ((0.1, 0.4), (0.9, 0.9)):
        assert concluded(known(cpu__local=[*week, Day(TODAY, 7200, now, now)]), plan()).cpu == pytest.approx(cpu)


def test_cloudwatch_goes_before_this_machine() -> None:
    """It measures the instance; a worker's own machine may be another one."""
    facts = concluded(
        known(
            cpu__local=days(lambda _: 0.1, 7),
            cpu__cloudwatch=days(lambda _: 0.3, 7),
            vcpus__cloudwatch=days(lambda _: 64, 1),
            vcpus__local=days(lambda _: 2, 1),
        ),
        plan(vcpus=2),
    )

    assert facts.cpu == pytest.approx(0.6) and facts.vcpus == 64 and "CloudWatch in 7 days" in facts.cpu_source
    assert (CLOUDWATCH, LOCAL) == ("cpu.cloudwatch", "cpu.local")


def test_a_measurement_that_ended_is_none() -> None:
    """Ten days without a sample: what was measured before them is no peak of today."""
    assert concluded(known(cpu__local=days(lambda _: 0.2, 30, until=TODAY - 10)), plan()).cpu is None


def test_days_of_a_clock_that_was_ahead_do_not_count() -> None:
    ahead = days(lambda _: 0.45, 3, until=TODAY + 400)

    assert concluded(known(cpu__local=[*days(lambda _: 0.2, 7), *ahead]), plan()).cpu == pytest.approx(0.4)


def test_captures_cost_is_counted_once() -> None:
    """On top of what was measured without it; not on top of days that have it."""
    before = known(captured=TODAY - 1, cpu__local=days(lambda _: 0.2, 6, until=TODAY))
    after = known(captured=TODAY - 4, cpu__local=[*days(lambda _: 0.2, 4, until=TODAY - 4), *days(lambda _: 0.25, 3)])

    assert concluded(before, plan()).capture == MODELLED
    facts = concluded(after, plan())
    assert facts.capture == INCLUDED and facts.cpu == pytest.approx(0.5), "the days before capture are left out"


def test_capture_is_measured_where_functions_are_tracked() -> None:
    """90 ms a second in the busiest hour, of half of two cores."""
    facts = concluded(
        known(captured=TODAY - 1, capture_ms=[Day(TODAY, 7200, 45, 90)], cpu__local=days(lambda _: 0.25, 7),
              vcpus__local=days(lambda _: 2, 1)),
        plan(),
    )  # fmt: skip

    assert (facts.capture.low, facts.capture.high) == pytest.approx((0.09, 0.09))
    assert facts.capture.source.startswith("measured")


def test_growth_is_that_of_row_writes() -> None:
    """Capture raised the CPU and waves lowered it: neither is growth. The size of the data is the last to be asked."""
    writes, size = days(growing(0.10, 900.0), 35), days(growing(0.40, 1e9), 35)
    cpu = [*days(lambda _: 0.2, 21, until=TODAY - 14), *days(lambda _: 0.3, 14)]

    facts = concluded(known(captured=TODAY - 14, row_writes=writes, database_bytes=size, cpu__local=cpu), plan())
    assert facts.growth.monthly == pytest.approx(0.10) and "row writes over 35 days" in facts.growth.source
    without = concluded(known(captured=TODAY - 14, database_bytes=size, cpu__local=cpu), plan())
    assert without.growth.monthly == pytest.approx(0.40) and "size of the data" in without.growth.source
    assert any("CPU in the busiest hour is known of 21 days" in doubt for doubt in without.doubts)


def test_the_journal_is_no_data() -> None:
    """It grows while a copy holds it; the application's data does not."""
    size = days(lambda n: 1e9 + (n - TODAY + 35) * 1e8, 35)
    journal = days(lambda n: (n - TODAY + 35) * 1e8, 35)

    found = concluded(known(database_bytes=size, journal_bytes=journal), plan()).growth
    assert found.monthly == pytest.approx(0.0, abs=1e-9)


def test_growth_that_is_not_believed_yet_leaves_it_to_the_plan() -> None:
    facts = concluded(known(row_writes=days(growing(0.5, 900.0), 20)), plan(monthly_growth_pct=15.0))

    assert facts.growth.monthly == 0.15 and "row writes is known of 20 days" in facts.doubts[0]


def test_reads_are_a_share_of_the_applications_time() -> None:
    assert concluded(known(read_ms=days(lambda _: 600, 3), write_ms=days(lambda _: 200, 3)), plan()).read_share == 0.75
    assert concluded(known(), plan()).read_share is None
    assert concluded(known(read_ms=days(lambda _: 0, 3), write_ms=days(lambda _: 0, 3)), plan()).read_share is None


@pytest.mark.parametrize(
    ("elapsed_weeks", "stabilized_days", "needed"),
    [(0, None, 24), (10, None, 14), (20, None, 90 / 7), (40, None, 90 / 7), (30, 20, 10), (60, 200, 0), (-3, None, 24)],
)
def test_a_calendar_that_slipped_shortens_nothing(
    elapsed_weeks: float, stabilized_days: float | None, needed: float
) -> None:
    """The 90 days are to come, however late it is; a clock that was set back gives nothing either."""
    now = 1e9
    since = None if stabilized_days is None else now - stabilized_days * DAY_S

    found = needed_weeks(Calendar(now - elapsed_weeks * 7 * DAY_S, None, since, now), 24, 90)

    assert found == pytest.approx(needed)


def test_servers_of_this_machine_are_spared_unless_the_plan_says_more() -> None:
    local = {"name": "demo", "classic": {"writer": "local:classic"}, "limitless": {"dsn": "local:limitless"}}

    assert is_spared(Plan.model_validate(local)) and not is_spared(plan()) and is_spared(plan(), here=True)
    assert not is_spared(Plan.model_validate({**local, "runway": {"cpu_pct": 80.0}}))

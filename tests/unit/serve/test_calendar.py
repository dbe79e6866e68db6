"""Phases are held against the calendar of the decision, whatever length the plan gives it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from migrator.model.phase import ORDER
from migrator.model.status import PhaseLine
from migrator.serve.calendar import calendar
from migrator.serve.charts import strip

START = datetime(2026, 1, 1, tzinfo=UTC)


def phases(current: int, began_week: float) -> list[PhaseLine]:
    """All before number *current* are done, that one runs since *began_week*."""
    began = START + timedelta(weeks=began_week)
    return [
        PhaseLine(p.value, "done", None, started_at=START, finished_at=began) if n < current
        else PhaseLine(p.value, "running", began, started_at=began) if n == current
        else PhaseLine(p.value, "pending", None)
        for n, p in enumerate(ORDER)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("current", "week", "weeks", "said"),
    [
        (3, 11.0, 24, "on time: cutover is planned for weeks 11 to 14"),
        (3, 8.0, 24, "ahead of the calendar: cutover was planned for weeks 11 to 14"),
        (2, 12.0, 24, "2.0 weeks behind the calendar: dual write was to end with week 10"),
        (2, 10.5, 24, "3.5 days behind the calendar"),
        (3, 22.0, 48, "on time: cutover is planned for weeks 21 to 28"),
        (6, 24.0, 24, ""),
    ],
)
def test_the_week_is_compared_with_the_plan(current: int, week: float, weeks: float, said: str) -> None:
    found = calendar(phases(current, min(week, 1)), START, START + timedelta(weeks=week), weeks)

    assert found.verdict.startswith(said) and (said or not found.verdict)
    assert "<svg" in strip(found)


def test_before_the_start_there_is_a_plan_and_no_verdict() -> None:
    found = calendar([PhaseLine(p.value, "pending", None) for p in ORDER], None, START, 24)

    assert (found.now, found.verdict) == (None, "")
    assert all(one.actual is None for one in found.stretches)
    assert "<svg" in strip(found)


def test_a_migration_of_minutes_and_one_of_years_can_be_drawn() -> None:
    for week in (0.0, 0.001, 300.0):
        assert "<svg" in strip(calendar(phases(4, 0), START, START + timedelta(weeks=week), 24))

"""The 90 days: counted, restarted, paused, described; and never decided by comparing two clocks."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from migrator.decommission.window import (
    DAY_S,
    WindowRules,
    checked,
    continued,
    day_of,
    describe,
    next_check_in_s,
    open_window,
    over,
)

RULES = WindowRules(days=90, check_every_days=1, on_incident="restart")
PAUSING = WindowRules(days=90, check_every_days=1, on_incident="pause")


def test_ninety_days_without_incident_are_ninety_days() -> None:
    window = open_window(1000.0, 7, RULES)

    assert not over(window, 1000.0 + 90 * DAY_S - 1)
    assert over(window, 1000.0 + 90 * DAY_S)
    assert describe(window, 1000.0 + 37 * DAY_S, RULES) == "day 37 of 90"


def test_an_incident_restarts_the_days() -> None:
    window = open_window(0.0, 7, RULES)
    window = checked(window, 37 * DAY_S, [(8, "rollback: drill")], RULES)

    assert describe(window, 37 * DAY_S, RULES) == "day 0 of 90, restarted 1 time (last: rollback: drill)"
    assert not over(window, 90 * DAY_S)
    assert over(window, (37 + 90) * DAY_S)


def test_an_incident_counts_once() -> None:
    window = checked(open_window(0.0, 7, RULES), DAY_S, [(7, "old"), (8, "new")], RULES)
    again = checked(window, 2 * DAY_S, [(8, "new")], RULES)

    assert (window.restarts, again.restarts, again.checks) == (1, 1, 2)


def test_a_pause_stops_the_days_until_a_person_continues() -> None:
    window = checked(open_window(0.0, 0, PAUSING), 30 * DAY_S, [(1, "slo_breach: p99")], PAUSING)

    assert not over(window, 500 * DAY_S)
    assert describe(window, 40 * DAY_S, PAUSING) == "day 30 of 90, paused: slo_breach: p99"

    window = continued(window, 50 * DAY_S)
    assert not over(window, (90 + 20) * DAY_S - 1)
    assert over(window, (90 + 20) * DAY_S)


def test_a_fast_clock_changes_the_length_and_not_the_words() -> None:
    fast = WindowRules(days=90, check_every_days=30, on_incident="restart", scale=1_000_000)
    window = open_window(0.0, 0, fast)

    assert round(window.deadline_s, 3) == 7.776
    assert describe(window, 3.888, fast) == "day 45 of 90"
    assert round(next_check_in_s(window, 7.0, fast), 3) == 0.776


@given(st.lists(st.tuples(st.floats(0.01, 40), st.booleans()), max_size=20), st.sampled_from(["restart", "pause"]))
def test_days_never_leave_their_range_and_an_incident_never_shortens(
    steps: list[tuple[float, bool]], kind: str
) -> None:
    rules = WindowRules(days=90, check_every_days=1, on_incident=kind)  # type: ignore[arg-type]
    window, now, number = open_window(0.0, 0, rules), 0.0, 0
    for days, incident in steps:
        now += days * DAY_S
        before = window.deadline_s
        if incident:
            number += 1
        window = checked(window, now, [(number, "x")] if incident else [], rules)
        assert window.deadline_s >= before
        assert 0.0 <= day_of(window, now, rules) <= 90.0


def test_a_plan_that_changes_its_days_moves_the_end_and_keeps_what_has_passed() -> None:
    """Longer and shorter, and after an incident too; a window kept before days could change stays as it is."""
    longer, shorter = WindowRules(120, 1, "restart"), WindowRules(30, 1, "restart")
    window = open_window(0.0, 0, RULES)

    assert not over(checked(window, 100 * DAY_S, [], longer), 120 * DAY_S - 1)
    assert describe(checked(window, 37 * DAY_S, [], longer), 37 * DAY_S, longer) == "day 37 of 120"
    assert over(checked(window, 31 * DAY_S, [], shorter), 31 * DAY_S)
    back = checked(checked(window, DAY_S, [], longer), 2 * DAY_S, [], RULES)
    assert back.deadline_s == window.deadline_s
    restarted = checked(window, 10 * DAY_S, [(1, "drill")], longer)
    assert restarted.deadline_s == (10 + 120) * DAY_S and checked(restarted, 11 * DAY_S, [], longer).restarts == 1
    kept = replace(window, days=0)
    assert checked(kept, DAY_S, [], RULES).deadline_s == window.deadline_s

"""A run stops when classic is in trouble, or Limitless is gone, and for nothing less."""

from __future__ import annotations

import pytest

from migrator.model.side import Side
from migrator.model.traffic_test import LOST
from migrator.shadow.ask import Answer
from migrator.shadow.stopping import LOST_THERE, RECENT, TIMED_OUT, TIMEOUTS, TROUBLE, Watch


def after(side: Side, *states: str) -> str:
    watch = Watch(250.0)
    for state in states:
        watch.answered(side, Answer(1.0, state, "words"))
    return watch.why


@pytest.mark.parametrize("state", ["53300", "53200", "57P03", "08006", LOST])
def test_trouble_of_classic_stops_it(state: str) -> None:
    assert after(Side.CLASSIC, *[state] * (TROUBLE - 1)) == ""
    assert after(Side.CLASSIC, state, "", state, "", state) == "classic is in trouble: words"


def test_errors_of_statements_do_not() -> None:
    assert after(Side.CLASSIC, *["42P01", "23505", "22012", "40001"] * 20) == ""
    assert after(Side.CLASSIC, *[TIMED_OUT] * (TIMEOUTS - 1)) == ""
    assert "within the timeout" in after(Side.CLASSIC, *[TIMED_OUT] * TIMEOUTS)


def test_limitless_that_is_gone_stops_it() -> None:
    assert after(Side.LIMITLESS, *([LOST] * (LOST_THERE - 1) + [""]) * 5) == ""
    assert after(Side.LIMITLESS, *["0A000", TIMED_OUT] * 50) == ""
    assert after(Side.LIMITLESS, *[LOST] * LOST_THERE).startswith("Limitless did not answer")


def test_slow_round_trips_to_classic_stop_it_by_their_median() -> None:
    watch = Watch(250.0)
    for number in range(100):
        watch.went(Side.CLASSIC, 9000.0 if number % 3 == 0 else 1.0)
        watch.went(Side.LIMITLESS, 9000.0)
    assert watch.why == ""
    assert watch.trip_ms(Side.CLASSIC) == 1.0 and watch.trip_ms(Side.LIMITLESS) == 9000.0
    for _ in range(RECENT):
        watch.went(Side.CLASSIC, 300.0)
    assert watch.why == "a round trip to classic takes 300 ms (limit 250 ms)"

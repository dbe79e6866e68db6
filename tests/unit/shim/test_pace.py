"""Whatever the fleet does, classic is asked a bounded number of times; and one process alone does not wait for that."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from migrator.shim.current_view import CurrentView
from migrator.shim.pace import LONGEST_AIM_S, LONGEST_FLUSH_S, LONGEST_S, LOOKS_PER_S, SHORTEST_S, Pace

ANSWERS = st.floats(0, 0.5)


def middle() -> float:
    return 0.5  # a die that keeps its factor at one


@given(st.integers(1, 5000), st.lists(st.tuples(ANSWERS, st.booleans()), max_size=200), st.floats(0, 0.9999))
def test_a_fleet_that_waits_all_the_time_stays_within_its_looks(
    fleet: int, answers: list[tuple[float, bool]], die: float
) -> None:
    pace, now = Pace(lambda: die), 100.0
    pace.fleet = fleet
    pace.began(now)
    sent = []
    for answer_s, moved in answers:
        now = max(now, pace.due_s)
        sent.append(now)
        pace.looked(now, now + answer_s, moved)
        now += answer_s
    gaps = [b - a for a, b in itertools.pairwise(sent)]
    assert all(gap >= 0.89 * max(SHORTEST_S, fleet / LOOKS_PER_S) for gap in gaps)


def test_waits_that_begin_one_after_the_other_share_the_pace_of_the_process() -> None:
    """Each new wait would otherwise bring a look of its own."""
    pace = Pace(middle)
    pace.fleet = 500
    pace.looked(100.0, 100.001, True)
    for number in range(40):
        pace.began(100.0 + number / 1000)
    assert pace.due_s >= 100.0 + 500 / LOOKS_PER_S


def test_a_process_alone_looks_soon_and_later_each_time_while_nothing_moves() -> None:
    pace = Pace(middle)
    pace.began(100.0)
    gaps, sent = [], pace.due_s
    assert sent <= 100.0 + LONGEST_AIM_S
    for _ in range(12):
        pace.looked(sent, sent, False)
        gaps.append(pace.due_s - sent)
        sent = pace.due_s
    assert gaps == sorted(gaps)
    assert gaps[0] < 2 * SHORTEST_S
    assert abs(gaps[-1] - LONGEST_S) < 1e-9

    pace.looked(sent, sent, True)
    assert abs(pace.due_s - sent - SHORTEST_S) < 1e-9


def test_a_classic_that_answers_slowly_is_asked_less_often() -> None:
    pace = Pace(middle)
    before = pace.interval_s
    for _ in range(20):
        pace.looked(100.0, 100.1, True)
    assert pace.interval_s > 0.3 > before


def test_the_first_look_comes_when_it_is_usually_enough() -> None:
    """The mirror needs 12 ms; an earlier look is wasted, a later one makes the write wait."""
    pace, now, looks, waited = Pace(middle), 100.0, [], []
    for _ in range(400):
        pace.began(now)
        began, count = now, 0
        while True:
            now, count = pace.due_s, count + 1
            pace.looked(now, now + 0.0002, True)
            if now >= began + 0.012:
                break
        pace.ended(count)
        looks.append(count)
        waited.append(now - began)
        now += 0.1
    assert sum(looks[100:]) / 300 < 1.5
    assert sum(waited[100:]) / 300 < 0.018


def test_many_samples_are_written_seldom_and_few_every_second() -> None:
    pace = Pace(middle)
    assert pace.flush_s(0) == pace.flush_s(20) == 1.0
    pace.fleet = 500
    assert pace.flush_s(2) == 1.0
    assert pace.flush_s(50) == 5.0
    assert pace.flush_s(100_000) == LONGEST_FLUSH_S


def test_what_is_not_urgent_is_read_by_one_after_the_other() -> None:
    alone, many = Pace(lambda: 1.0), Pace(lambda: 1.0)
    many.fleet = 500
    assert alone.spread_s(10_000, 0.5) < 0.01
    assert many.spread_s(1, 0.5) < 0.2
    assert many.spread_s(10_000, 0.5) == 0.5, "bounded by the poll that comes anyway"


def test_a_wait_without_a_look_teaches_nothing() -> None:
    board = CurrentView(lambda: 100.0)
    before = board.pace._aim_s
    with board.attention():
        pass
    assert board.pace._aim_s == before
    for looks, sign in ((1, -1), (2, 1)):
        before = board.pace._aim_s
        with board.attention():
            board.looks += looks
        assert (board.pace._aim_s - before) * sign > 0


def test_only_the_first_of_several_threads_wakes_the_watcher() -> None:
    board, woken = CurrentView(lambda: 100.0), []
    board.wake = lambda: woken.append(1)
    with board.attention(), board.attention():
        assert board.waiting == 2
    with board.attention():
        pass
    assert len(woken) == 2

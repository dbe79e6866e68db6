"""A poll asks at least once, hurries to its deadline, and answers with what it saw last."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from migrator.poll import until, until_async


class Clock:
    """Time that passes only while somebody sleeps; remembers the pauses."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds


def _from(answers: list[int]) -> Iterator[int]:
    yield from answers
    while True:
        yield answers[-1]


def test_the_first_answer_that_is_done_ends_it() -> None:
    clock, answers = Clock(), _from([0, 0, 7, 8])

    assert until(lambda: next(answers), 10, 0.5, clock=clock, sleep=clock.sleep) == 7
    assert clock.pauses == [0.5, 0.5]


def test_the_last_answer_is_told_when_the_time_is_up() -> None:
    """The last pause is cut short, so that the last look is at the deadline and not before it."""
    clock, answers = Clock(), _from([1, 2, 3, 4, 5])

    found = until(lambda: next(answers), 1.2, 0.5, done=lambda n: n > 10, clock=clock, sleep=clock.sleep)

    assert found == 4
    assert [round(p, 3) for p in clock.pauses] == [0.5, 0.5, 0.2]


def test_no_time_at_all_still_asks_once() -> None:
    clock = Clock()

    assert until(lambda: 0, 0, 1, clock=clock, sleep=clock.sleep) == 0
    assert clock.pauses == []


def test_pauses_grow_up_to_the_longest() -> None:
    clock = Clock()

    until(lambda: False, 10, 1, slower=2, longest_s=3, clock=clock, sleep=clock.sleep)

    assert clock.pauses == [1, 2, 3, 3, 1]


@given(timeout_s=st.floats(0, 50), every_s=st.floats(0.01, 20), slower=st.floats(1, 3), took_s=st.floats(0, 5))
def test_it_ends_at_its_deadline(timeout_s: float, every_s: float, slower: float, took_s: float) -> None:
    """Whatever a look takes, none begins after the deadline, and none is missing at it."""
    clock = Clock()
    began: list[float] = []

    def look() -> bool:
        began.append(clock.now_s - 100)
        clock.now_s += took_s
        return False

    until(look, timeout_s, every_s, slower=slower, longest_s=30, clock=clock, sleep=clock.sleep)

    assert began[-1] <= timeout_s + 1e-6
    assert began[-1] + took_s >= timeout_s - 1e-6


async def test_the_same_without_blocking() -> None:
    answers = _from([0, 0, 3])

    async def look() -> int:
        return next(answers)

    assert await until_async(look, 10, 0.001) == 3
    assert await until_async(look, 0, 60, done=lambda n: n > 3) == 3

"""A clock that goes on with whichever of two clocks does."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.shim.clock import APART_S, Clock


@dataclass
class Machine:
    booted_s: float = 100.0
    wall_s: float = 1_700_000_000.0

    def clock(self) -> Clock:
        return Clock(lambda: self.booted_s, lambda: self.wall_s)

    def run(self, seconds: float) -> None:
        self.booted_s += seconds
        self.wall_s += seconds


@pytest.mark.parametrize("stopped", ["neither", "machine", "wall"])
def test_time_passes_whichever_clock_is_stopped(stopped: str) -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock()
    machine.booted_s += 0.0 if stopped == "machine" else 60.0
    machine.wall_s += 0.0 if stopped == "wall" else 60.0
    assert clock() - before == pytest.approx(60.0)
    machine.run(1.0)
    assert clock() - before == pytest.approx(61.0)


def test_a_wall_clock_that_is_set_back_changes_nothing_and_what_it_gains_afterwards_counts() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock()
    machine.wall_s -= 3600.0
    assert clock() == before
    machine.run(5.0)
    assert clock() - before == pytest.approx(5.0)
    machine.wall_s += 3600.0  # set right again: it cannot be told from having been stopped
    assert clock() - before == pytest.approx(3605.0)


def test_many_small_stops_are_not_lost() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock()
    for _ in range(100):
        machine.wall_s += APART_S / 2
        clock()
    assert clock() - before >= 100 * APART_S / 2 - APART_S


def test_a_thread_that_is_held_up_between_two_readings_loses_nothing_for_good() -> None:
    machine = Machine()
    held_up_s = iter([0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])

    def wall() -> float:
        machine.run(next(held_up_s))
        return machine.wall_s

    clock = Clock(lambda: machine.booted_s, wall)
    before = clock()  # 5 s pass after the first clock was read
    machine.run(1.0)
    assert clock() - before == pytest.approx(6.0)


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(-1e4, 1e4)), max_size=30))
def test_it_never_goes_back_nor_slower_than_either_clock(steps: list[tuple[float, float]]) -> None:
    machine = Machine()
    clock = machine.clock()
    began_s, before, booted_s, gained_s = clock(), clock(), machine.booted_s, 0.0
    wall_s = lowest = 0.0
    for passed_s, moved_s in steps:
        machine.booted_s += passed_s
        machine.wall_s += moved_s
        wall_s += moved_s - passed_s
        now = clock()
        assert now >= before
        before = now
        lowest = min(lowest, wall_s)
        gained_s = max(gained_s, wall_s - lowest)
    assert before - began_s >= machine.booted_s - booted_s - 1e-3
    assert before - began_s >= machine.booted_s - booted_s + gained_s - APART_S - 1e-3

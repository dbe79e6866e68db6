"""The pace follows both sides, settles near a target, never swings to nothing, and always says why."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.dataplane.backfill.throttle import allowed, idle_s
from migrator.model.pace import EASY, FAR, LESS, STEP, Pace, Signal, after

FLOOR = 0.1
TARGET = 200.0


def look(value: float | None) -> Signal:
    return Signal("commits on classic take", value, TARGET, "ms")


def run(pace: Pace, values: list[float | None], floor: float = FLOOR) -> list[Pace]:
    seen = [pace]
    for value in values:
        seen.append(after(seen[-1], [look(value)], floor))
    return seen


def test_one_look_over_the_target_is_none_two_are() -> None:
    once = run(Pace(), [300.0, 100.0])
    assert [p.share for p in once] == [1.0, 1.0, 1.0] and once[-1].reason == ""

    twice = run(Pace(), [300.0, 300.0])[-1]
    assert twice.share == LESS and twice.reason == "commits on classic take 300 ms (target 200)"
    assert twice.words == "70% of what the plan allows: commits on classic take 300 ms (target 200)"
    assert run(Pace(), [FAR * TARGET + 1])[-1].share == LESS, "far over counts at once"


def test_between_easy_and_the_target_nothing_moves() -> None:
    seen = run(Pace(0.5), [TARGET * 0.9] * 20)

    assert {p.share for p in seen} == {0.5}
    assert seen[-1].reason == "held, commits on classic take 180 ms (target 200)"


def test_the_worst_of_both_sides_decides() -> None:
    calm, bad = look(10), Signal("answers of Limitless take", 900, 300, "ms")

    for order in ([calm, bad], [bad, calm]):
        assert after(Pace(), order, FLOOR).reason == "answers of Limitless take 900 ms (target 300)"


def test_what_is_unknown_lets_nothing_rise() -> None:
    assert after(Pace(0.4), [look(None)], FLOOR).share == 0.4
    assert after(Pace(0.4), [], FLOOR).reason == "neither side can be measured"
    assert after(Pace(), [look(None)], FLOOR) == Pace()


def settled(plant: Callable[[float], float], looks: int = 400) -> list[float]:
    """The shares of the last half of *looks* with a side whose latency is *plant* of the share."""
    pace, seen = Pace(), []
    for _ in range(looks):
        pace = after(pace, [look(plant(pace.share))], FLOOR)
        seen.append(pace.share)
    return seen[looks // 2 :]


@given(idle=st.floats(0, 0.7), slope=st.floats(0.5, 20.0))
def test_it_settles_where_the_side_is_at_its_target(idle: float, slope: float) -> None:
    """Latency grows with the share: the share ends where it is between easy and the target, and stays there."""
    seen = settled(lambda share: TARGET * (idle + slope * share))
    fits = min((1 - idle) / slope, 1.0)

    assert max(seen) <= max(fits + STEP, FLOOR) + 1e-9
    assert min(seen) >= min(max(fits * LESS * LESS, FLOOR), 1.0) - 1e-9
    if (EASY - idle) / slope > FLOOR and (1 - idle) / slope - (EASY - idle) / slope > STEP:
        assert len(set(seen)) == 1, "it swings, though there is room between easy and the target"


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e9)), max_size=100), st.floats(0.01, 1.0))
def test_it_is_bounded_and_never_nothing(values: list[float | None], floor: float) -> None:
    for pace in run(Pace(), values, floor)[1:]:
        assert floor <= pace.share <= 1.0
        assert pace.share == 1.0 or pace.reason, "less than all, and no reason"


@given(st.floats(0.1, 1.0), st.floats(1.01, 100.0))
def test_it_falls_to_the_floor_and_rises_to_all(share: float, over: float) -> None:
    """Within bounds: a minute or so down, two minutes up, at a look every five seconds."""
    assert run(Pace(share), [TARGET * over] * 12)[-1].share == FLOOR
    up = run(Pace(share), [TARGET * EASY * 0.99] * 24)
    assert up[-1].share == 1.0 and up[-1].reason == ""
    assert [p.share for p in up] == sorted(p.share for p in up)


@given(st.integers(1, 64), st.floats(0.01, 1.0))
def test_copies_never_starve(concurrency: int, share: float) -> None:
    assert 1 <= allowed(concurrency, share) <= concurrency
    assert allowed(concurrency, 1.0) == concurrency


@pytest.mark.parametrize(
    ("worked", "share", "rest"), [(1.0, 1.0, 0.0), (1.0, 0.5, 1.0), (0.1, 0.1, 0.9), (60.0, 0.1, 5.0), (-1.0, 0.5, 0.0)]
)
def test_work_is_its_share_of_the_time(worked: float, share: float, rest: float) -> None:
    assert idle_s(worked, share) == pytest.approx(rest)

"""Two equal sides are never told apart, however noisy they are; a side that is slower is found."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.model.traffic_test import Pace, Paces
from migrator.shadow.statistics import FEWEST, Limits, judge, percentiles, quantile

LIMITS = Limits(1.5, 2.0)
STATEMENTS = 40

Noise = Callable[[random.Random, int], tuple[list[float], list[float]]]


def heavy(rng: random.Random, count: int) -> tuple[list[float], list[float]]:
    """Both sides from one distribution with a heavy tail."""
    return tuple([2 + 3 * rng.paretovariate(1.3) for _ in range(count)] for _ in range(2))  # type: ignore[return-value]


def bursts(rng: random.Random, count: int) -> tuple[list[float], list[float]]:
    """Stretches in which the machine that asks is slow, which both sides feel; each has outliers of its own."""
    sides: tuple[list[float], list[float]] = ([], [])
    slow = 1.0
    for _ in range(count):
        if rng.random() < 0.02:
            slow = rng.choice((1.0, 1.0, 4.0, 15.0))
        for side in sides:
            outlier = 40.0 if rng.random() < 0.01 else 1.0
            side.append(3 * rng.lognormvariate(0, 0.7) * slow * outlier)
    return sides


def one_burst(rng: random.Random, count: int) -> tuple[list[float], list[float]]:
    """Limitless alone is slow for a fifth of the run, once: a failover, a neighbour."""
    classic = [3 * rng.lognormvariate(0, 0.5) for _ in range(count)]
    limitless = [3 * rng.lognormvariate(0, 0.5) for _ in range(count)]
    first = rng.randrange(count - count // 5)
    limitless[first : first + count // 5] = [ms + 200 for ms in limitless[first : first + count // 5]]
    return classic, limitless


@pytest.mark.parametrize("noise", [heavy, bursts, one_burst])
@settings(max_examples=12)
@given(seed=st.integers(0, 2**32))
def test_equal_sides_under_load_give_no_false_alarm(noise: Noise, seed: int) -> None:
    rng = random.Random(seed)
    found = [
        judge(*noise(rng, rng.choice((FEWEST, 60, 300, 1500))), limits=LIMITS, judged=STATEMENTS) for _ in range(12)
    ]

    assert not any(one.any_slower for one in found)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), factor=st.floats(3, 20))
def test_a_statement_that_is_slower_is_found(seed: int, factor: float) -> None:
    rng = random.Random(seed)
    classic, limitless = bursts(rng, 300)

    found = judge(classic, [ms * factor + 5 for ms in limitless], limits=LIMITS, judged=STATEMENTS)

    assert found.p50 is Pace.SLOWER


@settings(max_examples=5)
@given(seed=st.integers(0, 2**32))
def test_a_tail_alone_is_found_with_enough_calls(seed: int) -> None:
    """Every thirtieth call takes a second, on Limitless only."""
    rng = random.Random(seed)
    classic = [3 * rng.lognormvariate(0, 0.3) for _ in range(2000)]
    limitless = [1000.0 if n % 30 == 0 else 3 * rng.lognormvariate(0, 0.3) for n in range(2000)]

    assert judge(classic, limitless, limits=LIMITS, judged=STATEMENTS) == Paces(
        Pace.NOT_SLOWER, Pace.SLOWER, Pace.TOO_FEW
    )


def test_too_few_calls_say_nothing() -> None:
    few = judge([1.0] * (FEWEST - 1), [900.0] * (FEWEST - 1), limits=LIMITS, judged=1)
    some = judge([1.0] * 100, [900.0] * 100, limits=LIMITS, judged=1)

    assert few == Paces(Pace.TOO_FEW, Pace.TOO_FEW, Pace.TOO_FEW)
    assert some == Paces(Pace.SLOWER, Pace.TOO_FEW, Pace.TOO_FEW)
    assert judge([], [], limits=LIMITS, judged=1).p50 is Pace.TOO_FEW


def test_a_longer_way_to_limitless_is_not_held_against_a_statement() -> None:
    classic, limitless = [1.0] * 100, [9.0] * 100

    assert judge(classic, limitless, limits=LIMITS, judged=1).p50 is Pace.SLOWER
    assert judge(classic, limitless, limits=LIMITS, judged=1, apart_ms=7).p50 is Pace.NOT_SLOWER


@given(
    values=st.lists(st.floats(0, 1e6), min_size=1, max_size=200),
    share=st.sampled_from((0.5, 0.99, 0.999)),
)
def test_a_quantile_is_one_of_the_values_and_enough_are_below_it(values: Sequence[float], share: float) -> None:
    found = quantile(sorted(values), share)

    assert found in values
    assert sum(v <= found for v in values) >= math.floor(len(values) * share)
    assert percentiles([]) is None


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_what_is_open_is_told_apart_from_what_is_not_slower(seed: int) -> None:
    """A side that is slower, but not certainly so by these calls, is never called not slower; equal ones are, soon."""
    rng = random.Random(seed)
    here = [3 * rng.lognormvariate(0, 1.2) for _ in range(30)]
    worse = [ms * 2.5 + 4 for ms in (3 * rng.lognormvariate(0, 1.2) for _ in range(30))]
    equal = [3 * rng.lognormvariate(0, 1.2) for _ in range(400)], [3 * rng.lognormvariate(0, 1.2) for _ in range(400)]

    assert judge(here, worse, limits=LIMITS, judged=STATEMENTS).p50 is not Pace.NOT_SLOWER
    assert judge(*equal, limits=LIMITS, judged=STATEMENTS).p50 is Pace.NOT_SLOWER

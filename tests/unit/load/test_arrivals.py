"""Arrivals come at the rate that was asked for, at random or evenly, the same ones for the same seed."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.errors import UsageError
from migrator.load.arrivals import Arrival, Pattern, Window, arrivals, slope, steps
from migrator.load.ramp import OF_PEAK, Asked, Shape, highest, windows

rates = st.floats(0.5, 500)


def listed(made: tuple[Window, ...], pattern: Pattern = Pattern.POISSON, seed: int = 1) -> list[Arrival]:
    return list(arrivals(made, pattern, seed))


@given(st.lists(st.tuples(rates, rates, st.floats(0.1, 4)), min_size=1, max_size=4), st.integers(0, 2**32))
@settings(max_examples=50)
def test_each_arrival_is_in_its_window_and_after_the_one_before(
    parts: list[tuple[float, float, float]], seed: int
) -> None:
    made, at = [], 0.0
    for begin, end, seconds in parts:
        made.append(Window(at, at + seconds, begin, end))
        at += seconds

    found = listed(tuple(made), seed=seed)

    assert [a.number for a in found] == list(range(len(found)))
    for one in found:
        window = made[one.window]
        assert window.begin_s - 1e-9 <= one.at_s <= window.end_s + 1e-9
    assert all(a.at_s <= b.at_s + 1e-9 for a, b in pairwise(found))


@given(rates, rates, st.floats(0.2, 20), st.floats(0, 1))
def test_a_window_counts_back_and_forth(begin: float, end: float, seconds: float, share: float) -> None:
    """`at` is the inverse of the expected count: the integral of the rate."""
    window = Window(3.0, 3.0 + seconds, begin, end)
    passed = window.at(window.expected * share) - 3.0
    counted = begin * passed + (end - begin) / seconds * passed**2 / 2

    assert counted == pytest.approx(window.expected * share, rel=1e-6, abs=1e-6)


@given(st.lists(rates, min_size=1, max_size=3), st.floats(0.5, 5))
def test_even_arrivals_are_as_many_as_the_rate_says(given_rates: list[float], seconds: float) -> None:
    made = steps(given_rates, seconds)

    found = listed(made, Pattern.EVEN)

    assert abs(len(found) - sum(w.expected for w in made)) <= 1
    if len(given_rates) == 1:
        assert all(b.at_s - a.at_s == pytest.approx(1 / given_rates[0]) for a, b in pairwise(found))


@pytest.mark.parametrize("seed", range(5))
def test_poisson_arrivals_are_poisson(seed: int) -> None:
    """Their number, the mean distance, and the share of long ones are those of an exponential distribution: within five
    standard deviations, at seeds that stay."""
    rate, seconds = 400.0, 25.0
    found = listed(steps([rate], seconds), seed=seed)
    distances = [b.at_s - a.at_s for a, b in pairwise(found)]
    many = len(distances)

    assert abs(len(found) - rate * seconds) < 5 * math.sqrt(rate * seconds)
    assert sum(distances) / many == pytest.approx(1 / rate, rel=5 / math.sqrt(many))
    long = sum(d > 2 / rate for d in distances) / many
    expected = math.exp(-2)
    assert abs(long - expected) < 5 * math.sqrt(expected * (1 - expected) / many)


def test_a_slope_has_its_rate_everywhere() -> None:
    """More arrivals in each window, as many as its mean rate says."""
    made = slope(100, 900, 4, 5.0)
    counts = [0] * 4
    for one in listed(made):
        counts[one.window] += 1

    assert [w.rate for w in made] == [200, 400, 600, 800]
    for count, window in zip(counts, made, strict=True):
        assert abs(count - window.expected) < 5 * math.sqrt(window.expected)


def test_the_seed_decides() -> None:
    made = steps([50, 80], 2)

    assert listed(made, seed=7) == listed(made, seed=7)
    assert listed(made, seed=7) != listed(made, seed=8)


def test_a_warm_up_comes_first_and_is_marked() -> None:
    made = steps([10, 20], 3, warm_up_s=2)

    assert [(w.begin_s, w.end_s, w.warm_up) for w in made] == [(0, 2, True), (2, 5, False), (5, 8, False)]


# -- the ramp ----------------------------------------------------------------------------------------------------------


def of(made: tuple[Window, ...]) -> list[float]:
    return [w.rate for w in made if not w.warm_up]


def test_rates_are_shares_of_the_peak_unless_given() -> None:
    assert of(windows(Asked(100))) == [100 * share for share in OF_PEAK]
    assert of(windows(Asked(100, rates=(300, 20)))) == [20, 300]
    assert of(windows(Asked(100, to=400, count=4))) == [100, 200, 300, 400]
    assert of(windows(Asked(130, to=400, count=4))) == [100, 130, 200, 300, 400], "with the peak among them"


@given(st.floats(1, 1000), st.floats(1, 5000), st.sampled_from(Shape))
def test_nothing_is_offered_above_the_bound(peak: float, bound: float, shape: Shape) -> None:
    made = windows(Asked(peak, shape=shape, seconds=1000, warm_up_s=1), bound)

    assert highest(made) <= bound * (1 + 1e-9)


def test_what_cannot_be_offered_is_refused() -> None:
    for asked in (Asked(1, rates=(0, 100)), Asked(1e9)):
        with pytest.raises(UsageError):
            windows(asked)
    with pytest.raises(UsageError):
        windows(Asked(10), -1)
    with pytest.raises(UsageError) as caught:
        windows(Asked(1, rates=(5, 10), seconds=2))
    assert "the most are 20" in str(caught.value) and "--seconds 8" in caught.value.hint

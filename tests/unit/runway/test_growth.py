"""A trend is found whatever a week looks like and whatever single days were; what is too little says so."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.runway.growth import BELIEVED_DAYS, MONTH_DAYS, fit

WEEK = (1.0, 1.05, 1.1, 1.02, 0.95, 0.5, 0.4)


def load(days: int, monthly: float, noise: float = 0.0, seed: int = 1) -> dict[int, float]:
    dice = random.Random(seed)
    return {
        20_000 + day: 500 * (1 + monthly) ** (day / MONTH_DAYS) * WEEK[day % 7] * math.exp(dice.gauss(0, noise))
        for day in range(days)
    }


@pytest.mark.parametrize("monthly", [-0.2, 0.0, 0.02, 0.15, 0.6])
def test_growth_is_found_below_a_week(monthly: float) -> None:
    """Weekends at two fifths of the load move nothing."""
    found = fit(load(BELIEVED_DAYS, monthly), "row writes")

    assert found.growth is not None and found.doubt == ""
    assert found.growth.monthly == pytest.approx(monthly, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_holds_the_truth_of_a_noisy_load(seed: int) -> None:
    found = fit(load(60, 0.15, noise=0.05, seed=seed), "row writes").growth

    assert found is not None
    assert found.low <= found.monthly <= found.high and found.low < found.high
    assert found.monthly == pytest.approx(0.15, abs=0.05)


def test_bad_days_and_gaps_move_little() -> None:
    """A fifth of the days ten times too high, zero or unknown."""
    values = load(56, 0.10)
    for number, day in enumerate(list(values)):
        if number % 15 == 3:
            values[day] *= 10
        elif number % 15 == 7:
            values[day] = 0.0
        elif number % 15 == 11:
            del values[day]
    found = fit(values, "row writes").growth

    assert found is not None and found.monthly == pytest.approx(0.10, abs=0.01)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "0 days"),
        (load(7, 0.1), "7 days"),
        (load(20, 0.1), "20 days"),
        ({day: v for day, v in load(70, 0.1).items() if day % 7 == 0}, "10 of 64 days"),
        (dict.fromkeys(range(60), 0.0), "0 days"),
        (dict.fromkeys(range(60), math.nan), "0 days"),
    ],
)
def test_too_little_is_not_believed(values: dict[int, float], said: str) -> None:
    found = fit(values, "row writes")

    assert found.doubt and said in found.doubt


@given(
    st.dictionaries(st.integers(19_000, 19_080), st.floats(1e-3, 1e9), max_size=60),
    st.floats(0.5, 3.0),
    st.floats(1e-3, 1e3),
)
def test_a_steeper_load_never_grows_less_and_units_do_not_matter(
    values: dict[int, float], steeper: float, unit: float
) -> None:
    """Growth is the same in rows and in thousands; a load that rises more from day to day grows no less."""
    found = fit(values, "x")
    if found.growth is None:
        return
    scaled = fit({day: value * unit for day, value in values.items()}, "x").growth
    bent = fit({day: value * (1 + steeper) ** ((day - 19_000) / 30) for day, value in values.items()}, "x").growth

    assert scaled is not None and bent is not None
    assert scaled.monthly == pytest.approx(found.growth.monthly, rel=1e-6, abs=1e-9)
    assert bent.monthly >= found.growth.monthly and bent.high >= found.growth.high
    assert found.growth.low <= found.growth.monthly <= found.growth.high

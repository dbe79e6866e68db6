"""Findings that have a size: accepted by name, up to a size, and back when they have outgrown it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.model.acceptance import Size, accepted, entry_for, outgrown, parted

NAMES = ("shadow.slower", "shadow.slower:ab12")
SIZES = st.floats(0.001, 1e6)


@given(SIZES)
def test_what_is_offered_accepts_it_and_not_twice_as_much(value: float) -> None:
    """The bound that is offered leaves room for noise, and for no more than that."""
    size = Size(value, "times")
    entry = entry_for("shadow.slower:ab12", size)

    assert accepted([entry], NAMES, size) and accepted([entry], NAMES, Size(value * 1.4, "times"))
    much_worse = Size(max(value, 0.01) * 4, "times")
    assert not accepted([entry], NAMES, much_worse)
    assert outgrown([entry], NAMES, much_worse) == parted(entry)[1]


@given(st.floats(0.001, 100))
def test_a_share_is_offered_no_bound_that_it_cannot_pass(value: float) -> None:
    name, bound = parted(entry_for("shadow.error:ab12", Size(value, "% of its calls", 100)))
    assert name == "shadow.error:ab12" and (bound is None or value <= bound < 100)


def test_without_a_bound_it_is_accepted_whatever_becomes_of_it() -> None:
    for size in (None, Size(1, "times"), Size(math.inf, "times")):
        assert accepted(["shadow.slower:ab12"], NAMES, size) and accepted(["shadow.slower"], NAMES, size)
    assert not accepted(["shadow.slower:other", "load.slower"], NAMES, Size(1, "times"))
    assert entry_for("load.errors", None) == "load.errors"
    assert entry_for("load.slower", Size(math.inf, "times")) == "load.slower"


def test_a_bound_does_not_accept_what_has_no_size() -> None:
    assert not accepted(["shadow.slower<=3"], NAMES, None) and outgrown(["shadow.slower<=3"], NAMES, None) is None


def test_the_largest_of_several_bounds_counts() -> None:
    entries = ["shadow.slower <= 2", "shadow.slower:ab12<=6.5"]
    assert accepted(entries, NAMES, Size(6.5, "times")) and not accepted(entries, NAMES, Size(6.6, "times"))
    assert outgrown(entries, NAMES, Size(7, "times")) == 6.5


@pytest.mark.parametrize("entry", ["a<=", "a<=x", "a<=nan", "a<=inf", "a<=-1", "a<=1e9", "a<=1<=2"])
def test_what_is_no_number_accepts_nothing(entry: str) -> None:
    with pytest.raises(ValueError, match="no number"):
        parted(entry)
    assert not accepted([entry], ("a",), Size(0, "times"))

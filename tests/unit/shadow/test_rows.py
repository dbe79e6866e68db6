"""Results are the same unless they really differ: order, ties at a LIMIT, floats, NULL, more columns."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from migrator.shadow.rows import Order, Result, Row, Same, compare

BY_A = Order(by=True, keys=("a",))
TOP = Order(by=True, keys=("a",), limited=True)
FLOAT = 701
FLOATS = st.lists(st.floats(-1e300, 1e300) | st.sampled_from((float("nan"), float("inf"), -0.0)), max_size=30)


def result(*rows: Row, names: tuple[str, ...] = ("a", "b"), kinds: tuple[int, ...] = (25, 25)) -> Result:
    return Result(names, kinds, list(rows))


def row(*values: str | None) -> Row:
    return tuple(None if v is None else v.encode() for v in values)


A1, A2, B1, B2, C1 = row("a", "1"), row("a", "2"), row("b", "1"), row("b", "2"), row("c", "1")


@pytest.mark.parametrize(
    ("here", "there", "order", "same"),
    [
        ([A1, B1], [B1, A1], Order(), Same.YES),
        ([A1, A1, B1], [A1, B1, B1], Order(), Same.NO),
        ([A1, B1], [A1], Order(), Same.NO),
        ([A1, B1], [B1, A1], BY_A, Same.NO),
        ([A1, A2, B1], [A2, A1, B1], BY_A, Same.YES),
        ([A1, A2], [A2, A1], Order(by=True), Same.YES),  # in the order of what is not in the result
        ([A1, B1], [A1, B2], TOP, Same.UNKNOWN),  # which of the last equal rows comes is the server's choice
        ([A1, B1, C1], [A1, B2, C1], TOP, Same.NO),
        ([A1, B1], [A1, C1], TOP, Same.NO),
        ([A1, B1], [A1, C1], Order(by=True, limited=True), Same.UNKNOWN),
        ([A1, B1], [A1, B1], TOP, Same.YES),
        ([row(None, "1")], [row("", "1")], Order(), Same.NO),
        ([row(None, "1")], [row(None, "1")], Order(), Same.YES),
        ([], [], TOP, Same.YES),
        ([A1, A2, B1], [A2, A1, B1], Order(by=True, keys=(1,)), Same.YES),
        ([A1, B1], [B1, A1], Order(by=True, keys=(1,)), Same.NO),
        ([A1, B1], [B1, A1], Order(by=True, keys=(7,)), Same.YES),  # no such column: only the rows count
    ],
)
def test_same(here: list[Row], there: list[Row], order: Order, same: Same) -> None:
    assert compare(result(*here), result(*there), order)[0] is same


def test_columns_are_found_by_name() -> None:
    """A derived table has its tenant column on Limitless besides, first."""
    here = result(A1, B1)
    more = result(row("7", "a", "1"), row("7", "b", "1"), names=("tenant_id", "a", "b"), kinds=(20, 25, 25))

    assert compare(here, more, Order())[0] is Same.YES
    assert compare(more, here, Order()) == (Same.NO, "other columns")


def test_more_rows_than_are_kept_are_not_compared() -> None:
    many = Result(("a", "b"), (25, 25), [A1], more=True)

    assert compare(many, result(A1), Order())[0] is Same.UNKNOWN


@given(seed=st.integers(0, 2**32), values=FLOATS)
@example(seed=0, values=[0.0, 0.0, 0.0, 0.0, 1e-300])
def test_floats_may_be_added_up_in_another_order(seed: int, values: list[float]) -> None:
    """What differs in the last digits only is the same; in whichever order rows come."""
    rng = random.Random(seed)
    here = [row("x", repr(v)) for v in values]
    there = [row("x", repr(v * (1 + rng.uniform(-1, 1) * 1e-13))) for v in values]
    rng.shuffle(there)
    kinds = (25, FLOAT)

    assert compare(result(*here, kinds=kinds), result(*there, kinds=kinds), Order())[0] is Same.YES


@given(value=st.floats(min_value=1e-3, max_value=1e12), part=st.floats(min_value=1e-6, max_value=0.5))
def test_floats_that_differ_differ(value: float, part: float) -> None:
    here, there = row("x", repr(value)), row("x", repr(value * (1 + part)))

    assert compare(result(here, kinds=(25, FLOAT)), result(there, kinds=(25, FLOAT)), Order())[0] is Same.NO
    assert compare(result(here), result(there), Order())[0] is Same.NO

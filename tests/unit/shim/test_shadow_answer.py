"""Two answers are the same when an application would call them the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.model.side import Side
from migrator.shim.shadow_answer import Incomparable, Likeness, alike, raised, refused, returned

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.decimals(allow_nan=False)
ROWS = st.lists(st.tuples(VALUES, VALUES), max_size=6)


@given(ROWS)
def test_an_answer_is_like_itself(rows: list[tuple[object, object]]) -> None:
    assert alike(returned(rows), returned([tuple(row) for row in rows])) is Likeness.SAME


@given(ROWS, st.randoms())
def test_rows_in_another_order_are_the_same_rows(rows: list[tuple[object, object]], random: object) -> None:
    other = list(rows)
    random.shuffle(other)  # type: ignore[attr-defined]  # hypothesis' own Random
    assert alike(returned(rows), returned(other)) is not Likeness.DIFFERENT


@given(ROWS, st.tuples(VALUES, VALUES))
def test_a_row_more_is_a_difference(rows: list[tuple[object, object]], row: tuple[object, object]) -> None:
    assert alike(returned(rows), returned([*rows, row])) is Likeness.DIFFERENT


@pytest.mark.parametrize(
    ("one", "other", "likeness"),
    [
        ([(NOON,)], [(NOON.astimezone(timezone(timedelta(hours=2))),)], Likeness.SAME),
        ({"a", "b", "c"}, {"c", "b", "a"}, Likeness.SAME),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, Likeness.SAME),
        ((Side.CLASSIC, 1), (Side.LIMITLESS, 1), Likeness.SAME),
        ((1, 2), (2, 1), Likeness.DIFFERENT),
        ([(1, 2)], [(2, 1)], Likeness.DIFFERENT),
        (1, True, Likeness.DIFFERENT),
        ("1", 1, Likeness.DIFFERENT),
        (Decimal("1.0"), Decimal("1.1"), Likeness.DIFFERENT),
        (None, [], Likeness.DIFFERENT),
        (["a,b"], ["a", "b"], Likeness.DIFFERENT),
    ],
)
def test_what_is_the_same(one: object, other: object, likeness: Likeness) -> None:
    assert alike(returned(one), returned(other)) is likeness


def test_objects_that_show_their_address_cannot_be_compared() -> None:
    with pytest.raises(Incomparable):
        returned([object()])


def test_an_error_is_an_answer_like_any_other() -> None:
    assert alike(refused("42P01"), refused("42P01")) is Likeness.SAME
    assert alike(refused("42P01"), returned([])) is Likeness.DIFFERENT
    assert alike(raised(KeyError("x")), raised(KeyError("y"))) is Likeness.SAME
    assert "x" not in raised(KeyError("x")).note

"""Parameters are read as the server writes them, whatever they hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.shadow.parameters import read_parameters

VALUES = st.lists(st.none() | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), min_size=1)


def written(values: list[str | None], label: str = "Parameters: ") -> str:
    """As PostgreSQL writes them."""
    shown = ("NULL" if v is None else "'" + v.replace("'", "''") + "'" for v in values)
    return label + ", ".join(f"${n} = {v}" for n, v in enumerate(shown, 1))


@given(values=VALUES, label=st.sampled_from(("Parameters: ", "parameters: ", "Parámetros: ", "パラメータ: ")))
def test_what_is_written_is_read(values: list[str | None], label: str) -> None:
    found = read_parameters(written(values, label))

    assert found is not None
    assert list(found.values) == values
    assert found.cut == any(v is not None and v.endswith("...") for v in values)


@given(values=VALUES, end=st.integers(1))
def test_what_is_torn_is_not_read_as_something_else(values: list[str | None], end: int) -> None:
    whole = written(values)
    found = read_parameters(whole[: max(0, len(whole) - end)])

    assert found is None or len(found.values) < len(values)


@pytest.mark.parametrize(
    "text", ["", "Key (id)=(5) already exists.", "Parameters: $2 = 'a'", "Parameters: $1 = 5", "Parameters: $1 = 'a' b"]
)
def test_other_details_are_none(text: str) -> None:
    assert read_parameters(text) is None

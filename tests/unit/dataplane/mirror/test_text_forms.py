"""Lines of COPY and texts of arrays: every value comes out as it went in."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from migrator.dataplane.mirror.row_stream import row_of
from migrator.db.text_values import array

TRICKY = st.text(st.sampled_from('ab\\N"{},\t\n\r\b\f\v\x01é\U0001f600 ntbfrv'), max_size=8)
VALUES = st.lists(st.none() | TRICKY | st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1)

ESCAPES = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\"}


def line(values: list[str | None]) -> str:
    """A line as PostgreSQL's COPY TO writes it in its text format."""
    parts = ("\\N" if v is None else "".join(ESCAPES.get(c, c) for c in v) for v in values)
    return "\t".join(parts) + "\n"


@given(VALUES)
@example([None])
@example(["\\N"])
@example([""])
@example(["\\\\", "\\n", "a\tb"])
def test_a_line_says_what_the_values_were(values: list[str | None]) -> None:
    assert row_of(line(values)) == tuple(values)


def elements(text: str) -> list[str | None]:
    """What PostgreSQL reads in an array of one dimension."""
    found = re.findall(r'(?:^\{|,)(?:"((?:[^"\\]|\\.)*)"|(NULL))', text, re.DOTALL)
    return [None if null else re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL) for value, null in found]


@given(VALUES)
@example(["NULL"])
@example([None, None])
@example(["", None, '"'])
def test_an_array_says_what_its_elements_were(values: list[str | None]) -> None:
    text = array(values)
    assert text[0] + text[-1] == "{}"
    assert elements(text) == values


def test_an_array_of_nothing_is_empty() -> None:
    assert array([]) == "{}"

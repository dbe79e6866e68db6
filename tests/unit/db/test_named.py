"""Named statements of .sql files: each once, and all of them found."""

from __future__ import annotations

import pytest

from migrator.db.named import parse

TWO = """\
-- Statements of a table.

-- name: first
-- One row.
SELECT 1;

-- name: second
SELECT '-- name: inside' -- is text
"""


def test_statements_come_by_name_without_their_final_semicolon() -> None:
    found = parse(TWO, "two.sql")

    assert list(found) == ["first", "second"]
    assert found["first"] == "-- One row.\nSELECT 1"
    assert found["second"] == "SELECT '-- name: inside' -- is text"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("-- name: a\nSELECT 1\n-- name: a\nSELECT 2", "defines a twice"),
        ("SELECT 1;\n-- name: a\nSELECT 2", "SQL before its first"),
        ("SELECT 1;", "SQL before its first"),
        ("-- name: a\n-- nothing\n-- name: b\nSELECT 2", "a has no statement"),
        ("-- name: two words\nSELECT 2", "'two words' is no name"),
        ("-- name:\nSELECT 2", "'' is no name"),
    ],
)
def test_what_is_unclear_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(text, "some.sql")


def test_an_unknown_name_is_an_error_that_names_the_file() -> None:
    with pytest.raises(KeyError, match=r"two\.sql defines no statement 'third'"):
        parse(TWO, "two.sql")["third"]

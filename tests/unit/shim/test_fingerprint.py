"""A read is named by its statements without their values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.shim.fingerprint import SHOWN, fingerprint, literals, plain, wavers


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT  a\n FROM t WHERE id = 42 -- why\n", "SELECT a FROM t WHERE id = ?"),
        ("select x from t where n = 'O''Brien' and e = E'a\\'b'", "select x from t where n = ? and e = ?"),
        ("SELECT 1.5e3, .5, 0xFF, -7", "SELECT ?, ?, ?, -?"),
        ('SELECT t1.c2, "Größe 7" FROM t1', 'SELECT t1.c2, "Größe 7" FROM t1'),
        ("SELECT * FROM t WHERE id IN (%s, %s,%s)", "SELECT * FROM t WHERE id IN (?)"),
        ("SELECT * FROM t WHERE id = %(id)s AND k = $2", "SELECT * FROM t WHERE id = ? AND k = ?"),
        ("SELECT $$it's$$, $tag$ '; $tag$", "SELECT ?, ?"),
        ("VALUES (1, 2), (3, 4), (5, 6);", "VALUES (?)"),
        ("SELECT /* hint\n 5 */ 'open", "SELECT ?"),
        ("", ""),
    ],
)
def test_values_are_left_out(statement: str, expected: str) -> None:
    assert plain(statement) == expected


@given(st.text(max_size=60))
def test_any_text_has_a_name(text: str) -> None:
    name, shown = fingerprint([text])
    assert len(name) == 12 and len(shown) <= SHOWN


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_no_value_is_kept(value: str) -> None:
    quoted = value.replace("'", "''")
    assert plain(f"SELECT a FROM t WHERE b = '{quoted}' AND c = 1") == "SELECT a FROM t WHERE b = ? AND c = ?"


def test_the_same_statement_with_other_values_has_the_same_name() -> None:
    one = fingerprint(["SELECT a FROM t WHERE id = %s", "SELECT b FROM u WHERE k IN (1, 2)"])
    repeated = ["SELECT a FROM t WHERE id = 'x'", "SELECT  a FROM t WHERE id = 7"]
    assert one == fingerprint([*repeated, "SELECT b FROM u WHERE k IN (3, 4, 5)"])
    assert fingerprint(["SELECT a FROM t"])[0] != fingerprint(["SELECT b FROM t"])[0]


def test_a_statement_that_wavers_is_known_by_its_words() -> None:
    assert wavers("SELECT * FROM t ORDER BY Random() LIMIT 1")
    assert not wavers("SELECT 'random()', \"random\" FROM random_walk")


def test_literals_are_the_values_a_statement_holds() -> None:
    assert literals("SELECT 'it''s', 10, t1.x FROM t1 WHERE a = 'b'") == {"it's", "10", "b"}

"""Whatever text comes in: trees, or one error with PostgreSQL's words and a place in the text as it was given."""

from __future__ import annotations

import threading

import pytest

from migrator.grammar.parse import LONGEST_BYTES, Unparsable, normalize, parse, parse_plpgsql, walk


@pytest.mark.parametrize(
    ("text", "rest", "words"),
    [
        ("SELECT 1 FROM WHERE x", "WHERE x", 'syntax error at or near "WHERE"'),
        ("SELECT 'é€𝄞' FROM WHERE x", "WHERE x", "syntax error"),
        ("WHERE", "WHERE", "syntax error"),
        ("SELECT 'never ends", "'never ends", "unterminated quoted string"),
        ("SELECT U&'\\D800'", "'", "invalid Unicode surrogate pair"),
        ("SELECT 1; \x00 SELECT", "\x00 SELECT", "NUL byte"),
        ("SELECT '\ud800'", "\ud800'", "not valid text"),
    ],
)
def test_an_error_says_where(text: str, rest: str, words: str) -> None:
    """Positions count characters from 0, whatever the characters before take in bytes."""
    with pytest.raises(Unparsable) as caught:
        parse(text)

    assert words in caught.value.why
    assert text[caught.value.position :].startswith(rest)


def test_an_error_may_have_no_place() -> None:
    with pytest.raises(Unparsable) as caught:
        parse("SELECT E'\\xC3'")

    assert caught.value.position == -1


def test_a_text_that_is_nested_deeply_is_read_or_refused() -> None:
    """How deep the tree may be is this Python's: 3.13 reads what 3.11 does not."""
    try:
        (found,) = parse("SELECT 1" + "+1" * 2000)
    except Unparsable as error:
        assert error.position == -1
    else:
        assert found.tag == "SelectStmt"


def test_statements_begin_at_their_first_word() -> None:
    """Comments and white space before a statement are not its own; offsets count characters."""
    text = "/* é /* nested */ */ SELECT 'é';;\n-- ü\n  UPDATE t SET a = 1 ; "

    found = parse(text)

    assert [(p.tag, p.text) for p in found] == [("SelectStmt", "SELECT 'é'"), ("UpdateStmt", "UPDATE t SET a = 1 ")]
    assert all(text[p.offset :].startswith(p.text) for p in found)


@pytest.mark.parametrize("text", ["", "  ", "-- only a comment", "/* é */ ;; "])
def test_nothing_is_no_statement(text: str) -> None:
    assert parse(text) == []


DEEPEST = [
    "SELECT " + "1+" * (LONGEST_BYTES // 2 - 10) + "1",
    "SELECT 1" + " UNION SELECT 1" * (LONGEST_BYTES // 16),
    "SELECT 1" + "::int" * (LONGEST_BYTES // 6),
    "SELECT " + "(" * 500_000 + "1",
    "SELECT " + "NOT " * 400_000 + "true",
    "SELECT * FROM t" + " JOIN t USING (a)" * (LONGEST_BYTES // 18),
]


@pytest.mark.parametrize("text", DEEPEST, ids=["sum", "union", "casts", "brackets", "not", "joins"])
def test_no_nesting_ends_the_process(text: str) -> None:
    """The longest text that is taken, nested as deep as it can be: refused, on a thread with a small stack too."""
    seen: list[str] = []

    def one() -> None:
        with pytest.raises(Unparsable) as caught:
            parse(text)
        seen.append(caught.value.why)

    before = threading.stack_size(2**20)
    thread = threading.Thread(target=one)
    thread.start()
    threading.stack_size(before)
    thread.join()

    assert seen and ("nested too deeply" in seen[0] or "memory exhausted" in seen[0])


def test_what_differs_in_constants_is_the_same() -> None:
    """However long it is, a text has a normal form or is refused."""
    assert normalize("SELECT 'a', 1") == normalize("SELECT 'b', 2") == "SELECT $1, $2"
    assert normalize("SELECT 1" + "+1" * 100_000).endswith("+$100001")
    with pytest.raises(Unparsable):
        normalize("SELECT FROM WHERE")


def test_a_body_of_plpgsql() -> None:
    body = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN {}; END $$"

    assert "PLpgSQL_function" in parse_plpgsql(body.format("1"))[0]
    with pytest.raises(Unparsable, match="syntax error"):
        parse_plpgsql(body.replace("RETURN {}", "RETRN 1"))


def test_a_long_flat_statement_is_read() -> None:
    """Length alone is no reason to refuse."""
    [found] = parse("VALUES " + ",".join(["(1, 'é')"] * 50_000))

    assert sum(tag == "A_Const" for tag, _ in walk(found.body)) == 100_000

"""Statements that write, and parameters put into a text without a server."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import AdaptersMap

from migrator.django.cursor import merged
from migrator.django.retry import worth_another_try
from migrator.django.statement import CopyStatement, Statement
from migrator.errors import ClusterUnavailable, CommitUnknown, ReadStale, WritesClosed
from migrator.shim import CommittedUnconfirmed

CONTEXT = AdaptersMap(psycopg.adapters)


@pytest.mark.parametrize(
    ("text", "reads", "writes"),
    [
        ("INSERT INTO t VALUES (1)", False, True),
        ("  update t SET a = 1", False, True),
        (b"DELETE FROM t", False, True),
        ("SELECT * FROM t FOR UPDATE", False, True),
        ("SELECT * FROM t\nFOR NO KEY UPDATE OF t SKIP LOCKED", False, True),
        ("SELECT * FROM t FOR KEY SHARE", False, True),
        ("SELECT 'x FOR UPDATE'", True, False),
        ("SELECT * FROM t WHERE a = 'INSERT'", True, False),
        ("(SELECT 1) UNION (SELECT 2)", True, False),
        ("VALUES (1)", True, False),
        ("SELECT 1; DELETE FROM t", False, False),
        ("SELECTED", False, False),
        ("WITH a AS (INSERT INTO t VALUES (1) RETURNING 1) SELECT 1", False, False),
        ("SAVEPOINT a", False, False),
        ("", False, False),
        (psycopg.sql.SQL("SELECT 1"), False, False),
    ],
)
def test_what_a_statement_certainly_is(text: Any, reads: bool, writes: bool) -> None:
    assert (Statement(text).reads, Statement(text).writes) == (reads, writes)


def test_a_copy_writes_when_it_reads_the_client() -> None:
    assert CopyStatement("COPY t (a)\nFROM  stdin").writes
    assert not CopyStatement("COPY (SELECT a FROM stdin) TO STDOUT").reads


@given(
    st.lists(
        st.one_of(
            st.none(), st.integers(-(2**31), 2**31), st.text(st.characters(exclude_characters="\x00", codec="utf-8"))
        )
    )
)
def test_parameters_are_literals_in_their_places(values: list[Any]) -> None:
    text = merged("%%(" + "|".join(["%s"] * len(values)) + ")", values, CONTEXT)
    expected = "|".join(psycopg.sql.Literal(v).as_string(CONTEXT) for v in values)
    assert text == f"%({expected})"


def test_parameters_by_name_and_none_at_all() -> None:
    assert merged("%(b)s, %(a)s, %(b)s", {"a": 1, "b": "x%s"}, CONTEXT) == "'x%s', 1, 'x%s'"
    assert merged("100%", None, CONTEXT) == "100%"
    for wrong in (("%s", []), ("%s", [1, 2]), ("%(a)s", {}), ("%(a)s", [1]), ("%s", {"a": 1})):
        with pytest.raises(psycopg.ProgrammingError):
            merged(wrong[0], wrong[1], CONTEXT)


def made_of(cause: BaseException) -> Exception:
    """An error as Django makes it of psycopg's."""
    error = RuntimeError("Django's")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (WritesClosed(0.0), True),
        (WritesClosed(3.0), False),
        (ReadStale(), True),
        (ClusterUnavailable("classic", "x"), True),
        (CommitUnknown("t1", 1), False),
        (CommittedUnconfirmed("t1", 1, 1.0), False),
        (made_of(psycopg.errors.DeadlockDetected()), True),
        (made_of(psycopg.errors.SerializationFailure()), True),
        (made_of(psycopg.errors.LockNotAvailable()), False),
        (made_of(psycopg.errors.ForeignKeyViolation()), False),
        (made_of(psycopg.errors.QueryCanceled()), False),
        (made_of(psycopg.errors.AdminShutdown()), True),
        (made_of(psycopg.OperationalError("the connection is closed")), True),
        (made_of(psycopg.ProgrammingError("wrong parameters")), False),
        (made_of(made_of(ClusterUnavailable("classic", "x"))), False),
        (ValueError(), False),
    ],
)
def test_what_is_worth_another_try(error: Exception, again: bool) -> None:
    assert worth_another_try(error) is again

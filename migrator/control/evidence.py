"""Reads everything that is evidence, for a dossier: row by row, so that a log of any length takes no memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import dict_row

from migrator.db.named import load

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "evidence.sql")

KINDS = (
    "approvals", "votes", "incidents", "phases", "reports", "tenants", "verdicts", "validations", "divergences",
    "schema_changes", "workers", "installed",
)  # fmt: skip
"""Names of statements whose rows `rows` yields; `log` is not among them: it has a chain of its own."""
MOST = 200_000
"""Rows of one kind, of those whose number grows with tenants and time; the newest of verdicts and validations."""
_ROWS_AT_ONCE = 2000


class Origin(NamedTuple):
    """Classic's clock in whole seconds, which installation it is, and the version of its control schema."""

    at: datetime
    installation: str
    schema_version: int


def origin(conn: Connection) -> Origin:
    """Return where and when evidence is read."""
    row = conn.execute(_SQL["now"]).fetchone()
    assert row is not None
    return Origin(*row)


def rows(conn: Connection, kind: str, limit: int = MOST) -> Iterator[dict[str, Any]]:
    """Yield the rows of *kind*, one of KINDS, within the caller's transaction.

    Args:
        limit: of those kinds that grow with tenants and time.
    """
    yield from stream(conn, kind, _SQL[kind], {"limit": limit})


def stream(conn: Connection, name: str, statement: Any, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a statement through a cursor of the server; within the caller's transaction."""
    with conn.cursor(name=f"migrator_{name}", row_factory=dict_row) as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        cursor.execute(statement, values)
        yield from cursor

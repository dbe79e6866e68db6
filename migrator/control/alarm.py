"""Stores what the webhook was sent and what came of it; it is the memory by which a repeated message is known.

Every statement is bounded in time and fails alone: the webhook does what it is there for without this table too, on
tables of an earlier version, or while a lock is on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from migrator.db.named import load

Connection = psycopg.Connection[Any]

KEPT = 10_000
"""Rows that are kept."""
BOUND = "1s"
"""How long a statement here, its locks included, may take."""

_SQL = load("migrator.control", "alarm.sql")


class Noted(NamedTuple):
    """One alarm and what came of it.

    Attributes:
        rule: number of the rule that decided; 0 where none did.
        action, target: '' where it does nothing.
        note: why, or what went wrong.
    """

    name: str
    state: str
    rule: int
    action: str
    target: str
    outcome: str
    note: str
    episode: str = ""


class Stored(NamedTuple):
    """One row, for people."""

    at: datetime
    source: str
    name: str
    state: str
    rule: int
    action: str
    target: str
    outcome: str
    note: str


def handled(conn: Connection, source: str, message: str) -> tuple[datetime, str] | None:
    """Return when a message was handled to its end and with which outcome; None where nothing is known of it."""
    if not message:
        return None
    rows = _ask(conn, "handled", source=source, message=message)
    return (rows[0][0], str(rows[0][1])) if rows else None


def reported(conn: Connection, source: str, episode: str) -> bool:
    """Return whether an alarm is known to have been reported since it began to fire."""
    rows = _ask(conn, "reported", source=source, episode=episode) if episode else []
    return bool(rows and rows[0][0])


def add(conn: Connection, source: str, message: str, alarms: Sequence[Noted], *, done: bool) -> bool:
    """Store what came of *alarms*; *done*: nothing is left to do. Return whether it could be stored."""
    columns = [list(column) for column in zip(*alarms, strict=True)]
    names = ("names", "states", "rules", "actions", "targets", "outcomes", "notes", "episodes")
    values = dict(zip(names, columns, strict=True))
    try:
        with conn.transaction():
            _bound(conn)
            conn.execute(_SQL["add"], {"source": source, "message": message, "handled": done, "kept": KEPT, **values})
    except psycopg.Error:
        return False
    return True


def newest(conn: Connection, limit: int) -> list[Stored]:
    """Return the newest rows, the newest first."""
    return [Stored(*row) for row in conn.execute(_SQL["newest"], {"limit": limit})]


def _ask(conn: Connection, statement: str, **values: Any) -> list[Any]:
    """Return the rows that a statement finds; none where it cannot be asked."""
    try:
        with conn.transaction():
            _bound(conn)
            return conn.execute(_SQL[statement], values).fetchall()
    except psycopg.Error:
        return []


def _bound(conn: Connection) -> None:
    conn.execute("SELECT set_config('statement_timeout', %(bound)s, true)", {"bound": BOUND})

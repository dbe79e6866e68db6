"""Where do reads and writes go? The switch and the routes on classic, the terminal route on Limitless."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from migrator.db.named import load
from migrator.model.route import Level, WriteMode

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "route.sql")


def write_mode(conn: Connection) -> WriteMode:
    """Return where writes go."""
    row = conn.execute(_SQL["write_mode"]).fetchone()
    assert row is not None  # inserted by the control schema, never deleted
    return WriteMode(row[0])


def keep_write_mode(conn: Connection) -> WriteMode:
    """Return where writes go, and let nobody change it before the caller's transaction ends."""
    row = conn.execute(_SQL["keep_write_mode"]).fetchone()
    assert row is not None
    return WriteMode(row[0])


def begin_dual(conn: Connection) -> None:
    """Say that capture is on; nothing changes when it was."""
    conn.execute(_SQL["begin_dual"])


def end_dual(conn: Connection) -> None:
    """Say that capture is off, so that writes go to classic only; not after the hand-over."""
    conn.execute(_SQL["end_dual"])


@dataclass(frozen=True, slots=True)
class Switch:
    """The global switch: the upper bound of everybody's reads, and where writes go."""

    level: Level
    write_mode: WriteMode
    epoch: int
    changed_at: datetime
    changed_by: str
    reason: str


def switch(conn: Connection) -> Switch:
    """Return the switch as it stands."""
    row = conn.execute(_SQL["switch"]).fetchone()
    assert row is not None  # inserted by the control schema, never deleted
    return Switch(Level(row[0]), WriteMode(row[1]), *row[2:])

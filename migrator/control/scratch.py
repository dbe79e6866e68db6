"""What a conformance run puts into the tool's tables of two scratch databases, in place of a mirror and a hand-over."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg

from migrator.db.named import load

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "scratch.sql")


def put_tenant(classic: Connection, tenant: str, part: int) -> None:
    """Say that the rows of *tenant* follow classic, in mirror partition *part*."""
    classic.execute(_SQL["put_tenant"], {"tenant": tenant, "part": part})


def publish(classic: Connection, part: int, snapshot: str, at: datetime) -> None:
    """Publish a position: *snapshot* was taken at *at* by classic's clock. One that is older changes nothing."""
    classic.execute(_SQL["publish"], {"part": part, "snapshot": snapshot, "at": at})


def fallbacks(classic: Connection) -> list[str]:
    """Return what is on classic for now: `part 1`, for example."""
    return [str(name) for (name,) in classic.execute(_SQL["fallbacks"])]


def in_use(conn: Connection) -> str:
    """Return the name of a schema that a run would drop, or of a table, view or sequence; '' when there is none."""
    row = conn.execute(_SQL["in_use"]).fetchone()
    return "" if row is None else str(row[0])


def where(conn: Connection) -> tuple[object, ...]:
    """Return what tells this database from others that can be reached from here."""
    row = conn.execute(_SQL["where"]).fetchone()
    assert row is not None
    return tuple(row)

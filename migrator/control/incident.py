"""Stores incidents, which count against the stabilization window. migrator.join_incidents() says which are joined."""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.db.named import load

AsyncConnection = psycopg.AsyncConnection[Any]

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "incident.sql")


async def add_incident_async(conn: AsyncConnection, kind: str, reason: str, who: str) -> None:
    """Record an incident; *kind* is a value of `model.incident.IncidentKind`."""
    await conn.execute(_SQL["add_incident"], {"kind": str(kind), "reason": reason, "who": who})


def add_incident(conn: Connection, kind: str, reason: str, who: str) -> None:
    """Record an incident; *kind* is a value of `model.incident.IncidentKind`."""
    conn.execute(_SQL["add_incident"], {"kind": str(kind), "reason": reason, "who": who})


def last_incident(conn: Connection) -> int:
    """Return the number of the newest incident, 0 when there never was one."""
    row = conn.execute(_SQL["last_incident"]).fetchone()
    return int(row[0]) if row else 0


def incidents_after(conn: Connection, number: int) -> list[tuple[int, str]]:
    """Return incidents newer than *number*, as (number, "kind: reason")."""
    rows = conn.execute(_SQL["incidents_after"], {"number": number})
    return [(int(i), f"{kind}: {reason}") for i, kind, reason in rows]

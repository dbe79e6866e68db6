"""What happened that counts against the stabilization window? See migrator.join_incidents() for what is joined."""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.db.named import load

AsyncConnection = psycopg.AsyncConnection[Any]

_SQL = load("migrator.control", "incident.sql")


async def add_incident_async(conn: AsyncConnection, kind: str, reason: str, who: str) -> None:
    """Remember that something happened; *kind* is a value of `model.incident.IncidentKind`."""
    await conn.execute(_SQL["add_incident"], {"kind": str(kind), "reason": reason, "who": who})

"""Stores incidents, which count against the stabilization window. migrator.join_incidents() says which are joined."""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.control.log import decide
from migrator.db.named import load
from migrator.model.incident import IncidentKind

AsyncConnection = psycopg.AsyncConnection[Any]

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "incident.sql")


async def add_incident_async(conn: AsyncConnection, kind: str, reason: str, who: str) -> None:
    """Record an incident; *kind* is a value of `model.incident.IncidentKind`."""
    await conn.execute(_SQL["add_incident"], {"kind": str(kind), "reason": reason, "who": who})


def add_incident(conn: Connection, kind: str, reason: str, who: str) -> None:
    """Record an incident; *kind* is a value of `model.incident.IncidentKind`."""
    conn.execute(_SQL["add_incident"], {"kind": str(kind), "reason": reason, "who": who})


def report_incident(conn: Connection, reason: str, who: str, *, again: bool = True) -> None:
    """Record what a person or an alarm reported, and log it, by which others are told. Owns its transaction.

    Args:
        again: log it also where it joins the same one of the last hour, as a person's; an alarm that comes and goes is
            told once.
    """
    like_it = {"kind": str(IncidentKind.REPORTED), "reason": reason, "who": who}
    with conn.transaction():
        before = conn.execute(_SQL["like_it"], like_it).fetchone()
        add_incident(conn, IncidentKind.REPORTED, reason, who)
        if again or conn.execute(_SQL["like_it"], like_it).fetchone() != before:
            decide(conn, who, "incident.reported", "incident", reason)


def last_incident(conn: Connection) -> int:
    """Return the number of the newest incident, 0 when there never was one."""
    row = conn.execute(_SQL["last_incident"]).fetchone()
    return int(row[0]) if row else 0


def incidents_after(conn: Connection, number: int) -> list[tuple[int, str]]:
    """Return incidents newer than *number*, as (number, "kind: reason")."""
    rows = conn.execute(_SQL["incidents_after"], {"number": number})
    return [(int(i), f"{kind}: {reason}") for i, kind, reason in rows]

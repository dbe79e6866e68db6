"""Reads what shadow reads found: by statement, within the last days."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row

from migrator.db.named import load
from migrator.model.blocker import Blocker
from migrator.model.shadow_read import ShadowLine, ShadowTotals, blockers

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "shadow_reads.sql")

MOST = 1000
"""Statements that are read, those that differ before others."""

SHOWN = 20
"""Statements that a status shows."""


def summary(conn: Connection, within_s: float, most: int = MOST) -> tuple[ShadowLine, ...]:
    """Return what was found of each statement in the last *within_s* seconds, what differs first."""
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL["summary"], {"within_s": within_s, "most": most}).fetchall()
    return tuple(ShadowLine(**{**row, "tenants": tuple(row["tenants"])}) for row in rows)


def totals(conn: Connection, within_s: float) -> ShadowTotals:
    """Return the same of all statements together."""
    row = conn.execute(_SQL["totals"], {"within_s": within_s}).fetchone()
    assert row is not None
    return ShadowTotals(*map(int, row))


def unaccepted(conn: Connection, body: Mapping[str, Any]) -> tuple[Blocker, ...]:
    """Return the statements whose answers differ, and that the plan *body* does not accept; by what differs alone."""
    days = float(body.get("traffic_test", {}).get("reads_days", 7))
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL["differing"], {"within_s": days * 86_400, "most": SHOWN}).fetchall()
    lines = [ShadowLine(**{**row, "tenants": tuple(row["tenants"])}) for row in rows]
    accepted = frozenset(body.get("gates", {}).get("acknowledged", ()))
    return blockers(lines, ShadowTotals(), False, accepted, days)

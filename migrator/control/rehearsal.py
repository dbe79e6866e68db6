"""Tells a rehearsal's cluster from any other: the plan's [rehearsal] section has no effect anywhere else.

A rehearsal marks the database it makes for itself. The servers of this machine (local:) are never production.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from migrator.errors import UsageError
from migrator.plan.schema import Plan

MARK = "made by migrator rehearse; nothing here is worth keeping"


def mark(conn: psycopg.Connection[Any]) -> None:
    """Mark *conn*'s database as one that a rehearsal made for itself. Safe to run twice."""
    row = conn.execute("SELECT current_database()").fetchone()
    assert row is not None
    conn.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(row[0]), sql.Literal(MARK)))


def is_rehearsal(conn: psycopg.Connection[Any], plan: Plan) -> bool:
    """Return whether *plan*'s classic, behind *conn*, belongs to a rehearsal."""
    if plan.is_local:
        return True
    row = conn.execute(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    return row is not None and row[0] == MARK


def clock_scale(conn: psycopg.Connection[Any], plan: Plan) -> float:
    """Return how many planned seconds pass in a real one: 1 outside a rehearsal, whatever the plan says."""
    return plan.clock_scale if plan.clock_scale != 1 and is_rehearsal(conn, plan) else 1.0


def check(conn: psycopg.Connection[Any], plan: Plan) -> None:
    """Refuse to migrate a real cluster with a plan for a rehearsal.

    Raises:
        UsageError: the plan has a [rehearsal] section, and no rehearsal made this classic.
    """
    if plan.rehearsal is not None and not is_rehearsal(conn, plan):
        raise UsageError(
            "the plan has a [rehearsal] section and this classic was not made by a rehearsal",
            hint="Remove the section for a real migration; for a rehearsal: migrator rehearse PLAN.toml",
        )

"""Stores drills on classic: what was practised, by whom, and how it went."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row

from migrator.control.log import decide
from migrator.db.named import load
from migrator.model.drill import Drill, DrillKind, DrillLine

Connection = psycopg.Connection[Any]

MOST = 1000

_SQL = load("migrator.control", "drill.sql")


def add(
    conn: Connection, kind: DrillKind, who: str, subject: str, passed: bool, seconds: float, body: Mapping[str, Any]
) -> None:
    """Store a drill and log it; owns its transaction."""
    values = {"kind": kind.value, "who": who, "subject": subject, "passed": passed, "seconds": seconds}
    with conn.transaction():
        conn.execute(_SQL["add"], {**values, "body": json.dumps(body)})
        conn.execute(_SQL["forget"], {"most": MOST})
        outcome = f"passed in {seconds:.1f} s" if passed else "did not pass"
        decide(conn, who, "drill.ended", f"drill/{kind.value}", f"{outcome}: {subject}", after=dict(body))


def newest(conn: Connection) -> tuple[DrillLine, ...]:
    """Return the newest drill of each kind, with how long ago one of its kind passed."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return tuple(DrillLine(_drill(row), row["passed_s"]) for row in cursor.execute(_SQL["newest"]))


def all_drills(conn: Connection, limit: int = 20) -> tuple[Drill, ...]:
    """Return the newest drills, the newest first."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return tuple(_drill(row) for row in cursor.execute(_SQL["all"], {"limit": limit}))


def _drill(row: Mapping[str, Any]) -> Drill:
    return Drill(
        DrillKind(row["kind"]), row["at"], row["who"], row["subject"], row["passed"], row["seconds"], dict(row["body"])
    )

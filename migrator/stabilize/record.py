"""What happened in the window, as classic remembers it?

Shell: incidents are rows of migrator.incident, whoever wrote them (a rollback, the breaker's monitor, a validation,
a person). The window itself is stored after every check, for `status` and for the gate.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import psycopg

from migrator.model.incident import IncidentKind
from migrator.stabilize.cost import CostSample, Usage
from migrator.stabilize.window import Window

Connection = psycopg.Connection[Any]

WINDOW = "stabilize"
COST = "cost"
GIB = 2**30


def last_incident(conn: Connection) -> int:
    """Return the number of the newest incident, 0 when there never was one."""
    row = conn.execute("SELECT coalesce(max(id), 0) FROM migrator.incident").fetchone()
    return int(row[0]) if row else 0


def incidents_after(conn: Connection, number: int) -> list[tuple[int, str]]:
    """Return incidents newer than *number*, as (number, "kind: reason")."""
    rows = conn.execute("SELECT id, kind, reason FROM migrator.incident WHERE id > %s ORDER BY id", (number,))
    return [(int(i), f"{kind}: {reason}") for i, kind, reason in rows]


def report_incident(conn: Connection, reason: str, reported_by: str) -> None:
    """Record what a person reported."""
    conn.execute(
        "INSERT INTO migrator.incident (kind, reason, reported_by) VALUES (%s, %s, %s)",
        (IncidentKind.REPORTED.value, reason, reported_by),
    )


def store_window(conn: Connection, window: Window, over: bool, text: str) -> None:
    """Keep the newest state of the window; one row, replaced at every check."""
    body = json.dumps({**asdict(window), "over": over, "text": text})
    with conn.transaction():
        changed = conn.execute(
            "UPDATE migrator.report SET body = %s, at = clock_timestamp() WHERE kind = %s", (body, WINDOW)
        )
        if not changed.rowcount:
            conn.execute("INSERT INTO migrator.report (kind, body) VALUES (%s, %s)", (WINDOW, body))


def stored_window(conn: Connection) -> tuple[Window, bool, str] | None:
    """Return the window, whether it is over, and its text; None before the first check."""
    row = conn.execute("SELECT body FROM migrator.report WHERE kind = %s", (WINDOW,)).fetchone()
    if row is None:
        return None
    body = dict(row[0])
    over, text = bool(body.pop("over")), str(body.pop("text"))
    return Window(**body), over, text


def resume_window(conn: Connection) -> None:
    """Say that the window is not over after all; the next check then deals with the newer incidents."""
    conn.execute("UPDATE migrator.report SET body = body || '{\"over\": false}' WHERE kind = %s", (WINDOW,))


def plan_usage(limitless: Connection, min_acu: float) -> Usage:
    """Return the usage where no bill exists: the smallest capacity the plan reserves, and the real storage.

    A router's own pg_database_size knows its catalogs only; the cluster adds up its nodes.
    """
    row = limitless.execute(
        "SELECT sum(db_size) FROM rds_aurora.limitless_stat_database_size(current_database()::text)"
    ).fetchone()
    return Usage(min_acu, (int(row[0]) if row and row[0] is not None else 0) / GIB, measured=False)


def store_cost(conn: Connection, sample: CostSample) -> None:
    body = {**asdict(sample), "against_projection": sample.against_projection}
    conn.execute("INSERT INTO migrator.report (kind, body) VALUES (%s, %s)", (COST, json.dumps(body)))

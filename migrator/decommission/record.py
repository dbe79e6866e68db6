"""Stores the stabilization window on classic, and reads the incidents in it.

Shell: an incident counts, whatever recorded it (a rollback, the breaker's monitor, a validation, a person). The window
itself is stored after every check, for `status` and for the gate.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import psycopg

from migrator.control import history
from migrator.control.incident import add_incident, incidents_after, last_incident
from migrator.decommission.cost import CostSample, Usage
from migrator.decommission.window import Window
from migrator.model.incident import IncidentKind

__all__ = [
    "COST",
    "WINDOW",
    "incidents_after",
    "last_incident",
    "plan_usage",
    "report_incident",
    "resume_window",
    "store_cost",
    "store_window",
    "stored_window",
]

Connection = psycopg.Connection[Any]

WINDOW = "stabilize"
COST = "cost"
GIB = 2**30


def report_incident(conn: Connection, reason: str, reported_by: str) -> None:
    """Record what a person reported."""
    add_incident(conn, IncidentKind.REPORTED, reason, reported_by)


def store_window(conn: Connection, window: Window, over: bool, text: str) -> None:
    """Keep the newest state of the window; one row, replaced at every check."""
    history.replace_report(conn, WINDOW, {**asdict(window), "over": over, "text": text})


def stored_window(conn: Connection) -> tuple[Window, bool, str] | None:
    """Return the window, whether it is over, and its text; None before the first check."""
    stored = history.newest_report(conn, WINDOW)
    if stored is None:
        return None
    body = dict(stored["body"])
    over, text = bool(body.pop("over")), str(body.pop("text"))
    return Window(**body), over, text


def resume_window(conn: Connection) -> None:
    """Mark the window as not over; the next check then deals with the newer incidents."""
    number = history.newest_number(conn, WINDOW)
    if number is not None:
        history.extend_report(conn, number, {"over": False})


def plan_usage(limitless: Connection, min_acu: float) -> Usage:
    """Return the usage where no bill exists: the smallest capacity the plan reserves, and the real storage.

    A router's own pg_database_size knows its catalogs only; the cluster adds up its nodes.
    """
    row = limitless.execute(
        "SELECT sum(db_size) FROM rds_aurora.limitless_stat_database_size(current_database()::text)"
    ).fetchone()
    return Usage(min_acu, (int(row[0]) if row and row[0] is not None else 0) / GIB, measured=False)


def store_cost(conn: Connection, sample: CostSample) -> None:
    history.add_report(conn, COST, {**asdict(sample), "against_projection": sample.against_projection})

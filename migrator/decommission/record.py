"""Stores the stabilization window on classic, and reads the incidents in it.

Shell: an incident counts, whatever recorded it (a rollback, the breaker's monitor, a validation, a person). The window
itself is stored after every check, for `status` and for the gate.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import psycopg

from migrator.control import history
from migrator.control.incident import incidents_after, last_incident, report_incident
from migrator.decommission.window import Window
from migrator.model.cost import Basis, CostLine

__all__ = [
    "COST",
    "WINDOW",
    "incidents_after",
    "last_incident",
    "report_incident",
    "resume_window",
    "store_cost",
    "store_window",
    "stored_window",
]

Connection = psycopg.Connection[Any]

WINDOW = "stabilize"
COST = "cost"


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


def store_cost(conn: Connection, line: CostLine) -> None:
    """Keep what Limitless costs, as evidence of the day."""
    bill = line.forecast
    body = {
        "month": line.month,
        "summary": line.summary,
        "monthly_usd": bill.monthly if bill else None,
        "projected_monthly_usd": line.projected_monthly_usd,
        "classic_monthly_usd": line.classic_monthly_usd,
        "against_projection": line.ratio,
        "against": line.against.value,
        "acu": line.acu,
        "storage_gb": line.storage_gb,
        "measured": line.basis is Basis.CLOUDWATCH,
        "forecast": asdict(bill) if bill else None,
        "doubts": list(line.doubts),
    }
    history.add_report(conn, COST, body)

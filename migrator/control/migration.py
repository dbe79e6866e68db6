"""Reads what a report of the whole migration rests on: the status, what happened when, and every line over time.

From classic alone and from one snapshot, so that it is consistent, and works while Temporal or Limitless does not
answer, before anything has begun, and after the end for as long as classic is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row

from migrator.capacity.lines import days
from migrator.control import cost, history
from migrator.control.plan import Stored, stored
from migrator.control.series import POINTS, series
from migrator.control.status import collect_here
from migrator.db.named import load
from migrator.errors import PlanInvalid
from migrator.model.migration import (
    SHOWN,
    Act,
    Approval,
    Calendar,
    Counting,
    IncidentLine,
    MigrationFacts,
    WaveTime,
)
from migrator.model.series import Series
from migrator.model.standing import Limits, conditions
from migrator.plan.load import from_earlier
from migrator.plan.schema import Plan

Connection = psycopg.Connection[Any]
T = TypeVar("T")

QUIET = ("route.moved", "fallback.raised", "fallback.eased", "fallback.cleared", "wave.watched", "replica.out",
         "replica.joining", "replica.serving", "rollback.decided")  # fmt: skip
"""Kinds of decisions that are drawn or counted, and not listed."""

_SQL = load("migrator.control", "migration.sql")


def facts(conn: Connection, points: int = POINTS) -> MigrationFacts:
    """Return everything there is to report; owns its transaction.

    Args:
        points: of each line, at most.
    """
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return facts_here(conn, points)


def facts_here(conn: Connection, points: int = POINTS) -> MigrationFacts:
    """Return the same within the caller's transaction, which is one of one snapshot."""
    status = collect_here(conn)
    if not status.installed or status.phase is None:  # not there, or of another version: nothing else is read
        return MigrationFacts(status, conditions(status))
    kept = stored(conn)
    plan = _readable(kept.body) if kept else None
    small, hot = conn.execute(_SQL["waiting"]).fetchone() or (0, 0)
    (incidents,) = conn.execute(_SQL["incident_count"]).fetchone() or (0,)
    return MigrationFacts(
        status=status,
        conditions=conditions(status, Limits.of(kept.body) if kept else None),
        calendar=calendar(plan) if plan else None,
        counting=_counting(conn),
        waves=_rows(conn, WaveTime, "waves"),
        waiting=small,
        waiting_hot=hot,
        approvals=_rows(conn, Approval, "approvals"),
        incidents=_rows(conn, IncidentLine, "incidents", limit=SHOWN),
        incident_count=incidents,
        rollbacks=_rows(conn, Act, "acts", without=[], only="rollback.decided", limit=SHOWN),
        acts=_rows(conn, Act, "acts", without=list(QUIET), only=None, limit=SHOWN),
        costs=days(conn, plan, cost.DAYS) if plan else (),
        series=_series(conn, kept, status.at, points),
    )


def _readable(body: Mapping[str, Any]) -> Plan | None:
    """Return the stored plan; None where this version cannot read it."""
    try:
        return from_earlier(body)
    except PlanInvalid:
        return None


def calendar(plan: Plan) -> Calendar:
    """Return what *plan* says about time."""
    return Calendar(
        weeks=plan.runway.weeks,
        stabilization_days=plan.stabilization.days,
        scale=plan.clock_scale,
        sizes=tuple(plan.waves.sizes),
        steps=len(plan.waves.ramp_pct),
        hot_steps=len(plan.waves.hot_ramp_pct),
        soak_s=plan.waves.soak_s,
        max_age_s=plan.validation.max_age_s,
        full=plan.runway.full_pct / 100,
    )


def _series(conn: Connection, kept: Stored | None, now: datetime, points: int) -> Series:
    """From the plan's beginning on; half an hour at least, so that the first minutes are a line and no dot."""
    began = kept.created_at if kept else now
    return series(conn, min(began, now - timedelta(minutes=30)), points=points)


def _counting(conn: Connection) -> Counting | None:
    report = history.newest_report(conn, "stabilize")
    if report is None:
        return None
    body = report["body"]
    return Counting(
        deadline_s=float(body["deadline_s"]),
        restarts=int(body["restarts"]),
        pauses=int(body["pauses"]),
        paused=body["paused_s"] is not None,
        over=bool(body["over"]),
        text=str(body["text"]),
    )


def _rows(conn: Connection, kind: type[T], name: str, **values: object) -> tuple[T, ...]:
    with conn.cursor(row_factory=class_row(kind)) as cursor:
        return tuple(cursor.execute(_SQL[name], values).fetchall())

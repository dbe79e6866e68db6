"""What the board shows of the migration, read in one look at classic."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg

from migrator.control.history import incidents
from migrator.control.plan import stored
from migrator.control.series import series
from migrator.control.status import collect
from migrator.model.condition import Condition
from migrator.model.series import Series
from migrator.model.standing import Limits, conditions
from migrator.model.status import Status

EVENTS = 8
"""As `migrator status` shows: /api/status is the same document."""

INCIDENTS = 10

SPAN = timedelta(hours=6)
POINTS = 180
SERIES_S = 30.0
"""Lines over time are read again when they are so old: a point stands for minutes, and they cost more than the rest."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The state of the migration at one moment.

    Attributes:
        taken_s: this machine's monotonic clock when it was read.
        conditions: that stand, the most urgent first.
        incidents: the newest ones, newest first.
        series: the last hours; read_s: when they were read, by the same clock as taken_s.
        weeks: that the plan gives the whole migration.
    """

    status: Status
    taken_s: float
    conditions: tuple[Condition, ...] = ()
    incidents: tuple[dict[str, Any], ...] = ()
    series: Series | None = None
    read_s: float = 0.0
    weeks: float = 24.0


def look(conn: psycopg.Connection[Any], last: Picture | None = None) -> Picture:
    """Return the state of the migration on *conn*'s cluster; installed or not, and of any version.

    Args:
        last: the picture before, whose lines over time may serve for a while.
    """
    status = collect(conn, events=EVENTS)
    now_s = time.monotonic()
    if status.phase is None:  # not installed, or of a version whose tables are not read
        return Picture(status, now_s, conditions(status))
    plan = stored(conn)
    body = plan.body if plan else {}
    lines, read_s = (last.series, last.read_s) if last else (None, 0.0)
    if lines is None or now_s - read_s > SERIES_S:
        with conn.transaction():
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            lines, read_s = series(conn, status.at - SPAN, points=POINTS), now_s
    return Picture(
        status,
        now_s,
        conditions(status, Limits.of(body)),
        tuple(incidents(conn, INCIDENTS)[::-1]),
        lines,
        read_s,
        float(body.get("runway", {}).get("weeks", 24.0)),
    )

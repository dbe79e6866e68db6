"""Keeps the state of the migration by the minute, and reads everything that is drawn over time.

Three sources, none of them twice: the state (here), reads by side (samples.py), the load of the writer
(writer_load.py). Minutes are kept for two days and hours for 400, so half a year is a few megabytes and a picture of it
costs the writer a fraction of a second. A minute in which no worker watched is a gap, and stays one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from migrator.control.samples import BUCKETS_SUMMED
from migrator.control.writer_load import CPU
from migrator.db.named import load
from migrator.model import latency
from migrator.model.series import Series

Connection = psycopg.Connection[Any]

MINUTES_S = 2 * 86_400.0
"""How long minutes are kept until they are added up; upkeep.py says how long hours are. As for reads (samples.py)."""

POINTS = 400
"""So many points of a line are enough for the width of a page."""

_SQL = load("migrator.control", "series.sql")

STATES: Mapping[str, str] = {
    "lag_s": "s, of the mirror partition that lags most, mean",
    "lag_max_s": "s, of the mirror partition that lags most, highest",
    "depth": "journal entries in a cycle of all mirror partitions, mean",
    "rows_per_s": "rows a second that mirrors applied, mean",
    "pending": "tenants that are not copied yet",
    "copying": "tenants that are being copied",
    "mirrored": "tenants that follow classic",
    "quarantined": "tenants that are quarantined",
    "joining": "tenants whose writes wait for the mirror and whose reads come from classic",
    "limitless": "tenants that read from Limitless",
    "held": "tenants that a person keeps on classic",
    "copied_rows": "rows that the backfill has copied",
    "to_copy_rows": "rows that the backfill copies in all, as estimated",
    "oldest_clean_s": "s, age of the oldest clean validation of a tenant, highest",
    "never_validated": "tenants that no validation has seen",
    "divergent": "tenants with divergent rows, most",
    "fallbacks": "open fallbacks, most",
    "open_breakers": "breakers that processes hold open, most",
    "processes": "live processes, fewest",
}
SIDES = ("classic", "limitless")
READS: Mapping[str, str] = {
    "reads_per_s": "reads a second",
    "error_ratio": "share of reads that failed, 0 to 1",
    "p50_ms": "ms, median",
    "p99_ms": "ms, 99th percentile",
}
LOADS: Mapping[str, str] = {
    "cpu": "use of the writer's processors, 0 to 1, mean",
    "journal_bytes": "bytes of the journal on disk, mean",
}

VALUES: Mapping[str, str] = {
    **STATES,
    **{f"{side}_{name}": f"{said} on {side}" for side in SIDES for name, said in READS.items()},
    **LOADS,
}
"""Every line: name, unit and meaning. "Mean", "most" and the like are over the time that a point stands for."""

_STEPS_S = (60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800, 2_419_200)

_READS = sql.SQL("""
SELECT floor(extract(epoch FROM at) / %(step_s)s)::bigint, side, sum(reads)::bigint, sum(errors)::bigint, {summed}
  FROM {table}
 WHERE tenant_id IS NULL AND side = ANY (%(sides)s) AND at >= %(since)s AND at < %(until)s
 GROUP BY 1, 2
""")


def add(conn: Connection) -> None:
    """Store the state of this minute, once; and add up to hours what is older than two days."""
    conn.execute(_SQL["add"])
    conn.execute(_SQL["fold"], {"kept_s": MINUTES_S})


def series(
    conn: Connection, since: datetime | None = None, until: datetime | None = None, points: int = POINTS
) -> Series:
    """Return every line of `VALUES` from *since* (None: the oldest that is stored) to *until* (None: now).

    Args:
        points: at most so many, each of a round time; at least 2.

    In a transaction of one snapshot, so that what is added up meanwhile is counted once.

    Raises:
        ValueError: a moment has no time zone.
    """
    if any(moment is not None and moment.tzinfo is None for moment in (since, until)):
        raise ValueError("moments have a time zone")
    row = conn.execute(_SQL["oldest"]).fetchone()
    assert row is not None
    oldest, now = row
    until = min(until or now, now)
    since = min(max(since, oldest) if since and oldest else since or oldest or until, until)
    step_s = step(since.timestamp(), until.timestamp(), now.timestamp(), points)
    first, last = int(since.timestamp() // step_s), int(until.timestamp() // step_s)
    # The hour in which *since* lies is one row at its beginning.
    asked = {"step_s": step_s, "since": datetime.fromtimestamp(first * step_s, UTC), "until": until}
    lines = _Lines(first, last - first + 1)
    _states(conn, asked, lines)
    # The ends are cut: nothing was seen before the hour in which the first read was.
    _reads(conn, asked, lines, ((oldest or since).timestamp() // 3600 * 3600, until.timestamp()))
    _loads(conn, asked, lines)
    at = tuple(datetime.fromtimestamp(n * step_s, UTC) for n in range(first, last + 1))
    return Series(since, until, step_s, at, {name: tuple(line) for name, line in lines.of.items()})


def step(since_s: float, until_s: float, now_s: float, points: int) -> int:
    """Return how many seconds a point stands for: a round time that gives at most *points*, and an hour or more where
    only hours may be left."""
    finest = 60 if now_s - since_s <= MINUTES_S else 3600
    for step_s in _STEPS_S:
        if step_s >= finest and until_s // step_s - since_s // step_s + 1 <= max(points, 2):
            return step_s
    return _STEPS_S[-1] * (int((until_s - since_s) // (_STEPS_S[-1] * max(points - 1, 1))) + 1)


class _Lines:
    """Lines that are being filled: what has no value stays None."""

    def __init__(self, first: int, count: int) -> None:
        self.first, self.count = first, count
        self.of: dict[str, list[float | None]] = {name: [None] * count for name in VALUES}

    def put(self, name: str, number: int, value: float | None) -> None:
        """The first value stays. What has no number, as the age of what never was, is unknown."""
        if value is None or not math.isfinite(value):
            return
        if 0 <= (place := number - self.first) < self.count and self.of[name][place] is None:
            self.of[name][place] = value


def _states(conn: Connection, asked: Mapping[str, Any], lines: _Lines) -> None:
    with conn.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(_SQL["states"], asked):
            for name in STATES:
                value = row[name]
                lines.put(name, row["bin"], None if value is None else float(value))


def _reads(conn: Connection, asked: Mapping[str, Any], lines: _Lines, stored_s: tuple[float, float]) -> None:
    """Reads of the last minutes are in none of the sums yet."""
    found: dict[tuple[int, str], tuple[int, int, Sequence[int]]] = {}
    for table in ("read_sample", "read_minute", "read_hour"):
        statement = _READS.format(summed=BUCKETS_SUMMED, table=sql.Identifier("migrator", table))
        for number, side, reads, errors, buckets in conn.execute(statement, {**asked, "sides": list(SIDES)}):
            before = found.get((number, side), (0, 0, ()))
            added = latency.merge([before[2], buckets])
            found[number, side] = (before[0] + reads, before[1] + errors, added)
    step_s = asked["step_s"]
    for (number, side), (reads, errors, buckets) in found.items():
        seconds = min((number + 1) * step_s, stored_s[1]) - max(number * step_s, stored_s[0])
        seconds = max(seconds, 1.0)
        lines.put(f"{side}_reads_per_s", number, reads / seconds)
        if reads:
            lines.put(f"{side}_error_ratio", number, errors / reads)
        if any(buckets):
            lines.put(f"{side}_p50_ms", number, latency.percentile_of(buckets, 0.5))
            lines.put(f"{side}_p99_ms", number, latency.p99_of(buckets))


def _loads(conn: Connection, asked: Mapping[str, Any], lines: _Lines) -> None:
    """A row that stands for more than a point gives its value to all of them; finer ones come first."""
    rows = conn.execute(_SQL["loads"], {**asked, "metrics": [*CPU, "journal_bytes"]}).fetchall()
    for metric in ("journal_bytes", *CPU):
        for number, found, value, grain_s in rows:
            if found == metric:
                for more in range(max(grain_s // asked["step_s"], 1)):
                    lines.put("cpu" if metric in CPU else metric, number + more, float(value))

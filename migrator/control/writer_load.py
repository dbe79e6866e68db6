"""Stores what classic's writer carries: a row for each metric and minute, added up to hours, and those to days.

What is stored is an amount and the seconds it was watched for, so a gap lowers nothing: the mean of an hour is over the
minutes that were seen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from migrator.db.named import load

Connection = psycopg.Connection[Any]

MINUTES_S = 3 * 3600.0
HOURS_S = 21 * 86_400.0
DAYS = 800
"""How long minutes and hours are kept until they are added up, and days until they are deleted."""

RECENT_S = 900.0

CPU = ("cpu.cloudwatch", "cpu.local")
"""Metrics of the use of the writer's processors, 0 to 1: by AWS, which goes before by this machine."""

_LOCK = 0x6D69676C
""""migl": the advisory lock of the session that watches the writer."""

_SQL = load("migrator.control", "writer_load.sql")


@dataclass(frozen=True, slots=True)
class Day:
    """A metric's day.

    Attributes:
        number: of days since 1970, in UTC.
        seconds: of it that were watched.
        peak: mean of the busiest hour that was watched for a quarter of it or more; None where none was.
    """

    number: int
    seconds: float
    mean: float
    peak: float | None


@dataclass(frozen=True, slots=True)
class Recent:
    """A metric's mean over the last minutes. seconds: that were watched; age_s: since the last of them began."""

    mean: float
    seconds: float
    age_s: float


def take_turn(conn: Connection) -> bool:
    """Return whether *conn*'s session is the one that watches the writer; it is until it ends. One at a time."""
    row = conn.execute(_SQL["take_turn"], {"lock": _LOCK}).fetchone()
    return bool(row and row[0])


def add(conn: Connection, at: datetime, rates: Mapping[str, float], seconds: Mapping[str, float]) -> None:
    """Add to the minute of *at* what was measured: each metric's rate and for how many seconds it was watched."""
    known = [name for name in rates if seconds[name] > 0]
    minute = at.replace(second=0, microsecond=0)
    conn.execute(
        _SQL["add"],
        {
            "grain": "minute",
            "at": [minute] * len(known),
            "metric": known,
            "rate": [rates[name] for name in known],
            "seconds": [seconds[name] for name in known],
        },
    )


def put_hours(conn: Connection, metric: str, hours: Sequence[tuple[datetime, float]]) -> None:
    """Store hours that another service measured; the same hour again replaces it."""
    values = {"metric": metric, "at": [at for at, _ in hours], "rate": [rate for _, rate in hours]}
    conn.execute(_SQL["put_hours"], values)


def last_hour(conn: Connection, metric: str) -> datetime | None:
    """Return the beginning of the last hour that is stored of *metric*."""
    row = conn.execute(_SQL["last_hour"], {"metric": metric}).fetchone()
    return row[0] if row else None


def fold(conn: Connection) -> None:
    """Add up what is over for long, and delete what is older than `DAYS`. Killed anywhere, it loses nothing."""
    conn.execute(_SQL["fold_minutes"], {"kept_s": MINUTES_S})
    conn.execute(_SQL["fold_hours"], {"kept_s": HOURS_S})
    conn.execute(_SQL["forget_days"], {"days": DAYS})


def days(conn: Connection, metrics: Collection[str]) -> dict[str, list[Day]]:
    """Return the days of each of *metrics* that has any, oldest first."""
    found: dict[str, list[Day]] = {}
    for metric, at, seconds, mean, peak in conn.execute(_SQL["days"], {"metrics": list(metrics)}):
        found.setdefault(metric, []).append(Day(int(at.timestamp() // 86_400), seconds, mean, peak))
    return found


def recent(conn: Connection, within_s: float = RECENT_S) -> dict[str, Recent]:
    """Return the means of everything over the last *within_s* seconds."""
    rows = conn.execute(_SQL["recent"], {"within_s": within_s})
    return {metric: Recent(mean, seconds, age) for metric, mean, seconds, age in rows}


@dataclass(frozen=True, slots=True)
class Busiest:
    """A metric's highest rate. grain: of what time it is the mean, "minute" or "hour"; seconds: that were watched."""

    rate: float
    grain: str
    seconds: float


def busiest(conn: Connection, metric: str, days: float) -> Busiest | None:
    """Return the highest rate of *metric* in the last *days*; None where nothing was stored, or only an hour of it is
    known that was watched for minutes."""
    row = conn.execute(_SQL["busiest"], {"metric": metric, "within_s": days * 86_400}).fetchone()
    return None if row is None or row[0] is None else Busiest(float(row[0]), str(row[1]), float(row[2]))


def busiest_tables(conn: Connection, schemas: Sequence[str], limit: int = 3) -> tuple[tuple[str, float], ...]:
    """Return the tables that are written most, with their shares of all row writes, as their statistics say."""
    rows = conn.execute(_SQL["busiest_tables"], {"schemas": list(schemas), "limit": limit})
    return tuple((str(name), float(share)) for name, share in rows)


def journal_bytes(conn: Connection) -> int:
    """Return what the journal takes on disk; 0 before anything is installed."""
    there = conn.execute(_SQL["has_journal"]).fetchone()
    if there is None or not there[0]:
        return 0
    row = conn.execute(_SQL["journal_bytes"]).fetchone()
    return int(row[0]) if row else 0


@dataclass(frozen=True, slots=True)
class Calendar:
    """Seconds since 1970: when the migration, capture and the stabilization began (None: not yet), and now."""

    began_s: float
    captured_s: float | None
    stabilize_s: float | None
    now_s: float


def calendar(conn: Connection) -> Calendar | None:
    """Return where the migration is; None before a plan is stored."""
    row = conn.execute(_SQL["calendar"]).fetchone()
    return Calendar(*row) if row and row[0] is not None else None

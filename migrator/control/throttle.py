"""Stores how fast the backfill may copy, which operators set while it runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import psycopg

from migrator.control.log import decide
from migrator.db.named import load

_SQL = load("migrator.control", "throttle.sql")


@dataclass(frozen=True, slots=True)
class Throttle:
    """`mb_per_s` None: no limit."""

    paused: bool = False
    mb_per_s: float | None = None
    reason: str = ""

    def words(self) -> str:
        if self.paused:
            return "paused"
        return f"{self.mb_per_s:g} MB/s" if self.mb_per_s else "no limit"


def read_throttle(conn: psycopg.Connection[Any]) -> Throttle:
    """Return what is set."""
    row = conn.execute(_SQL["throttle"]).fetchone()
    return Throttle(*row) if row else Throttle()


def start_rate(conn: psycopg.Connection[Any], mb_per_s: float | None) -> None:
    """Give the copy the plan's rate, unless an operator has set one."""
    conn.execute(_SQL["start_rate"], {"mb_per_s": mb_per_s})


def set_throttle(conn: psycopg.Connection[Any], wanted: Throttle, *, who: str) -> None:
    """Set the throttle and log who did; owns its transaction."""
    with conn.transaction():
        row = conn.execute(_SQL["lock"]).fetchone()
        before = Throttle(*row) if row else Throttle()
        conn.execute(_SQL["set"], {**asdict(wanted), "who": who})
        decide(conn, who, "throttle.changed", "backfill", wanted.reason or "-", asdict(before), asdict(wanted))


@dataclass(frozen=True, slots=True)
class CopyLoad:
    """What decides whether another copy may begin.

    Attributes:
        paused, paused_by: whether an operator paused the copy, and who.
        shown: the reason that status shows now; '' when none.
        lag_s: of the mirror partition that is furthest behind.
        active_sessions: statements that classic runs at once.
        journal_mb: what the journal takes, in megabytes of 1,000,000 bytes.
    """

    paused: bool
    paused_by: str
    shown: str
    lag_s: float
    active_sessions: int
    journal_mb: float


def copy_load(conn: psycopg.Connection[Any]) -> CopyLoad | None:
    """Return what the throttle looks at, as it is now; None without a throttle."""
    row = conn.execute(_SQL["copy_load"]).fetchone()
    return CopyLoad(*row) if row else None


def show_hold(conn: psycopg.Connection[Any], reason: str) -> None:
    """Have status show why no copy begins ('' when one may); an operator's pause stays."""
    conn.execute(_SQL["show_hold"], {"reason": reason})

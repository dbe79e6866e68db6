"""Stores how fast copies and comparisons may go, and asks both sides how they are."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.db.named import load
from migrator.model.pace import Pace

Connection = psycopg.Connection[Any]

FRESH_S = 60.0
"""A pace that was not stored for so long counts as none: no worker looks after it."""

_SQL = load("migrator.control", "pace.sql")


def current_pace(conn: Connection) -> Pace:
    """Return the pace that counts now; a full one when no worker looks after it."""
    row = conn.execute(_SQL["pace"], {"fresh_s": FRESH_S}).fetchone()
    return Pace(float(row[0]), str(row[1])) if row else Pace()


def store_pace(conn: Connection, pace: Pace) -> float:
    """Store *pace*; return the seconds that took: a small write on classic, committed."""
    began = time.monotonic()
    conn.execute(_SQL["store"], {"share": pace.share, "reason": pace.reason})
    return time.monotonic() - began


@dataclass(frozen=True, slots=True)
class Classic:
    """How classic is. Lags are in seconds; None: there is none to measure."""

    active_sessions: int
    mirror_lag_s: float | None
    replica_lag_s: float | None


def ask_classic(conn: Connection) -> Classic:
    """Return how classic is now."""
    row = conn.execute(_SQL["classic"]).fetchone()
    assert row is not None
    active, mirror, replica, is_aurora = row
    if is_aurora:
        told = conn.execute(_SQL["aurora_lag"]).fetchone()
        replica = float(told[0]) if told and told[0] is not None else None
    return Classic(int(active), mirror, replica)


def ask_limitless(conn: Connection) -> float:
    """Return the seconds until Limitless answers a small read."""
    began = time.monotonic()
    conn.execute(_SQL["answer"]).fetchone()
    return time.monotonic() - began


async def current_share(conn: psycopg.AsyncConnection[Any]) -> float:
    """Return the share of the pace that counts now, as `current_pace` does."""
    row = await (await conn.execute(_SQL["pace"], {"fresh_s": FRESH_S})).fetchone()
    return float(row[0]) if row else 1.0

"""Advisory locks on classic keep copies and schema changes apart; drills, shadow runs and load tests, too.

Held by sessions, so that a process that dies holds nothing. Copies share the lock, each for its unit; a schema change
takes it alone, and PostgreSQL's queue lets no new copy in before it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg

_COPY_TURN = 0x6D696773  # "migs"
_CHANGE = 0x6D696764  # "migd": one schema change at a time
_DRILL = 0x6D696772  # "migr": one rollback drill at a time
_LOAD = 0x6D69676F  # "migo": one load test at a time
_SHADOW = 0x6D697368  # "mish": one shadow run at a time
_LOOK_S = 0.2
_DYING_S = 2.0


async def share_copy_lock(conn: psycopg.AsyncConnection[Any]) -> None:
    """Return when copying may begin; *conn*'s session then shares the lock until it ends.

    By trying, not by waiting inside a statement, whose snapshot would hold up CREATE INDEX CONCURRENTLY.
    """
    while True:
        row = await (
            await conn.execute(
                "SELECT migrator_lock FROM pg_try_advisory_lock_shared(%s) AS migrator_lock", (_COPY_TURN,)
            )
        ).fetchone()
        if row and row[0]:
            return
        await asyncio.sleep(_LOOK_S)


def take_copy_lock(conn: psycopg.Connection[Any], timeout_s: float) -> bool:
    """Wait until no copy runs and let none begin; False when one still runs after *timeout_s* seconds."""
    return _take(conn, _COPY_TURN, timeout_s)


def release_copy_lock(conn: psycopg.Connection[Any]) -> None:
    conn.execute("SELECT migrator_lock FROM pg_advisory_unlock(%s) AS migrator_lock", (_COPY_TURN,))


def only_change(conn: psycopg.Connection[Any], timeout_s: float = _DYING_S) -> bool:
    """Return whether *conn*'s session is now the only one that changes schemas; it may say so more than once.

    It waits a moment at least: the session of a process that has just been killed ends a little later than the process.
    """
    return _take(conn, _CHANGE, max(timeout_s, _DYING_S))


def only_drill(conn: psycopg.Connection[Any]) -> bool:
    """Return whether *conn*'s session is now the only one that practises a rollback, until `drill_over`."""
    return _take(conn, _DRILL, 0.01)


def drill_over(conn: psycopg.Connection[Any]) -> None:
    conn.execute("SELECT migrator_lock FROM pg_advisory_unlock(%s) AS migrator_lock", (_DRILL,))


def only_load_test(conn: psycopg.Connection[Any]) -> bool:
    """Return whether *conn*'s session is now the only one that runs a load test, until it ends."""
    return _take(conn, _LOAD, 0.01)


def only_shadow(conn: psycopg.Connection[Any]) -> bool:
    """Return whether *conn*'s session is now the only one with a shadow run, until it ends."""
    return _take(conn, _SHADOW, 0.01)


def _take(conn: psycopg.Connection[Any], lock: int, timeout_s: float) -> bool:
    try:
        with conn.transaction():
            conn.execute("SELECT set_config('lock_timeout', %s, true)", (str(round(max(timeout_s, 0.01) * 1000)),))
            conn.execute("SELECT migrator_lock FROM pg_advisory_lock(%s) AS migrator_lock", (lock,))
    except psycopg.errors.LockNotAvailable:
        return False
    return True

"""Takes a read replica into service and out of it: route changes that application processes make themselves.

As with a tenant's reads, going up takes two steps and going down is confirmed. `joining`: every process makes its
acknowledged writes wait for the replica. `serving`: it is read. `out`: neither, once every live process has applied it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import psycopg

from migrator.shim import replica_sql as sql
from migrator.shim import statements as st
from migrator.shim.link import PINNED


class Level(StrEnum):
    """How far a replica is in service."""

    OUT = "out"
    JOINING = "joining"
    SERVING = "serving"


def join(conn: psycopg.Connection[Any], instance: str, name: str, *, by: str) -> list[str]:
    """Make every process wait for a replica that is out or new; return the live processes that could not wait for it.

    Nothing is changed when there are any, or when it is in service already. Owns its transaction.
    """
    if unable := [str(row[0]) for row in conn.execute(sql.UNREACHED, {"instance": instance})]:
        return unable  # asked once more under the lock, which changes of routes need
    with conn.transaction():
        _lock(conn)
        found = conn.execute(sql.FIND, {"instance": instance}).fetchone()
        if found is not None and found[0] != Level.OUT:
            return []
        unable = [str(row[0]) for row in conn.execute(sql.UNREACHED, {"instance": instance})]
        if unable:
            return unable
        arguments = _arguments(conn, instance, name, Level.JOINING, by, "it follows the writer closely")
        conn.execute(sql.JOIN, arguments)
        conn.execute(sql.DECIDE, {**arguments, "before": Level.OUT.value})
        conn.execute(st.ANNOUNCE)
    return []


def serve(conn: psycopg.Connection[Any], instance: str, name: str, *, epoch: int, by: str) -> bool:
    """Let a replica be read that joined at *epoch*; return whether it is read now. Owns its transaction.

    It is taken out instead where a process lives that waits for no replica: its heartbeat was so slow that neither
    `join` nor the triggers on migrator.process saw both. The caller knows that every live process has applied *epoch*,
    and that the replica has replayed this history up to a position of the writer from after that.
    """
    with conn.transaction():
        _lock(conn)
        found = conn.execute(sql.FIND, {"instance": instance}).fetchone()
        if found is None or (found[0], found[1]) != (Level.JOINING, epoch):
            return False
        if unaware := [str(row[0]) for row in conn.execute(sql.UNAWARE)]:
            reason = f"these processes do not wait for replicas: {', '.join(unaware)}"
            _change(conn, instance, name, Level.OUT, by, reason, Level.JOINING.value)
            return False
        _change(conn, instance, name, Level.SERVING, by, "it holds every acknowledged write", Level.JOINING.value)
    return True


def take_out(conn: psycopg.Connection[Any], instance: str, name: str, *, by: str, reason: str) -> int:
    """Take a replica out of service for everybody; return the epoch to confirm. Owns its transaction.

    Taking out what is out changes nothing and returns the epoch of the first time.
    """
    with conn.transaction():
        _lock(conn)
        found = conn.execute(sql.FIND, {"instance": instance}).fetchone()
        if found is None:
            return -1
        if found[0] == Level.OUT:
            return int(found[1])
        return _change(conn, instance, name, Level.OUT, by, reason, str(found[0]))


def _lock(conn: psycopg.Connection[Any]) -> None:
    conn.execute(f"{PINNED} SET LOCAL lock_timeout = '3s'".encode())
    conn.execute(st.LOCK_SWITCH)


def _change(
    conn: psycopg.Connection[Any], instance: str, name: str, level: Level, by: str, reason: str, before: str
) -> int:
    arguments = _arguments(conn, instance, name, level, by, reason)
    conn.execute(sql.CHANGE, arguments)
    conn.execute(sql.DECIDE, {**arguments, "before": before})
    conn.execute(st.ANNOUNCE)
    return int(arguments["epoch"])


def _arguments(
    conn: psycopg.Connection[Any], instance: str, name: str, level: Level, by: str, reason: str
) -> dict[str, Any]:
    row = conn.execute(st.NEXT_EPOCH).fetchone()
    assert row is not None  # the switch row is part of the schema
    return {
        "instance": instance, "name": name, "level": level.value, "by": by, "reason": reason, "epoch": int(row[0]),
    }  # fmt: skip

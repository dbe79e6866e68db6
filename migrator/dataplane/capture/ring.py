"""Empties slots of the journal ring.

By TRUNCATE, so the journal never bloats. A slot is judged by its contents, never by its age: an old writer may
still commit into an old slot, and TRUNCATE is not MVCC-safe, so readers lock the slots before they take a
snapshot, and the cleaner takes its lock without waiting and then reads with a newer snapshot.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from migrator.control.journal import KEPT, size_bytes_async
from migrator.dataplane.capture.names import journal, journal_slot

Connection = psycopg.AsyncConnection[Any]

_LOCK_WAIT_MS = 200

size_bytes = size_bytes_async
"""How much the ring holds on disk."""


def lock_for_reading(table_ids: Sequence[int]) -> sql.Composed:
    """Return the statement a reader runs first, before it has a snapshot."""
    return sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(
        sql.SQL(", ").join(sql.Identifier("migrator", journal(n)) for n in table_ids)
    )


async def clean(conn: Connection, table_ids: Sequence[int], slots: int, parts: int) -> list[int]:
    """Empty every slot whose entries all positions and retention pins have passed; returns the slots emptied.

    Writers use the current slot, so its lock is only taken when it is free at once. The others are locked by the
    mirrors' short reads alone: there the cleaner waits a little, or it would never find all of them idle.
    """
    emptied: list[int] = []
    row = await (await conn.execute("SELECT last_value FROM migrator.ring")).fetchone()
    current = int(row[0]) if row else 0
    for slot in range(slots):
        names = [sql.Identifier("migrator", journal_slot(n, slot)) for n in table_ids]
        if await _is_empty(conn, names):
            continue
        with contextlib.suppress(psycopg.errors.LockNotAvailable):
            await conn.execute(_empty(names, parts, 1 if slot == current else _LOCK_WAIT_MS))
            if await _is_empty(conn, names):
                emptied.append(slot)
    return emptied


def _empty(names: Sequence[sql.Identifier], parts: int, wait_ms: int) -> sql.Composed:
    """Return one statement that locks a slot, checks it, and empties it.

    One statement, so that a cleaner that freezes or loses its network between two of them never leaves writers
    waiting for its lock. Inside, every query takes its own snapshot: those after LOCK see all that was committed.
    """
    body = sql.SQL(
        "DECLARE keep bigint; positions bigint; BEGIN"
        " PERFORM set_config('lock_timeout', {wait}, true);"
        " LOCK TABLE {slots} IN ACCESS EXCLUSIVE MODE;"
        " SELECT * INTO keep, positions FROM ({kept}) AS k;"
        " IF keep IS NOT NULL AND positions > {parts} AND NOT EXISTS ({needed}) THEN TRUNCATE {slots}; END IF;"
        " END"
    ).format(
        wait=sql.Literal(str(wait_ms)),
        slots=sql.SQL(", ").join(names),
        kept=KEPT,
        parts=sql.Literal(parts),  # a partition without a position needs everything
        needed=sql.SQL(" UNION ALL ").join(
            sql.SQL("(SELECT FROM {} WHERE xid >= keep LIMIT 1)").format(n) for n in names
        ),
    )
    return sql.SQL("DO $migrator_ring${}$migrator_ring$").format(body)


async def _is_empty(conn: Connection, names: Sequence[sql.Identifier]) -> bool:
    sizes = sql.SQL(" + ").join(
        sql.SQL("pg_relation_size({}::regclass)").format(sql.Literal(n.as_string(conn))) for n in names
    )
    row = await (await conn.execute(sql.SQL("SELECT {}").format(sizes))).fetchone()
    return not row or row[0] == 0


async def turn(conn: Connection, table_ids: Sequence[int], slots: int) -> int | None:
    """Let writers go on in the next slot, if it is empty; returns it, or None."""
    row = await (await conn.execute("SELECT last_value FROM migrator.ring")).fetchone()
    if row is None:
        return None
    following = (int(row[0]) + 1) % slots
    names = [sql.Identifier("migrator", journal_slot(n, following)) for n in table_ids]
    if not await _is_empty(conn, names):
        return None
    await conn.execute("SELECT migrator_set FROM setval('migrator.ring', %s) AS migrator_set", (following,))
    return following


_RANGE_PAGES = 16
"""pages_per_range of the journals' indexes."""


async def summarise(conn: Connection, table_ids: Sequence[int], slots: int, done: dict[str, int]) -> None:
    """Let the BRIN indexes know the ranges filled since the last call, so that reads skip them.

    *done* remembers the pages looked at, per slot.

    Full ranges only: an entry added to a summarised one costs its writer an update of the index.
    """
    for name in [journal_slot(n, s) for n in table_ids for s in range(slots)]:
        row = await (
            await conn.execute(
                "SELECT pg_relation_size(i.indrelid) / current_setting('block_size')::int, i.indexrelid::oid::int8"
                " FROM pg_index i WHERE i.indrelid = to_regclass(%s)",
                (f"migrator.{name}",),
            )
        ).fetchone()
        if row is None or row[0] is None:  # a table that was dropped meanwhile has none
            continue
        full = int(row[0]) // _RANGE_PAGES * _RANGE_PAGES
        start = done.get(name, 0) if done.get(name, 0) <= full else 0  # emptied meanwhile
        if start < full:
            await conn.execute(
                "SELECT count(brin_summarize_range(%s::bigint::oid::regclass, page))"
                " FROM generate_series(%s::bigint, %s, %s) AS page",
                (row[1], start, full - 1, _RANGE_PAGES),
            )
        done[name] = full

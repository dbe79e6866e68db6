"""How are both sides held at one moment?

The mirror stands still at the end of a cycle, when Limitless equals classic at its snapshot, and lends us that
snapshot. We take it over on classic, take a snapshot on Limitless, and let the mirror go on: from then on both
are ours. That the Limitless snapshot is the right one is read from Limitless itself, so a late validator finds
out instead of comparing two different moments.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from migrator.db.connect import connect_async
from migrator.errors import ClusterUnavailable

Connection = psycopg.AsyncConnection[Any]


@dataclass(slots=True)
class Fence:
    """Both sides of one mirror partition, frozen at the same state.

    Attributes:
        snapshot: the pg_snapshot on classic.
        at: classic's clock when it was taken over; later changes are not in it.
        members: tenants that followed classic at that moment ('' in partition 0 for the reference tables).
    """

    part: int
    snapshot: str
    at: datetime
    classic: Connection
    limitless: Connection
    members: frozenset[str]
    pause_ms: float = 0.0


@contextlib.asynccontextmanager
async def hold(classic_dsn: str, limitless_dsn: str, part: int, patience_s: float = 30.0) -> AsyncIterator[Fence]:
    """Yield a fence of *part*.

    Raises:
        ClusterUnavailable: the mirror gave none within *patience_s* seconds.
    """
    deadline = time.monotonic() + patience_s
    async with (
        await connect_async(classic_dsn, f"migrator validate {part} control") as control,
        await connect_async(classic_dsn, f"migrator validate {part}") as classic,
        await connect_async(limitless_dsn, f"migrator validate {part}") as limitless,
    ):
        while True:
            fence_id = uuid.uuid4()
            fence = await _try(control, classic, limitless, part, fence_id, deadline)
            if fence is not None:
                break
        try:
            yield fence
        finally:
            row = await (
                await control.execute("SELECT pause_ms FROM migrator.fence WHERE fence_id = %s", (fence_id,))
            ).fetchone()
            fence.pause_ms = float(row[0]) if row and row[0] is not None else 0.0
            await control.execute("DELETE FROM migrator.fence WHERE fence_id = %s", (fence_id,))


async def _try(
    control: Connection, classic: Connection, limitless: Connection, part: int, fence_id: uuid.UUID, deadline: float
) -> Fence | None:
    """Ask once; None when the fence was gone before both snapshots were taken."""
    await control.execute("INSERT INTO migrator.fence (fence_id, part) VALUES (%s, %s)", (fence_id, part))
    exported, snapshot = await _opened(control, part, fence_id, deadline)
    await classic.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    await limitless.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        await classic.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(exported)))
        held = await (await classic.execute("SELECT pg_current_snapshot()::text, now()")).fetchone()
        # The first statement after BEGIN takes the snapshot, and proves that it is the fence's.
        row = await (
            await limitless.execute("SELECT snapshot FROM migrator.mirror_position WHERE part = %s", (part,))
        ).fetchone()
    except (psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject, psycopg.errors.UndefinedFile):
        held = row = None  # the mirror went on: its exported snapshot is gone
    if held is None or row is None or row[0] != snapshot:
        await classic.execute("ROLLBACK")
        await limitless.execute("ROLLBACK")
        await control.execute("DELETE FROM migrator.fence WHERE fence_id = %s", (fence_id,))
        return None
    await control.execute(
        "UPDATE migrator.fence SET state = 'acked' WHERE fence_id = %s AND state = 'open'", (fence_id,)
    )
    rows = await (
        await limitless.execute("SELECT tenant_id FROM migrator.mirrored WHERE part = %s", (part,))
    ).fetchall()
    return Fence(part, snapshot, held[1], classic, limitless, frozenset(str(t) for (t,) in rows))


async def _opened(control: Connection, part: int, fence_id: uuid.UUID, deadline: float) -> tuple[str, str]:
    while True:
        row = await (
            await control.execute(
                "SELECT state, exported, snapshot FROM migrator.fence WHERE fence_id = %s", (fence_id,)
            )
        ).fetchone()
        if row is not None and row[0] == "open":
            return str(row[1]), str(row[2])
        if row is None or row[0] == "expired":
            await control.execute("DELETE FROM migrator.fence WHERE fence_id = %s", (fence_id,))
            await control.execute("INSERT INTO migrator.fence (fence_id, part) VALUES (%s, %s)", (fence_id, part))
        if time.monotonic() > deadline:
            await control.execute("DELETE FROM migrator.fence WHERE fence_id = %s", (fence_id,))
            raise ClusterUnavailable(
                f"mirror partition {part}",
                "it gave no fence in time",
                "See why it stands still: migrator mirror status.",
            )
        await asyncio.sleep(0.005)

"""How does a validator get two snapshots that are equal by construction?

At the end of a cycle Limitless equals classic at the cycle's snapshot. The mirror exports that snapshot, tells
everybody who asked, and stands still until they hold both sides: for a bounded time, and only for validators whose
session lives. One that dies or dawdles loses its fence, and the mirror goes on.

A fence is worth something only while it is open: whoever reports both snapshots after that is told to ask again,
because a batch too large for one transaction changes Limitless before the position moves.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg
from psycopg import sql

from migrator.mirror.position import Stand

Connection = psycopg.AsyncConnection[Any]
_POLL_S = 0.002

# backend_start tells a session from a later one with the same process id; NULL where we may not see it.
_ALIVE = sql.SQL(
    "EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = f.pid AND coalesce(a.backend_start <= f.requested_at, true))"
)
_OPEN = sql.SQL(
    "UPDATE migrator.fence f SET state = 'open', exported = %s, snapshot = %s, epoch = %s"
    " WHERE part = %s AND state = 'requested' AND {} RETURNING fence_id"
).format(_ALIVE)
_WAITED_FOR = sql.SQL(
    "SELECT count(*) FROM migrator.fence f WHERE fence_id = ANY (%s) AND state = 'open' AND {}"
).format(_ALIVE)
_BURY = sql.SQL("DELETE FROM migrator.fence f WHERE part = %s AND NOT {}").format(_ALIVE)


async def expire(control: Connection, part: int) -> None:
    """Take back fences that an earlier mirror, or an earlier connection of this one, left open.

    To be called before anything is written to Limitless: whoever has not taken both snapshots by now must not.
    """
    await control.execute("UPDATE migrator.fence SET state = 'expired' WHERE part = %s AND state = 'open'", (part,))


async def serve(control: Connection, reader: Connection, stand: Stand, wait_s: float) -> float:
    """Serve every fence requested for the partition; returns how long the mirror stood still, in seconds.

    *reader* is the classic transaction that holds *stand*'s snapshot; *control* commits on its own.
    """
    began = time.monotonic()
    row = await (await reader.execute("SELECT pg_export_snapshot()")).fetchone()
    opened = await (
        await control.execute(_OPEN, (row[0] if row else None, str(stand.snapshot), stand.epoch, stand.part))
    ).fetchall()
    ids = [fence_id for (fence_id,) in opened]
    deadline = began + wait_s
    waiting = bool(ids)
    while waiting and time.monotonic() < deadline:
        row = await (await control.execute(_WAITED_FOR, (ids,))).fetchone()
        waiting = bool(row and row[0])
        if waiting:
            await asyncio.sleep(_POLL_S)
    paused = time.monotonic() - began
    await control.execute(
        "UPDATE migrator.fence SET pause_ms = %s, state = CASE state WHEN 'acked' THEN 'closed' ELSE 'expired' END"
        " WHERE fence_id = ANY (%s)",
        (paused * 1000, ids),
    )
    await control.execute(_BURY, (stand.part,))
    return paused

"""How does a validator get two snapshots that are equal by construction?

At the end of a cycle Limitless equals classic at the cycle's snapshot. The mirror exports that snapshot, tells
everybody who asked, and stands still until they hold both sides, for a bounded time: a validator that dies or
dawdles loses its fence, and the mirror goes on.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg

from migrator.model.position import Snapshot

Connection = psycopg.AsyncConnection[Any]
_POLL_S = 0.003


async def serve(control: Connection, reader: Connection, part: int, snapshot: Snapshot, wait_s: float) -> float:
    """Serve every fence requested for *part*; returns how long the mirror stood still, in seconds.

    *reader* is the classic transaction that holds *snapshot*; *control* commits on its own.
    """
    began = time.monotonic()
    row = await (await reader.execute("SELECT pg_export_snapshot()")).fetchone()
    name = row[0] if row else None
    opened = await (
        await control.execute(
            "UPDATE migrator.fence SET state = 'open', exported = %s, snapshot = %s"
            " WHERE part = %s AND state = 'requested' RETURNING fence_id",
            (name, str(snapshot), part),
        )
    ).fetchall()
    ids = [fence_id for (fence_id,) in opened]
    deadline = began + wait_s
    waiting = bool(ids)
    while waiting and time.monotonic() < deadline:
        row = await (
            await control.execute(
                "SELECT count(*) FROM migrator.fence WHERE fence_id = ANY (%s) AND state = 'open'", (ids,)
            )
        ).fetchone()
        waiting = bool(row and row[0])
        if waiting:
            await asyncio.sleep(_POLL_S)
    paused = time.monotonic() - began
    await control.execute(
        "UPDATE migrator.fence SET pause_ms = %s, state = CASE state WHEN 'acked' THEN 'closed' ELSE 'expired' END"
        " WHERE fence_id = ANY (%s)",
        (paused * 1000, ids),
    )
    return paused

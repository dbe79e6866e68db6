"""How does a validator get two snapshots that are equal by construction?

At the end of a cycle Limitless equals classic at the cycle's snapshot. The mirror exports that snapshot, tells
everybody who asked, and stands still until they hold both sides: for a bounded time, and only for validators whose
session lives. One that dies or dawdles loses its fence, and the mirror goes on.

A fence is worth something only while it is open: whoever reports both snapshots after that is told to ask again,
because a batch too large for one transaction changes Limitless before the position moves.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg
from psycopg import sql

from migrator.mirror.position import Stand

Connection = psycopg.AsyncConnection[Any]
_LOOK_S = 0.02
"""Whoever is done wakes the mirror; this often it looks by itself, for those who died and for poolers that swallow
notifications."""
_OPENED, _DONE = "migrator_fence_{}", "migrator_fence_{}_done"
"""Channels of a partition: we tell who waits for a fence, and are told who has both snapshots."""

# backend_start tells a session from a later one with the same process id; NULL where we may not see it.
_ALIVE = sql.SQL(
    "EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = f.pid AND coalesce(a.backend_start <= f.requested_at, true))"
)
# Everything a validator must hurry for is in the notification; it reads the rest when it reports.
_OPEN = sql.SQL(
    "WITH opened AS (UPDATE migrator.fence f SET state = 'open', exported = %(exported)s, snapshot = %(snapshot)s,"
    " epoch = %(epoch)s WHERE part = %(part)s AND state = 'requested' AND {} RETURNING fence_id)"
    " SELECT fence_id, pg_notify(%(channel)s, fence_id || ' ' || %(exported)s::text) FROM opened"
).format(_ALIVE)
_WAITED_FOR = sql.SQL(
    "SELECT count(*) FROM migrator.fence f WHERE fence_id = ANY (%s) AND state = 'open' AND {}"
).format(_ALIVE)
_BURY = sql.SQL("DELETE FROM migrator.fence f WHERE part = %s AND NOT {}").format(_ALIVE)


async def expire(control: Connection, part: int) -> None:
    """Take back fences that an earlier mirror, or an earlier connection of this one, left open, and listen to ours.

    To be called before anything is written to Limitless: whoever has not taken both snapshots by now must not.
    """
    await control.execute("UPDATE migrator.fence SET state = 'expired' WHERE part = %s AND state = 'open'", (part,))
    await control.execute(sql.SQL("LISTEN {}").format(sql.Identifier(_DONE.format(part))))


async def serve(control: Connection, exported: str, stand: Stand, wait_s: float) -> float:
    """Serve every fence requested for the partition; returns how long the mirror stood still, in seconds.

    *exported* names *stand*'s snapshot, held by a transaction that is still open; *control* commits on its own.
    """
    began = time.monotonic()
    values = {
        "exported": exported,
        "snapshot": str(stand.snapshot),
        "epoch": stand.epoch,
        "part": stand.part,
        "channel": _OPENED.format(stand.part),
    }
    ids = [fence_id for fence_id, _ in await (await control.execute(_OPEN, values)).fetchall()]
    deadline = began + wait_s
    waiting = bool(ids)
    while waiting and time.monotonic() < deadline:
        async for _ in control.notifies(timeout=min(_LOOK_S, deadline - time.monotonic()), stop_after=1):
            pass
        row = await (await control.execute(_WAITED_FOR, (ids,))).fetchone()
        waiting = bool(row and row[0])
    paused = time.monotonic() - began
    await control.execute(
        "UPDATE migrator.fence SET pause_ms = %s, state = CASE state WHEN 'acked' THEN 'closed' ELSE 'expired' END"
        " WHERE fence_id = ANY (%s)",
        (paused * 1000, ids),
    )
    await control.execute(_BURY, (stand.part,))
    return paused

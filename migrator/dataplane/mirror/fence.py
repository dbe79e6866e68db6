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

from migrator.control import fence as fences
from migrator.dataplane.mirror.position import PartitionCheckpoint

Connection = psycopg.AsyncConnection[Any]
_LOOK_S = 0.02
"""Whoever is done wakes the mirror; this often it looks by itself, for those who died and for poolers that swallow
notifications."""
_OPENED, _DONE = "migrator_fence_{}", "migrator_fence_{}_done"
"""Channels of a partition: we tell who waits for a fence, and are told who has both snapshots."""


async def expire(control: Connection, part: int) -> None:
    """Take back fences that an earlier mirror, or an earlier connection of this one, left open, and listen to ours.

    To be called before anything is written to Limitless: whoever has not taken both snapshots by now must not.
    """
    await fences.expire(control, part)
    await control.execute(sql.SQL("LISTEN {}").format(sql.Identifier(_DONE.format(part))))


async def serve(control: Connection, exported: str, stand: PartitionCheckpoint, wait_s: float) -> float:
    """Serve every fence requested for the partition; returns how long the mirror stood still, in seconds.

    *exported* names *stand*'s snapshot, held by a transaction that is still open; *control* commits on its own.
    """
    began = time.monotonic()
    channel = _OPENED.format(stand.part)
    ids = await fences.open_requested(control, stand.part, stand.epoch, str(stand.snapshot), exported, channel)
    deadline = began + wait_s
    waiting = bool(ids)
    while waiting and time.monotonic() < deadline:
        async for _ in control.notifies(timeout=min(_LOOK_S, deadline - time.monotonic()), stop_after=1):
            pass
        waiting = await fences.is_waited_for(control, ids)
    paused = time.monotonic() - began
    await fences.close(control, ids, paused * 1000)
    await fences.bury(control, stand.part)
    return paused

"""Serves fences: gives validators two snapshots that are equal by construction.

At the end of a cycle Limitless equals classic at the cycle's snapshot. The mirror exports that snapshot, notifies the
validators that asked, and pauses until they have both snapshots: for a bounded time, and only for validators whose
session lives. One whose session ends, or that is too slow, loses its fence, and the mirror goes on.

A fence counts only while it is open: a validator that reports both snapshots later has to ask again, because a batch
too large for one transaction changes Limitless before the checkpoint moves.
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
"""Validators notify the mirror when they have both snapshots; this often it polls as well, in case a session ended
or a pooler dropped the notification."""
_OPENED, _DONE = "migrator_fence_{}", "migrator_fence_{}_done"
"""Channels of a partition: the mirror notifies validators that wait for a fence, and they notify it in turn."""


async def expire(control: Connection, part: int) -> None:
    """Take back fences that an earlier mirror, or an earlier connection of this one, left open, and listen for
    acknowledgements.

    To be called before anything is written to Limitless: a validator without both snapshots by then must ask again.
    """
    await fences.expire(control, part)
    await control.execute(sql.SQL("LISTEN {}").format(sql.Identifier(_DONE.format(part))))


async def serve(control: Connection, exported: str, stand: PartitionCheckpoint, wait_s: float) -> float:
    """Serve every fence requested for the partition; returns how long the mirror paused, in seconds.

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
    await fences.remove_ended(control, stand.part)
    return paused

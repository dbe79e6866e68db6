"""Opens a fence for a validator: one snapshot of each side at which both are equal.

The mirror pauses at the end of a cycle, when Limitless equals classic at its snapshot, and exports that snapshot. The
validator imports it on classic, takes a snapshot on Limitless, and acknowledges while the fence is still open: from
then on it may read both for as long as it needs. A late validator finds the fence closed, or another position or
lease term on Limitless, and asks again, instead of comparing two different moments.
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

from migrator.control import fence as fences
from migrator.control.partition import checkpoint_async, members
from migrator.db.connect import connect_async
from migrator.errors import ClusterUnavailable

Connection = psycopg.AsyncConnection[Any]

_LOOK_S = 0.02
"""The mirror notifies us when it opens a fence; this often we poll as well, in case a pooler dropped the
notification."""
_POLL_S = 0.002
_OPENED, _DONE = "migrator_fence_{}", "migrator_fence_{}_done"
"""Channels of a partition: the mirror says that a fence is open, and we that both snapshots are taken."""
_REPORT_S = 0.5
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

# The mirror went on, or its session ended, and with it the exported snapshot.
_GONE = (psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject, psycopg.errors.UndefinedFile)


@dataclass(slots=True)
class Fence:
    """Both sides of one mirror partition, frozen at the same state.

    Attributes:
        snapshot: the pg_snapshot on classic.
        at: a moment of classic's clock before the snapshot was taken: what was committed by then is in it.
        members: tenants that followed classic at that moment; in partition 0 one name, if the reference tables did.
        pause_ms: how long the mirror paused; known when the fence is left, 0 when the mirror did not report it.
    """

    part: int
    snapshot: str
    at: datetime
    classic: Connection
    limitless: Connection
    members: frozenset[str]
    pause_ms: float = 0.0


@contextlib.asynccontextmanager
async def hold(classic_dsn: str, limitless_dsn: str, part: int, timeout_s: float = 30.0) -> AsyncIterator[Fence]:
    """Yield a fence of *part*.

    Raises:
        ClusterUnavailable: the mirror gave none within *timeout_s* seconds.
    """
    deadline = time.monotonic() + timeout_s
    app = f"migrator validate {part}"
    async with (
        await connect_async(classic_dsn, f"{app} control", side="classic") as control,
        await connect_async(classic_dsn, app, side="classic") as classic,
        await connect_async(limitless_dsn, app, side="Limitless") as limitless,
    ):
        fence: Fence | None = None
        fence_id = uuid.uuid4()
        try:
            await control.execute(sql.SQL("LISTEN {}").format(sql.Identifier(_OPENED.format(part))))
            while fence is None:
                fence = await _try(control, classic, limitless, part, fence_id, deadline)
            yield fence
        finally:
            # After a lost session there is nothing to clean up: the mirror removes fences of sessions that ended.
            with contextlib.suppress(psycopg.OperationalError):
                if fence is not None:
                    fence.pause_ms = await _pause_ms(control, fence_id)
                await fences.remove(control, fence_id)


async def _pause_ms(control: Connection, fence_id: uuid.UUID) -> float:
    """Return how long the mirror paused. It reports that when it goes on, so this may have to wait a moment."""
    deadline = time.monotonic() + _REPORT_S
    while True:
        paused = await fences.pause_ms(control, fence_id)
        if paused is not None or time.monotonic() > deadline:
            return paused or 0.0
        await asyncio.sleep(_POLL_S)


async def _try(
    control: Connection, classic: Connection, limitless: Connection, part: int, fence_id: uuid.UUID, deadline: float
) -> Fence | None:
    """Ask once; None when the fence was closed before both snapshots were taken."""
    if time.monotonic() > deadline:
        raise _none_given(part)
    # Before the mirror pauses: a transaction has no snapshot until its first statement.
    await asyncio.gather(classic.execute(_BEGIN), limitless.execute(_BEGIN))
    async for _ in control.notifies(timeout=0):
        pass  # told of an earlier try, which is over
    at = await fences.request(control, fence_id, part)
    exported = await _opened(control, part, fence_id, deadline)
    held: object = None
    seen: object = None
    if exported is not None:
        held, seen = await asyncio.gather(
            take_classic(classic, exported), take_limitless(limitless, part), return_exceptions=True
        )
    for failure in (held, seen):
        if isinstance(failure, BaseException) and not isinstance(failure, _GONE):
            raise failure
    # Reported even where they do not fit, so that the mirror goes on.
    stand: tuple[str, int] | None = None
    if exported is not None:
        stand = await fences.acknowledge(control, fence_id, exported, _DONE.format(part))
    if held is not True or stand is None or seen != stand:
        await asyncio.gather(classic.execute("ROLLBACK"), limitless.execute("ROLLBACK"))
        return None
    snapshot, _ = stand
    return Fence(part, snapshot, at, classic, limitless, frozenset(await members(limitless, part)))


async def take_classic(classic: Connection, exported: str) -> bool:
    """Let the transaction that has just begun see what the mirror saw."""
    await classic.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(exported)))
    return True


async def take_limitless(limitless: Connection, part: int) -> tuple[str, int] | None:
    """Take the snapshot of the transaction that has just begun on Limitless; returns which mirror's state it sees."""
    seen = await checkpoint_async(limitless, part)
    return (seen.snapshot, seen.epoch) if seen is not None else None


async def _opened(control: Connection, part: int, fence_id: uuid.UUID, deadline: float) -> str | None:
    """Wait until the mirror opens the fence; returns the name of its snapshot on classic.

    None when the fence was lost: its mirror's session ended, or a restart emptied the table.
    """
    ours: list[str] = []
    while True:
        async for told in control.notifies(timeout=_LOOK_S, stop_after=1):
            whose, _, exported = told.payload.partition(" ")
            ours += [exported] if whose == str(fence_id) else []
        if ours:
            return ours[-1]
        state = await fences.state(control, fence_id)
        if state is None or state[0] == "expired":
            return None
        if state[0] == "open":
            return state[1]
        if time.monotonic() > deadline:
            raise _none_given(part)


def _none_given(part: int) -> ClusterUnavailable:
    return ClusterUnavailable(
        f"mirror partition {part}", "it gave no fence in time", "See what stalls it: migrator mirror status."
    )

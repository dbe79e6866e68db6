"""Stores fences: a validator asks a mirror partition to pause for a moment.

The mirror opens a fence at the end of a cycle and names its snapshot; the validator acknowledges when it holds both
sides; the mirror closes it. The statements of both are here; what each concludes from them is its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from migrator.db.named import load

AsyncConnection = psycopg.AsyncConnection[Any]

_SQL = load("migrator.control", "fence.sql")

# backend_start tells a session from a later one with the same process id; NULL where we may not see it.
_ALIVE = sql.SQL(
    "EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = f.pid AND coalesce(a.backend_start <= f.requested_at, true))"
)
# What a validator needs at once is in the notification; it reads the rest when it reports.
_OPEN = sql.SQL(
    "WITH opened AS (UPDATE migrator.fence f SET state = 'open', exported = %(exported)s, snapshot = %(snapshot)s,"
    " epoch = %(epoch)s WHERE part = %(part)s AND state = 'requested' AND {} RETURNING fence_id)"
    " SELECT fence_id, pg_notify(%(channel)s, fence_id || ' ' || %(exported)s::text) FROM opened"
).format(_ALIVE)
_WAITED_FOR = sql.SQL(
    "SELECT count(*) FROM migrator.fence f WHERE fence_id = ANY (%(fences)s) AND state = 'open' AND {}"
).format(_ALIVE)
_BURY = sql.SQL("DELETE FROM migrator.fence f WHERE part = %(part)s AND NOT {}").format(_ALIVE)


async def expire(classic: AsyncConnection, part: int) -> None:
    """Take back the partition's open fences."""
    await classic.execute(_SQL["expire"], {"part": part})


async def open_requested(
    classic: AsyncConnection, part: int, epoch: int, snapshot: str, exported: str, channel: str
) -> list[uuid.UUID]:
    """Open every fence requested by a living session; return them. Each is told on *channel*: its id, *exported*.

    Args:
        snapshot: the pg_snapshot that both sides are equal at, as text.
        exported: its name for SET TRANSACTION SNAPSHOT.
    """
    values = {"part": part, "epoch": epoch, "snapshot": snapshot, "exported": exported, "channel": channel}
    return [fence for fence, _ in await (await classic.execute(_OPEN, values)).fetchall()]


async def is_waited_for(classic: AsyncConnection, fences: Sequence[uuid.UUID]) -> bool:
    """Return whether one of *fences* is open still, and its validator's session lives."""
    row = await (await classic.execute(_WAITED_FOR, {"fences": list(fences)})).fetchone()
    return bool(row and row[0])


async def close(classic: AsyncConnection, fences: Sequence[uuid.UUID], pause_ms: float) -> None:
    """Close *fences*, those without an acknowledgement as expired, and store how long the mirror paused."""
    await classic.execute(_SQL["close"], {"fences": list(fences), "pause_ms": pause_ms})


async def remove_ended(classic: AsyncConnection, part: int) -> None:
    """Remove the partition's fences whose validator's session has ended."""
    await classic.execute(_BURY, {"part": part})


async def request(classic: AsyncConnection, fence: uuid.UUID, part: int) -> datetime:
    """Ask for a fence, or for the same one again; return when, by classic's clock."""
    row = await (await classic.execute(_SQL["request"], {"fence": fence, "part": part})).fetchone()
    assert row is not None  # it returns the row that it has just written
    at: datetime = row[0]
    return at


async def acknowledge(
    classic: AsyncConnection, fence: uuid.UUID, exported: str, channel: str
) -> tuple[str, int] | None:
    """Say, also on *channel*, that both sides are held; return the fence's (pg_snapshot, epoch of its mirror).

    None when it is not open at *exported* any more.
    """
    values = {"fence": fence, "exported": exported, "channel": channel}
    row = await (await classic.execute(_SQL["acknowledge"], values)).fetchone()
    return (str(row[0]), int(row[1])) if row else None


async def state(classic: AsyncConnection, fence: uuid.UUID) -> tuple[str, str] | None:
    """Return the fence's state and the name of its snapshot ('' before it was opened); None when it was removed."""
    row = await (await classic.execute(_SQL["state"], {"fence": fence})).fetchone()
    return (str(row[0]), str(row[1] or "")) if row else None


async def pause_ms(classic: AsyncConnection, fence: uuid.UUID) -> float | None:
    """Return how long the mirror paused; None before it has reported it, 0 when the fence was removed."""
    row = await (await classic.execute(_SQL["pause"], {"fence": fence})).fetchone()
    if row is None:
        return 0.0
    return None if row[0] is None else float(row[0])


async def remove(classic: AsyncConnection, fence: uuid.UUID) -> None:
    """Remove a fence that is not needed any more."""
    await classic.execute(_SQL["remove"], {"fence": fence})

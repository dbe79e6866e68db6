"""Who may move a mirror partition, and where does it stand?

The truth is one row per partition on Limitless, moved by compare-and-swap in the transaction that writes the
rows. Classic holds a copy for shims and status, and the token that proves its own history is the same.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from migrator.errors import InvariantBroken, LeaseLost
from migrator.model.position import Snapshot

Connection = psycopg.AsyncConnection[Any]

NEWEST = sql.SQL("NOT EXISTS (SELECT FROM migrator.heartbeat WHERE part = %s AND epoch > %s)")
"""Condition on classic (part, epoch): no later mirror has left its token, so far."""


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a partition stands on Limitless, and the epoch under which this mirror may move it.

    Attributes:
        life: of the dual write the position belongs to: one that was undone and begun again counts epochs anew.
    """

    part: int
    epoch: int
    snapshot: Snapshot
    token: str
    life: str = ""


async def initialise(classic: Connection, limitless: Connection, parts: int) -> None:
    """Give every partition its first position: a snapshot taken after capture was on. Safe to run twice.

    Every write that such a snapshot does not see has been journalled, because installing the triggers waited
    for the writers of each table.
    """
    for part in range(parts + 1):
        await classic.execute(
            "INSERT INTO migrator.heartbeat (part, token) VALUES (%s, %s) ON CONFLICT (part) DO NOTHING",
            (part, uuid.uuid4()),
        )
        row = await (
            await classic.execute(
                "SELECT token::text, pg_current_snapshot()::text FROM migrator.heartbeat WHERE part = %s", (part,)
            )
        ).fetchone()
        if row is None:
            raise InvariantBroken(f"partition {part} has no heartbeat right after it was written")
        token, snapshot = row
        await limitless.execute(
            "INSERT INTO migrator.mirror_position (part, epoch, snapshot, token, life) VALUES (%s, 0, %s, %s, %s)"
            " ON CONFLICT (part) DO NOTHING",
            (part, snapshot, token, str(uuid.uuid4())),
        )
        await classic.execute(
            "INSERT INTO migrator.position (part, epoch, snapshot, fresh_at, state)"
            " VALUES (%s, 0, %s, clock_timestamp(), 'starting') ON CONFLICT (part) DO NOTHING",
            (part, snapshot),
        )


async def claim(limitless: Connection, part: int) -> Stand:
    """Take the partition over: whoever held it before fails at its next compare-and-swap.

    Raises:
        LeaseLost: the partition was closed for good (decommission).
    """
    async with limitless.transaction():  # our own row lock keeps what is read; RETURNING may not be there
        taken = await limitless.execute(
            "UPDATE migrator.mirror_position SET epoch = epoch + 1 WHERE part = %s AND state = 'open'", (part,)
        )
        row = await (
            await limitless.execute(
                "SELECT epoch, snapshot, token, life FROM migrator.mirror_position WHERE part = %s", (part,)
            )
        ).fetchone()
    if taken.rowcount != 1 or row is None:
        raise LeaseLost(f"mirror partition {part} is closed or was never initialised")
    return Stand(part, int(row[0]), Snapshot.parse(row[1]), str(row[2]), str(row[3]))


async def reread(limitless: Connection, stand: Stand) -> Stand:
    """Return where the partition stands now, after a connection was lost: the last commit may have happened.

    Raises:
        LeaseLost: another mirror took it over.
    """
    async with limitless.transaction():
        # An UPDATE waits for our own commit, should it still be under way on the server: read without waiting, it would
        # happen behind our back and the next token would overwrite the one it needs. FOR UPDATE may not be there.
        await limitless.execute("UPDATE migrator.mirror_position SET epoch = epoch WHERE part = %s", (stand.part,))
        row = await (
            await limitless.execute(
                "SELECT epoch, snapshot, token, state, life FROM migrator.mirror_position WHERE part = %s",
                (stand.part,),
            )
        ).fetchone()
    if row is None or (int(row[0]), row[3], row[4]) != (stand.epoch, "open", stand.life):
        raise LeaseLost(f"another mirror took partition {stand.part} over")
    return replace(stand, snapshot=Snapshot.parse(row[1]), token=str(row[2]))


async def move(limitless: Connection, stand: Stand, to: Snapshot, token: str) -> bool:
    """Compare-and-swap the position in the caller's transaction; False when it is not where *stand* says."""
    cursor = await limitless.execute(
        "UPDATE migrator.mirror_position SET snapshot = %s, token = %s"
        " WHERE part = %s AND epoch = %s AND snapshot = %s AND token = %s AND state = 'open'",
        (str(to), token, stand.part, stand.epoch, str(stand.snapshot), stand.token),
    )
    return cursor.rowcount == 1


async def hold(limitless: Connection, stand: Stand) -> bool:
    """Lock the position without moving it, in the caller's transaction; False when another mirror has it."""
    return await move(limitless, stand, stand.snapshot, stand.token)

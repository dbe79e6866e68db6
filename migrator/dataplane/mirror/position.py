"""Claims, reads and moves the checkpoint of a mirror partition.

The checkpoint is one row per partition on Limitless, moved by compare-and-swap in the transaction that writes the
rows. Classic holds a copy for shims and status, and the mirror token that proves that classic has the same history.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from migrator.control import partition as partitions
from migrator.errors import InvariantBroken, LeaseLost
from migrator.model.position import Snapshot

Connection = psycopg.AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class PartitionCheckpoint:
    """A partition's checkpoint, and the lease term under which this mirror may move it.

    Attributes:
        life: of the dual write the position belongs to: one that was undone and begun again counts lease terms from the
            start.
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
        started = await partitions.start(classic, part, uuid.uuid4())
        if started is None:
            raise InvariantBroken(f"mirror partition {part} has no mirror token right after one was written")
        token, snapshot = started
        await partitions.first_mirror_position(limitless, part, snapshot, token, str(uuid.uuid4()))
        await partitions.first_position(classic, part, snapshot)


async def claim(limitless: Connection, part: int) -> PartitionCheckpoint:
    """Take the partition over: the mirror that held it before fails at its next compare-and-swap.

    Raises:
        LeaseLost: the partition was closed for good (decommission).
    """
    async with limitless.transaction():  # our own row lock keeps what is read; RETURNING may not be there
        taken = await partitions.claim(limitless, part)
        mine = await partitions.checkpoint_async(limitless, part)
    if not taken or mine is None:
        raise LeaseLost(f"mirror partition {part} is closed or was never initialised")
    return PartitionCheckpoint(part, mine.epoch, Snapshot.parse(mine.snapshot), mine.token, mine.life)


async def reread(limitless: Connection, stand: PartitionCheckpoint) -> PartitionCheckpoint:
    """Return the partition's checkpoint, after a connection was lost: the last commit may have happened.

    Raises:
        LeaseLost: another mirror took it over.
    """
    async with limitless.transaction():
        # An UPDATE waits for our own commit, if the server is still processing it: read without waiting, it would
        # happen unseen, and the next token would overwrite the one it needs. FOR UPDATE may not be there.
        await partitions.await_commit(limitless, stand.part)
        now = await partitions.checkpoint_async(limitless, stand.part)
    if now is None or (now.epoch, now.state, now.life) != (stand.epoch, "open", stand.life):
        raise LeaseLost(f"another mirror took partition {stand.part} over")
    return replace(stand, snapshot=Snapshot.parse(now.snapshot), token=now.token)


async def move(
    limitless: Connection, stand: PartitionCheckpoint, to: Snapshot, token: str, age_s: float | None = None
) -> bool:
    """Compare-and-swap the checkpoint in the caller's transaction; False when it is not at *stand*.

    Args:
        age_s: since *to* was taken on classic; None: it is the snapshot of *stand*.
    """
    at = str(stand.snapshot), stand.token
    return await partitions.move(limitless, stand.part, stand.epoch, at=at, to=(str(to), token), age_s=age_s)


async def lock_checkpoint(limitless: Connection, stand: PartitionCheckpoint) -> bool:
    """Lock the checkpoint without moving it, in the caller's transaction; False when another mirror has it."""
    return await move(limitless, stand, stand.snapshot, stand.token)

"""Stores mirror partitions: checkpoints, positions, mirror tokens and members.

Checkpoints and members are on Limitless (`migrator.mirror_position`, `migrator.mirrored`); classic has the mirror token
that proves its history (`migrator.heartbeat`) and the position as shims and status read it (`migrator.position`).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from migrator.control.tables import VERSIONS
from migrator.control.watch import LOST, MARK
from migrator.db.named import load
from migrator.model.position import Snapshot

Connection = psycopg.Connection[Any]
AsyncConnection = psycopg.AsyncConnection[Any]

_SQL = load("migrator.control", "partition.sql")

NEWEST = sql.SQL("NOT EXISTS (SELECT FROM migrator.heartbeat WHERE part = %(part)s AND epoch > %(epoch)s)")
"""Condition on classic: no later mirror of the partition has committed its token so far."""


class Checkpoint(NamedTuple):
    """A partition's checkpoint on Limitless.

    `snapshot` is a pg_snapshot's text; `life` is of the dual write it belongs to; `state` is open or closed.
    """

    epoch: int
    snapshot: str
    token: str
    life: str
    state: str


class FirstLook(NamedTuple):
    """What a mirror's first query in a new snapshot of classic returns.

    Attributes:
        snapshot: the pg_snapshot it was taken in, as text.
        dirty: ids of the tables with entries to read.
        copied: copy units wait to be enrolled.
        exported: the snapshot's name, when a validator asked for a fence.
        tokens: that classic holds: of the last try and of what it began from; None without any.
        epoch: lease term of the mirror that committed them.
        leaving: tenants wait to leave.
        versions: see `tables.VERSIONS`.
        lost, mark: see `watch.LOST` and `watch.MARK`.
    """

    snapshot: str
    dirty: list[int]
    copied: bool
    exported: str | None
    tokens: list[str | None] | None
    epoch: int | None
    leaving: bool
    versions: int
    lost: list[str] | None
    mark: str


def first_look(part: int, dirty: sql.Composable) -> sql.Composed:
    """Return the query for a `FirstLook`; *dirty* is the expression for its ids of tables. It takes no parameters."""
    return sql.SQL(
        "SELECT pg_current_snapshot()::text, {dirty},"
        " EXISTS (SELECT FROM migrator.copy_unit WHERE part = {part} AND state = 'copied'),"
        " CASE WHEN EXISTS (SELECT FROM migrator.fence WHERE part = {part} AND state = 'requested')"
        " THEN pg_export_snapshot() END,"
        " (SELECT ARRAY[token::text, base_token::text] FROM migrator.heartbeat WHERE part = {part}),"
        " (SELECT epoch FROM migrator.heartbeat WHERE part = {part}),"
        " EXISTS (SELECT FROM migrator.tenant WHERE part = {part} AND recopy IS NOT NULL"
        " AND state IN ('mirrored', 'quarantined')), {versions}, {lost}, {mark}"
    ).format(dirty=dirty, part=sql.Literal(part), versions=VERSIONS, lost=LOST, mark=MARK)


async def start(classic: AsyncConnection, part: int, token: uuid.UUID) -> tuple[str, str] | None:
    """Give the partition its first token, unless it has one; return the one it has, and a pg_snapshot, as texts."""
    await classic.execute(_SQL["first_heartbeat"], {"part": part, "token": token})
    row = await (await classic.execute(_SQL["token_and_snapshot"], {"part": part})).fetchone()
    return (str(row[0]), str(row[1])) if row is not None else None


async def first_mirror_position(limitless: AsyncConnection, part: int, snapshot: str, token: str, life: str) -> None:
    """Give the partition its first position on Limitless, unless it has one."""
    await limitless.execute(
        _SQL["first_mirror_position"], {"part": part, "snapshot": snapshot, "token": token, "life": life}
    )


async def first_position(classic: AsyncConnection, part: int, snapshot: str) -> None:
    """Publish the partition's first position, unless it has one."""
    await classic.execute(_SQL["first_position"], {"part": part, "snapshot": snapshot})


async def claim(limitless: AsyncConnection, part: int) -> bool:
    """Count the partition's lease term up; False when it is closed or missing."""
    return (await limitless.execute(_SQL["claim"], {"part": part})).rowcount == 1


async def await_commit(limitless: AsyncConnection, part: int) -> None:
    """Wait until no other transaction has locked the checkpoint, and lock it until the caller's ends."""
    await limitless.execute(_SQL["await_commit"], {"part": part})


async def checkpoint_async(limitless: AsyncConnection, part: int) -> Checkpoint | None:
    """As `checkpoint`."""
    row = await (await limitless.execute(_SQL["checkpoint"], {"part": part})).fetchone()
    return Checkpoint(*row) if row is not None else None


def checkpoint(limitless: Connection, part: int) -> Checkpoint | None:
    """Return the partition's checkpoint; None before it has one."""
    row = limitless.execute(_SQL["checkpoint"], {"part": part}).fetchone()
    return Checkpoint(*row) if row is not None else None


async def move(
    limitless: AsyncConnection,
    part: int,
    epoch: int,
    *,
    at: tuple[str, str],
    to: tuple[str, str],
    age_s: float | None = None,
) -> bool:
    """Compare-and-swap the open checkpoint from *at* to *to*, each (pg_snapshot, token); False when it is elsewhere.

    Args:
        age_s: since the snapshot was taken on classic; None: it is the one that is there.
    """
    (snapshot, token), (next_snapshot, next_token) = at, to
    values = {"part": part, "epoch": epoch, "snapshot": snapshot, "token": token}
    cursor = await limitless.execute(_SQL["move"], {**values, "to": next_snapshot, "next": next_token, "age_s": age_s})
    return cursor.rowcount == 1


def open_positions(limitless: Connection) -> list[tuple[int, str]]:
    """Return (partition, pg_snapshot as text) of every open checkpoint."""
    return [(int(part), str(snapshot)) for part, snapshot in limitless.execute(_SQL["open_positions"])]


async def commit_token(
    classic: AsyncConnection,
    part: int,
    epoch: int,
    token: str,
    base: str,
    tenants: Sequence[str],
    *,
    reference: bool,
    nobodys: bool,
) -> bool:
    """Store *token* on classic and mark *tenants* as changed; False when another mirror has stored its own.

    Only by the newest mirror: a superseded one that has not noticed yet would overwrite the token of what its
    successor applied, and that looks like a classic that lost its tail. Lease terms begin again when dual write is
    undone, so the token *base*, of what this mirror applied, must still be there as well.

    Args:
        reference: rows of reference tables change.
        nobodys: orphan rows may change.
    """
    values = {"token": token, "base": base, "epoch": epoch, "part": part, "tenants": list(tenants)}
    row = await (
        await classic.execute(_SQL["commit_token"], {**values, "reference": reference, "nobodys": nobodys})
    ).fetchone()
    return bool(row and row[0])


async def publish(
    classic: AsyncConnection,
    part: int,
    epoch: int,
    snapshot: str,
    *,
    age_s: float,
    lag_s: float,
    rows: int,
    applied: int,
    rows_per_s: float,
) -> None:
    """Publish the partition's position for shims and status, unless a later mirror has. Classic's clock stamps it."""
    values = {"part": part, "epoch": epoch, "snapshot": snapshot, "age_s": age_s, "lag_s": lag_s}
    await classic.execute(_SQL["publish"], {**values, "rows": rows, "applied": applied, "rows_per_s": rows_per_s})


async def set_waiting(classic: AsyncConnection, part: int, problem: str) -> None:
    """Show in status why the partition's mirror is waiting or stalled."""
    await classic.execute(_SQL["set_waiting"], {"part": part, "problem": problem})


async def members(limitless: AsyncConnection, part: int) -> set[str]:
    """Return the mirrored tenants of the partition; in partition 0 one name, of reference tables."""
    rows = await (await limitless.execute(_SQL["members"], {"part": part})).fetchall()
    return {str(tenant) for (tenant,) in rows}


def all_members(limitless: Connection) -> list[tuple[int, str]]:
    """Return (partition, tenant) of every mirrored tenant."""
    return [(int(part), str(tenant)) for part, tenant in limitless.execute(_SQL["all_members"]).fetchall()]


async def add_members(limitless: AsyncConnection, part: int, tenants: Sequence[str]) -> None:
    """Make *tenants* members, in the transaction that moves the checkpoint."""
    await limitless.execute(_SQL["add_members"], {"part": part, "tenants": list(tenants)})


async def remove_members(limitless: AsyncConnection, part: int, tenants: Sequence[str]) -> None:
    """Take *tenants* out of the mirrored set, in the transaction that locks or moves the checkpoint."""
    await limitless.execute(_SQL["remove_members"], {"part": part, "tenants": list(tenants)})


def clear_members(limitless: Connection, part: int) -> None:
    """Take all tenants out of the partition's mirrored set."""
    limitless.execute(_SQL["clear_members"], {"part": part})


def revoke_all(limitless: Connection, token: str) -> None:
    """Take every partition from its mirror; *token* is not on classic, so that none goes on before it is restarted."""
    limitless.execute(_SQL["revoke_all"], {"token": token})


def mirror_partitions(limitless: Connection) -> list[int]:
    """Return every partition that has a position on Limitless."""
    return [int(part) for (part,) in limitless.execute(_SQL["mirror_partitions"])]


def restart_heartbeat(classic: Connection, part: int, epoch: int, token: uuid.UUID) -> None:
    """Replace every mirror token by *token*."""
    classic.execute(_SQL["restart_heartbeat"], {"part": part, "epoch": epoch, "token": token})


def restart_position(classic: Connection, part: int, epoch: int, snapshot: str) -> None:
    """Publish that the partition begins again at *snapshot*."""
    classic.execute(_SQL["restart_position"], {"part": part, "epoch": epoch, "snapshot": snapshot})


def restart_mirror_position(limitless: Connection, part: int, epoch: int, snapshot: str, token: str) -> None:
    """Move the checkpoint to where the partition begins again, if *epoch* is still its lease term."""
    values = {"part": part, "epoch": epoch, "snapshot": snapshot, "token": token}
    limitless.execute(_SQL["restart_mirror_position"], values)


def partitions(classic: Connection) -> int:
    """Return how many partitions of tenants there are; as the plan says, before there is any."""
    row = classic.execute(_SQL["partitions"]).fetchone()
    return int(row[0]) if row else 1


def ring_shape(classic: Connection, journal: str) -> tuple[int, int]:
    """Return `partitions`, and how many slots the ring of *journal* (schema.table) has."""
    row = classic.execute(_SQL["ring_shape"], {"journal": journal}).fetchone()
    return (int(row[0]), int(row[1])) if row else (1, 0)


async def ring_shape_async(classic: AsyncConnection, journal: str) -> tuple[int, int]:
    """As `ring_shape`."""
    row = await (await classic.execute(_SQL["ring_shape"], {"journal": journal})).fetchone()
    return (int(row[0]), int(row[1])) if row else (1, 0)


def ages_s(classic: Connection) -> dict[int, float]:
    """Return how old each partition's position is, in seconds."""
    return {int(part): float(age) for part, age in classic.execute(_SQL["ages"])}


def worst_lag_s(classic: Connection) -> float | None:
    """Return how far the slowest partition is behind, in seconds; None without partitions."""
    row = classic.execute(_SQL["worst_lag"]).fetchone()
    return float(row[0]) if row is not None and row[0] is not None else None


def positions(conn: Connection) -> dict[int, Snapshot]:
    """Return the published positions: by partition, what Limitless holds."""
    return {int(part): Snapshot.parse(snapshot) for part, snapshot in conn.execute(_SQL["positions"])}


class PartitionLag(NamedTuple):
    """How far a mirror partition is behind, in seconds, and its problem ('' when none).

    `failed`: its mirror failed, with an error that no retry of its activity removes.
    """

    part: int
    lag_s: float
    problem: str
    failed: bool


def partition_lags(conn: Connection) -> list[PartitionLag]:
    """Return the lag of every partition that has published a position, by partition."""
    return [PartitionLag(*row) for row in conn.execute(_SQL["partition_lags"])]


def reference_changed_since(conn: Connection, at: datetime, margin_s: float) -> bool:
    """Return whether a reference table changed after *margin_s* before *at*."""
    row = conn.execute(_SQL["reference_changed_since"], {"at": at, "margin_s": margin_s}).fetchone()
    return bool(row and row[0])


class MirrorPosition(NamedTuple):
    """A partition on Limitless. `closed`: no mirror may move it."""

    part: int
    snapshot: Snapshot
    closed: bool


def mirror_positions(limitless: Connection) -> list[MirrorPosition]:
    """Return every checkpoint, in order of partitions."""
    rows = limitless.execute(_SQL["mirror_positions"])
    return [MirrorPosition(int(part), Snapshot.parse(snapshot), closed) for part, snapshot, closed in rows]


def ask_limitless(limitless: Connection) -> None:
    """Read one stored row of Limitless; returns when it has answered, whatever the row was."""
    limitless.execute(_SQL["any_mirror_position"])


def close_positions(limitless: Connection) -> None:
    """Close every checkpoint, so that no mirror can move it; safe to run twice."""
    limitless.execute(_SQL["close_positions"])


def reopen_positions(limitless: Connection) -> None:
    """Reopen closed checkpoints for mirrors; safe to run twice."""
    limitless.execute(_SQL["reopen_positions"])


def mark_mirror_failed(conn: Connection, part: int, problem: str) -> None:
    """Record that the mirror of *part* failed, and why."""
    conn.execute(_SQL["mark_mirror_failed"], {"part": part, "problem": problem})

"""Copies chosen tenants to Limitless before dual write, for the length of one run.

The copies are those of the backfill, read at one snapshot of classic that stays open while results are compared, and
removed afterwards. Nothing is captured yet, so the copy is classic at that snapshot, and grows old behind it.

Dual write may begin meanwhile. Its backfill commits a lease on Limitless before it copies, and replaces what it finds
of its tenants: rows are written and removed here only while there is no lease, as the last statement of the same
transaction sees it. A row of a backfill that begins after that is not in that transaction's reach.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.control.copy_unit import anything_copied
from migrator.dataplane.backfill import copy_sql
from migrator.dataplane.backfill.pipe import pipe
from migrator.db.connect import connect_async
from migrator.db.hang_up import hung_up_after
from migrator.errors import PreconditionFailed
from migrator.model.table import Table, TableKind
from migrator.shadow.ask import APP

Connection = psycopg.AsyncConnection[Any]
COPY_S = 900.0
"""Seconds that a copy, or its removal, may take: tenants for a run are small, and classic cannot vacuum meanwhile."""

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


@dataclass(frozen=True, slots=True)
class Copied:
    """A transaction on either side, at the snapshot of the copy. rows: that were copied."""

    classic: Connection
    limitless: Connection
    rows: int


@contextlib.asynccontextmanager
async def at_copy(
    classic_dsn: str, limitless_dsn: str, tables: Sequence[Table], tenants: Sequence[str]
) -> AsyncIterator[Copied]:
    """Yield both sides at the snapshot at which *tenants*, and what is no tenant's, were copied.

    What an interrupted run left of these is replaced. It stays when this is left: see `remove`.

    Raises:
        ClusterUnavailable, psycopg.Error: a side failed; nothing of the copy remains.
    """
    mine = [table for table in tables if table.kind is not TableKind.EXCLUDED]
    async with (
        await connect_async(classic_dsn, APP, side="classic") as classic,
        await connect_async(limitless_dsn, APP, side="Limitless") as limitless,
    ):
        with hung_up_after(COPY_S, classic, limitless):
            await classic.execute(_BEGIN)
            rows = await _copy(classic, limitless, mine, tenants)
            await limitless.execute(_BEGIN)
        yield Copied(classic, limitless, rows)


async def _copy(classic: Connection, limitless: Connection, tables: Sequence[Table], tenants: Sequence[str]) -> int:
    rows = 0
    async with limitless.transaction():
        for table in reversed(tables):
            await limitless.execute(copy_sql.remove(table, tenants))
        for table in tables:
            out, into = copy_sql.copy_out(table, tenants, binary=False), copy_sql.copy_in(table, binary=False)
            rows += (await pipe(classic, out, limitless, into, _seen))[0]
        if await anything_copied(limitless):
            raise PreconditionFailed("dual write has begun to copy tenants", hint="Run again without --copy.")
    return rows


async def remove(limitless_dsn: str, tables: Sequence[Table], tenants: Sequence[str]) -> bool:
    """Remove the copies from Limitless; safe to run twice. Return whether it did: not once dual write copies."""
    async with await connect_async(limitless_dsn, APP, side="Limitless") as limitless:
        with hung_up_after(COPY_S, limitless):
            return await _remove(
                limitless, [table for table in tables if table.kind is not TableKind.EXCLUDED], tenants
            )


async def _remove(limitless: Connection, tables: Sequence[Table], tenants: Sequence[str]) -> bool:
    async with limitless.transaction() as transaction:
        if await anything_copied(limitless):
            return False
        for table in reversed(tables):
            await limitless.execute(copy_sql.remove(table, tenants))
        if await anything_copied(limitless):
            raise psycopg.Rollback(transaction)
        return True
    return False


async def _seen(length: int, rows: int) -> None:
    """Take note of a block: its progress is shown nowhere."""

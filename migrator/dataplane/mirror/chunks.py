"""Applies a batch that is too large for one transaction.

Streamed in chunks from the same snapshot while the checkpoint stays where it is; every chunk commits under the
lease term, and only the last transaction moves the checkpoint. In between Limitless is neither at S1 nor at S2, so
readers of the partition are back on classic first. A crash anywhere leaves the old checkpoint: the next cycle does
all of it again, at its own snapshot.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import psycopg
from psycopg import sql

from migrator.control.final_keys import drop_final_keys
from migrator.dataplane.mirror import membership, position, row_stream, rows_sql
from migrator.dataplane.mirror.apply import apply, delete
from migrator.dataplane.mirror.batch import Raw, TableBatch, add
from migrator.dataplane.mirror.deferred import DeferredRows
from migrator.dataplane.mirror.membership import Enrolling
from migrator.dataplane.mirror.partition import Connection, Partition
from migrator.dataplane.mirror.quarantine import find_refused, is_refusal, release_members
from migrator.dataplane.mirror.related_rows import by_place, complete
from migrator.db.connect import connect_async
from migrator.errors import LeaseLost
from migrator.model.position import Snapshot
from migrator.model.table import Table, children_of

_PARENTS = 2_000
"""Rows with children that are looked up together: each of them may bring many."""

_STUCK_MS = 300_000


@asynccontextmanager
async def _beside(p: Partition) -> AsyncIterator[Connection]:
    """A second connection at the reader's snapshot: rows wait there while the reader looks others up.

    Its server ends the session, and with it the snapshot, of a mirror that reads nothing for so long.
    """
    row = await (await p.reader.execute("SELECT pg_export_snapshot()")).fetchone()
    async with await connect_async(p.classic_dsn, f"migrator mirror {p.part} rows", side="classic") as conn:
        await conn.execute("SELECT set_config('tcp_user_timeout', %s, false)", (str(_STUCK_MS),))
        await conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await conn.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(row[0] if row else "")))
        yield conn


async def _chunks(
    p: Partition, beside: Connection, number: int, table: Table, enrolling: Enrolling, *, places: bool = False,
    displaced: bool = False,
) -> AsyncGenerator[list[Raw]]:  # fmt: skip
    """Yield the dirty rows of one table, as many as a transaction should hold; with *places* without their columns.

    With *displaced* only those that are gone or may have moved.
    """
    snapshot = p.stand.snapshot
    query = rows_sql.read_dirty(table, number, p.part, snapshot, enrolling.tenants, places=places, displaced=displaced)
    rows = p.options.batch_rows
    if places and children_of(table, tuple(p.tables.values())):
        rows = min(rows, _PARENTS)
    # Half of it, because the next chunk is read while one is written.
    async with aclosing(row_stream.blocks(beside, query, rows, p.options.batch_bytes // 2)) as blocks:
        async for block in blocks:
            yield block.rows


async def _early(chunks: AsyncGenerator[list[Raw]]) -> AsyncGenerator[list[Raw]]:
    """Yield what *chunks* yields, reading one while the caller writes the one before: two servers run at once."""

    async def following() -> list[Raw] | None:
        return await anext(chunks, None)

    task = asyncio.create_task(following())
    try:
        while (rows := await task) is not None:
            task = asyncio.create_task(following())
            yield rows
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await chunks.aclose()


async def _under_epoch(p: Partition) -> None:
    if not await position.lock_checkpoint(p.limitless, p.stand):
        raise LeaseLost(f"mirror partition {p.part} is not at {p.stand.snapshot} any more")


async def apply_in_chunks(
    p: Partition, snapshot: Snapshot, enrolling: Enrolling, scope: set[str], token: str, taken: float
) -> int:
    """Apply (S1, snapshot] in two passes; returns the rows written. Tenants refused leave *scope*. *taken*: when the
    snapshot was, monotonic.

    Pass 1 reads and deletes rows that classic no longer has, and in tables with other unique keys every key of the
    batch, so that pass 2 can insert in any order without a collision across chunks. A table that foreign keys on
    Limitless refer to loses its rows after those that refer to them, and where it has other unique keys, or refers to
    itself, its keys are deleted and inserted in one transaction: no row misses its parent at a commit.
    """
    limits = f"{p.options.batch_rows} rows or {p.options.batch_mb:.0f} MB"
    await p.options.fall_back("", f"a batch of more than {limits} is being applied")
    await p.reader.execute("SET LOCAL enable_hashjoin = on")
    await p.reader.execute("SET LOCAL enable_seqscan = on")
    async with _beside(p) as beside:
        return await _in_chunks(p, beside, snapshot, enrolling, scope, token, taken)


async def _in_chunks(
    p: Partition,
    beside: Connection,
    snapshot: Snapshot,
    enrolling: Enrolling,
    scope: set[str],
    token: str,
    taken: float,
) -> int:
    written = 0
    refused: set[str] = set()
    await drop_final_keys(p.limitless)  # pass 1 deletes rows that pass 2 inserts
    later = DeferredRows(p, scope)
    named = await _referred(p)
    unique = await _otherwise_unique(p)
    for number, table in p.ordered():
        gone_only = table.qualified not in unique
        found = _chunks(p, beside, number, table, enrolling, places=by_place(table), displaced=gone_only)
        async with aclosing(_early(found)) as chunks:
            async for rows in chunks:
                batch = TableBatch(table)
                await membership.report_unmirrored(p, add(batch, rows, scope))
                async with p.limitless.transaction():
                    await _under_epoch(p)
                    related = await complete(p, batch, scope, places=True)
                    # With the parent's: once that is deleted, nothing names these rows any more.
                    await apply(p.limitless, [TableBatch(e.table, deletes=e.deletes) for e in related])
                    later.add(related)
                    if table.qualified not in named:
                        gone = [*batch.deletes, *(() if gone_only else batch.upserts)]
                        await delete(p.limitless, table, gone)
                written += len(batch.deletes)
    for number, table in reversed(p.ordered()):  # rows that refer to them go first
        if table.qualified in named:
            await _delete_at_once(p, beside, number, table, enrolling, scope)
    for number, table in p.ordered():
        if named.get(table.qualified, False) or table.qualified in named.keys() & unique:
            written += await _apply_at_once(p, beside, number, table, enrolling, scope, refused)
            continue
        async for batch in _batches(p, beside, number, table, enrolling, scope, refused):
            refused |= await _apply_chunk(p, batch, delete_first=table.qualified in unique)
            written += len(batch)
    async with p.limitless.transaction():
        if not await position.move(p.limitless, p.stand, snapshot, token, time.monotonic() - taken):
            raise LeaseLost(f"mirror partition {p.part} is not at {p.stand.snapshot} any more")
        await later.apply(refused)
        if enrolling.tenants:
            await membership.record(p.limitless, p.part, enrolling)
        await release_members(p, refused)
    scope -= refused
    return written


async def _apply_chunk(p: Partition, batch: TableBatch, *, delete_first: bool) -> set[str]:
    """Upsert one chunk in its own transaction; returns the tenants that were refused and left out."""
    refused: set[str] = set()
    while True:
        try:
            async with p.limitless.transaction():
                await _under_epoch(p)
                await apply(p.limitless, [batch.without(refused)], delete_first=delete_first)
        except psycopg.Error as error:
            if not is_refusal(error) or p.part == 0 or refused:
                raise
            refused = await find_refused(p, [batch])
        else:
            return refused


async def _batches(
    p: Partition, beside: Connection, number: int, table: Table, enrolling: Enrolling, scope: set[str],
    refused: set[str], *, places: bool = False,
) -> AsyncIterator[TableBatch]:  # fmt: skip
    """Yield what there is to upsert, chunk by chunk, without tenants *refused* by then."""
    async with aclosing(_early(_chunks(p, beside, number, table, enrolling, places=places))) as chunks:
        async for rows in chunks:
            batch = TableBatch(table)
            await membership.report_unmirrored(p, add(batch, rows, scope - refused) - refused)
            batch.deletes.clear()
            yield batch


async def _referred(p: Partition) -> dict[str, bool]:
    """Return the captured tables that foreign keys on Limitless refer to, and whether one is of the table itself."""
    found = await (await p.limitless.execute(_REFERRED)).fetchall()
    own = {(schema, name): by_itself for schema, name, by_itself in found}
    return {t.qualified: own[t.schema, t.name] for t in p.tables.values() if (t.schema, t.name) in own}


_REFERRED = """
SELECT n.nspname::text, c.relname::text, bool_or(k.conrelid = k.confrelid)
  FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_class c ON c.oid = k.confrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE k.contype = 'f'
 GROUP BY 1, 2
"""


async def _otherwise_unique(p: Partition) -> set[str]:
    """Return the captured tables that have a unique index besides their key, also one of expressions or some rows."""
    found = {(schema, name) for schema, name in await (await p.limitless.execute(_OTHERWISE_UNIQUE)).fetchall()}
    return {t.qualified for t in p.tables.values() if (t.schema, t.name) in found}


_OTHERWISE_UNIQUE = """
SELECT DISTINCT n.nspname::text, c.relname::text
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE i.indisunique AND NOT i.indisprimary
"""


async def _delete_at_once(
    p: Partition, beside: Connection, number: int, table: Table, enrolling: Enrolling, scope: set[str]
) -> None:
    """Delete what classic no longer has of a table, in one transaction: its rows may refer to each other."""
    async with p.limitless.transaction():
        await _under_epoch(p)
        found = _chunks(p, beside, number, table, enrolling, places=by_place(table), displaced=True)
        async with aclosing(_early(found)) as chunks:
            async for rows in chunks:
                batch = TableBatch(table)
                add(batch, rows, scope)
                await complete(p, batch, scope, places=True)
                await delete(p.limitless, table, batch.deletes)


async def _apply_at_once(
    p: Partition, beside: Connection, number: int, table: Table, enrolling: Enrolling, scope: set[str],
    refused: set[str],
) -> int:  # fmt: skip
    """Delete and insert every row to upsert of a table in one transaction; adds to *refused*; returns the rows."""
    while True:
        written, batch = 0, TableBatch(table)
        try:
            async with p.limitless.transaction():
                await _under_epoch(p)
                async for batch in _batches(
                    p, beside, number, table, enrolling, scope, refused, places=by_place(table)
                ):
                    await delete(p.limitless, table, batch.upserts)
                async for batch in _batches(p, beside, number, table, enrolling, scope, refused):
                    await apply(p.limitless, [batch])
                    written += len(batch)
        except psycopg.Error as error:
            if not is_refusal(error) or p.part == 0:
                raise
            found = await find_refused(p, [batch]) - refused
            if not found:
                raise
            refused |= found
        else:
            return written

"""How is a batch too large for one transaction applied?

Streamed in chunks from the same snapshot while the position stays where it is; every chunk commits under the
epoch, and only the last transaction moves the position. In between Limitless is neither at S1 nor at S2, so
readers of the partition are back on classic first. A crash anywhere leaves the old position: the next cycle does
all of it again, at its own snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import psycopg
from psycopg import sql

from migrator.errors import LeaseLost
from migrator.mirror import joining, position, rows_sql
from migrator.mirror.apply import apply
from migrator.mirror.batch import Raw, TableBatch, add, target_keys
from migrator.mirror.completion import complete
from migrator.mirror.joining import Joiners
from migrator.mirror.partition import Partition
from migrator.mirror.quarantine import find_refused, is_refusal, release_members
from migrator.mirror.raw import run, texts
from migrator.model.position import Snapshot
from migrator.model.table import Table


async def _chunks(
    p: Partition, number: int, table: Table, joiners: Joiners, *, places: bool = False
) -> AsyncGenerator[list[Raw]]:
    """Yield the dirty rows of one table, at most batch_rows at a time; with *places* without their columns."""
    query = rows_sql.read_dirty(table, number, p.part, p.stand.snapshot, joiners.tenants, places=places)
    await p.reader.execute(sql.SQL("DECLARE migrator_chunk NO SCROLL CURSOR FOR {}").format(query))
    fetch_next = sql.SQL("FETCH {} FROM migrator_chunk").format(sql.Literal(p.options.batch_rows))
    while rows := texts(await p.reader.execute(fetch_next)):
        yield rows
    await p.reader.execute("CLOSE migrator_chunk")


async def _early(chunks: AsyncGenerator[list[Raw]]) -> AsyncGenerator[list[Raw]]:
    """Yield what *chunks* yields, reading one while the caller writes the one before: two servers at work."""

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


async def _under_epoch(p: Partition) -> None:
    if not await position.hold(p.limitless, p.stand):
        raise LeaseLost(f"mirror partition {p.part} is not at {p.stand.snapshot} any more")


async def apply_in_chunks(p: Partition, snapshot: Snapshot, joiners: Joiners, scope: set[str], token: str) -> int:
    """Apply (S1, snapshot] in two passes; returns the rows written. Tenants refused leave *scope*.

    Pass 1 removes what is gone, and in tables with other unique keys every key of the batch, so that pass 2
    can insert in any order without a collision across chunks.
    """
    await p.options.fall_back("", f"a batch of more than {p.options.batch_rows} rows is being applied")
    await p.reader.execute("SET LOCAL enable_hashjoin = on")
    await p.reader.execute("SET LOCAL enable_seqscan = on")
    written = 0
    refused: set[str] = set()
    extras: list[TableBatch] = []
    for number, table in p.ordered():
        # A key whose text form differs from the one journalled is known by its column alone.
        places = all(table.column(c).exact for c in table.key)
        async with aclosing(_early(_chunks(p, number, table, joiners, places=places))) as chunks:
            async for rows in chunks:
                batch = TableBatch(table)
                add(batch, rows, scope)
                async with p.limitless.transaction():
                    await _under_epoch(p)
                    found = await complete(p, batch, scope)
                    # With the parent's: once that is gone, nothing says any more that these were there.
                    await apply(p.limitless, [TableBatch(e.table, deletes=e.deletes) for e in found])
                    extras += found
                    gone = [*batch.deletes, *(batch.upserts if table.unique_keys else ())]
                    if gone:
                        await run(p.limitless, rows_sql.delete(table), target_keys(table, gone))
                written += len(batch.deletes)
    for number, table in p.ordered():
        async with aclosing(_early(_chunks(p, number, table, joiners))) as chunks:
            async for rows in chunks:
                batch = TableBatch(table)
                add(batch, rows, scope - refused)
                batch.deletes.clear()
                refused |= await _apply_chunk(p, batch)
                written += len(batch)
    async with p.limitless.transaction():
        if not await position.move(p.limitless, p.stand, snapshot, token):
            raise LeaseLost(f"mirror partition {p.part} is not at {p.stand.snapshot} any more")
        await apply(p.limitless, [e.without(refused) for e in extras], delete_first=True)
        if joiners.tenants:
            await joining.record(p.limitless, p.part, joiners)
        await release_members(p, refused)
    scope -= refused
    return written


async def _apply_chunk(p: Partition, batch: TableBatch) -> set[str]:
    """Upsert one chunk in its own transaction; returns the tenants that were refused and left out."""
    refused: set[str] = set()
    while True:
        try:
            async with p.limitless.transaction():
                await _under_epoch(p)
                await apply(p.limitless, [batch.without(refused)], delete_first=bool(batch.table.unique_keys))
        except psycopg.Error as error:
            if not is_refusal(error) or p.part == 0 or refused:
                raise
            refused = await find_refused(p, [batch])
        else:
            return refused

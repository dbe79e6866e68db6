"""Keeps the rows of a large batch that are written last: those that no entry names and only related rows lead to.

They are found while the batch's own rows are removed, and belong into the transaction that moves the checkpoint. Until
then their places are kept, packed: there may be a million children of what moved. Their columns are read again, at the
same snapshot.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing

from migrator.dataplane.mirror import row_stream, rows_sql
from migrator.dataplane.mirror.apply import apply, delete
from migrator.dataplane.mirror.batch import Place, TableBatch, add
from migrator.dataplane.mirror.partition import Partition
from migrator.model.table import Table

_BLOCK = 2_000


class DeferredRows:
    """Places of rows to be written once everything else is there."""

    def __init__(self, p: Partition, scope: set[str]) -> None:
        self.p, self.scope = p, scope
        self._packed: list[tuple[Table, bytes]] = []

    def add(self, batches: Iterable[TableBatch]) -> None:
        """Remember what is to be written of *batches*."""
        for batch in batches:
            places = list(batch.upserts)
            for start in range(0, len(places), _BLOCK):
                packed = zlib.compress(json.dumps(places[start : start + _BLOCK]).encode(), 1)
                self._packed.append((batch.table, packed))

    def _blocks(self, refused: set[str]) -> Iterator[tuple[Table, list[Place]]]:
        for table, packed in self._packed:
            places = json.loads(zlib.decompress(packed))
            left = [(tenant, tuple(key)) for tenant, key in places if tenant not in refused]
            if left:
                yield table, left

    async def _batches(self, refused: set[str]) -> AsyncIterator[TableBatch]:
        size = self.p.options.batch_bytes
        for table, places in self._blocks(refused):
            keys = [list(column) for column in zip(*((tenant, *key) for tenant, key in places), strict=True)]
            query = rows_sql.read_keys(table)
            async with aclosing(row_stream.blocks(self.p.reader, query, _BLOCK, size, keys)) as blocks:
                async for block in blocks:
                    batch = TableBatch(table)
                    add(batch, block.rows, self.scope - refused)
                    yield batch

    async def apply(self, refused: set[str]) -> None:
        """Write all of them, in the caller's transaction: all are deleted first, so that none collides with another."""
        for table, places in self._blocks(refused):
            await delete(self.p.limitless, table, places)
        async for batch in self._batches(refused):
            await apply(self.p.limitless, [batch])

"""Which rows must join a batch that no journal entry names? Only Limitless can say.

* Keys journalled without a tenant: Limitless knows under which of our tenants it still has them.
* Children of a parent that is gone for a tenant: a child that moved or vanished in the same statement as its
  parent was journalled under the parent's new tenant only.

Both are looked up in the classic snapshot again, so whatever Limitless names is set to its true state there.
Runs before anything of the batch is written: afterwards the parents could not be found any more.
"""

from __future__ import annotations

from migrator.mirror import rows_sql
from migrator.mirror.batch import Raw, TableBatch, add, target_keys
from migrator.mirror.partition import Partition
from migrator.mirror.raw import fetch
from migrator.model.table import children_of


async def complete(p: Partition, batch: TableBatch, scope: set[str]) -> list[TableBatch]:
    """Complete *batch* in place; returns batches of the rows found in derived tables, parents first."""
    table = batch.table
    if not table.sharded:
        return []
    if batch.loose:
        keys = [list(column) for column in zip(*(key for key, _ in batch.loose), strict=True)]
        await _recheck(p, batch, await fetch(p.limitless, rows_sql.find_on_target(table), keys), scope)
    found: list[TableBatch] = []
    if batch.deletes:
        gone = target_keys(table, batch.deletes)
        for child in children_of(table, tuple(p.tables.values())):
            extra = TableBatch(child)
            await _recheck(p, extra, await fetch(p.limitless, rows_sql.find_children(table, child), gone), scope)
            if len(extra):
                found += [extra, *await complete(p, extra, scope)]
    return found


async def _recheck(p: Partition, batch: TableBatch, found: list[Raw], scope: set[str]) -> None:
    """Look up (tenant, key) rows in the snapshot and add their state to *batch*."""
    suspects = {tuple(v or "" for v in row) for row in found if row[0] in scope}
    if suspects:
        columns = [list(column) for column in zip(*suspects, strict=True)]
        add(batch, await fetch(p.reader, rows_sql.read_keys(batch.table), columns), scope)

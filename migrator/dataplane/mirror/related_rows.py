"""Adds related rows to a batch: rows that it needs and no journal entry names. Only Limitless knows them.

* Keys journalled without a tenant: Limitless knows under which of our tenants it still has them.
* Children of a parent that a tenant no longer has, or that moved: a child that moved or was deleted in the same
statement as
  its parent, or beside it, was journalled under another tenant than the one it has here. They are looked for on both
  sides: those that Limitless has, and those that classic has.

All are looked up in the classic snapshot again, so whatever is named is set to its true state there.
Runs before anything of the batch is written: afterwards the parents could not be found any more.
"""

from __future__ import annotations

from migrator.dataplane.mirror import rows_sql
from migrator.dataplane.mirror.batch import Raw, TableBatch, add, by_tenant, target_keys
from migrator.dataplane.mirror.partition import Partition
from migrator.db.text_values import fetch
from migrator.model.table import Table, children_of


def by_place(table: Table) -> bool:
    """Return whether a row's place is known without its columns: equal keys look the same."""
    return all(table.column(c).exact for c in table.key)


async def complete(p: Partition, batch: TableBatch, scope: set[str], *, places: bool = False) -> list[TableBatch]:
    """Complete *batch* in place; returns batches of the rows found in derived tables, parents first.

    With *places* without the columns of the rows found, where their places are known without.
    """
    table = batch.table
    if not table.sharded:
        return []
    if batch.tenantless_keys:
        keys = [list(column) for column in zip(*(key for key, _ in batch.tenantless_keys), strict=True)]
        await _recheck(p, batch, await fetch(p.limitless, rows_sql.find_on_target(table), keys), scope, places)
    found: list[TableBatch] = []
    suspects = batch.deletes | batch.moved
    children = children_of(table, tuple(p.tables.values()))
    if not suspects or not children:
        return []
    gone = [(target_keys(table, group), one_tenant) for group, one_tenant in by_tenant(suspects)]
    keys = [list(column) for column in zip(*{key for _, key in batch.moved}, strict=True)]
    for child in children:
        extra = TableBatch(child)
        for rows, one_tenant in gone:
            query = rows_sql.find_children(table, child, one_tenant=one_tenant)
            await _recheck(p, extra, await fetch(p.limitless, query, rows), scope, places)
        if keys:
            query = rows_sql.read_children(table, child, places=places and by_place(child))
            add(extra, await fetch(p.reader, query, keys), scope)
            extra.tenantless_keys.clear()  # classic named them: whatever Limitless has of them was found just above
        if len(extra):
            extra.moved |= set(extra.upserts)
            found += [extra, *await complete(p, extra, scope, places=places)]
    return found


async def _recheck(p: Partition, batch: TableBatch, found: list[Raw], scope: set[str], places: bool) -> None:
    """Look up (tenant, key) rows in the snapshot and add their state to *batch*."""
    suspects = {tuple(v or "" for v in row) for row in found if row[0] in scope}
    if suspects:
        columns = [list(column) for column in zip(*suspects, strict=True)]
        query = rows_sql.read_keys(batch.table, places=places and by_place(batch.table))
        add(batch, await fetch(p.reader, query, columns), scope)

"""Applies one batch to Limitless.

The caller owns the transaction and has locked the partition's checkpoint in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from migrator.dataplane.mirror import rows_sql
from migrator.dataplane.mirror.batch import Place, TableBatch, by_tenant, target_keys
from migrator.db.error_text import what_happened
from migrator.db.text_values import run
from migrator.model.sqlstate import Fault, fault_of
from migrator.model.table import Table

Limitless = psycopg.AsyncConnection[Any]


async def apply(limitless: Limitless, batches: Sequence[TableBatch], *, delete_first: bool = False) -> None:
    """Delete and upsert every row of *batches* (parents first), deletes of all tables first, children's before.

    Rows that swapped a unique value collide one by one although the whole is consistent; with *delete_first*
    all keys are deleted and inserted again, which cannot collide.

    Raises:
        psycopg.errors.UniqueViolation: try again with *delete_first*.
    """
    for batch in reversed(batches):  # a key that checks at once would refuse a parent before its children
        gone = [*batch.deletes, *(batch.upserts if delete_first else ())]
        await delete(limitless, batch.table, gone)
    for batch in batches:
        if batch.upserts:
            await run(limitless, rows_sql.upsert(batch.table), batch.upsert_columns())


async def delete(limitless: Limitless, table: Table, places: Iterable[Place]) -> None:
    """Delete the rows at *places*, as far as they exist."""
    for group, one_tenant in by_tenant(places):
        await run(limitless, rows_sql.delete(table, one_tenant=one_tenant), target_keys(table, group))


async def apply_by_tenant(limitless: Limitless, batches: Sequence[TableBatch]) -> dict[str, str]:
    """Apply *batches* tenant by tenant; returns tenants whose data Limitless refuses, each with the reason.

    Slow, and only used after `apply` failed on the data of a tenant. The reason names table, constraint and
    SQLSTATE, never values.
    """
    refused: dict[str, str] = {}
    for tenant in sorted(set().union(*(b.tenants() for b in batches))):
        try:
            async with limitless.transaction():
                await apply(limitless, [b.only(tenant) for b in batches], delete_first=True)
        except psycopg.Error as error:
            if fault_of(error.sqlstate) is not Fault.DATA:
                raise
            refused[tenant] = f"Limitless: {what_happened(error)}"
    return refused

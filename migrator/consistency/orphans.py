"""Counts the rows of both sides by tenant, which shows those that no known tenant has.

Not behind a fence: only rows of unknown tenants are of interest, and those have no mirror that would make
both sides equal.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import psycopg

from migrator.consistency import digest_sql, store
from migrator.consistency.fence import Connection
from migrator.consistency.spare import Spare
from migrator.model.side import Side
from migrator.model.table import Table


async def rows_by_tenant(
    control: Connection, there: Connection, tables: Sequence[Table], spare: Spare | None
) -> tuple[dict[str | None, int], dict[str, dict[str, int]]]:
    """Return the rows of classic by tenant (None: without one), and those of Limitless by tenant and table."""
    here: dict[str | None, int] = {}
    strays: dict[str, dict[str, int]] = {}
    for table in (t for t in tables if t.sharded):
        found = await asyncio.gather(
            _on_classic(control, table, spare), _count(there, table, Side.LIMITLESS), return_exceptions=True
        )
        failed = [f for f in found if isinstance(f, BaseException)]
        if failed:
            if table.qualified in {t.qualified for t in await store.tables(control)}:
                raise failed[0]
            continue  # dropped on both sides meanwhile
        mine, theirs = (f for f in found if not isinstance(f, BaseException))
        for tenant, rows in mine.items():
            here[tenant] = here.get(tenant, 0) + rows
        for tenant, rows in theirs.items():
            strays.setdefault(str(tenant), {})[table.qualified] = rows
    return here, strays


async def _on_classic(control: Connection, table: Table, spare: Spare | None) -> dict[str | None, int]:
    async with contextlib.AsyncExitStack() as stack:
        replica = await stack.enter_async_context(spare.now(control)) if spare else None
        if replica is not None and spare is not None:
            try:
                found = await _count(replica, table, Side.CLASSIC)
            except psycopg.Error as error:
                spare.failed(error)
            else:
                spare.rows += sum(found.values())
                return found
    return await _count(control, table, Side.CLASSIC)


async def _count(conn: Connection, table: Table, side: Side) -> dict[str | None, int]:
    cursor = await conn.execute(digest_sql.tenant_rows(table, side))
    return {tenant: int(rows) for tenant, rows in await cursor.fetchall()}

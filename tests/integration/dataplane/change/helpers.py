"""Applying a change of the schema to the shop, and comparing all of both sides whatever columns there are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from migrator.dataplane.change.apply import Applied, apply
from migrator.dataplane.change.progress import Work
from migrator.db.connect import connect
from migrator.model.table import Table
from migrator.plan.tables import resolve_tables
from tests.fixtures.shop import Shop
from tests.fixtures.world import World

# Where a row belongs and what it holds, whatever columns there are; written down apart from the product.
OWNED = {
    "shop.tenant": "SELECT t.tenant_id::text, to_jsonb(t) FROM shop.tenant t",
    "shop.purchase": "SELECT p.tenant_id::text, to_jsonb(p) FROM shop.purchase p",
    "shop.line": "SELECT p.tenant_id::text, to_jsonb(l) FROM shop.line l JOIN shop.purchase p ON p.id = l.purchase_id",
    "shop.remark": "SELECT p.tenant_id::text, to_jsonb(r) FROM shop.remark r JOIN shop.line l ON l.id = r.line_id"
    " JOIN shop.purchase p ON p.id = l.purchase_id",
    "shop.currency": "SELECT NULL, to_jsonb(c) FROM shop.currency c",
}
DERIVED = ("shop.line", "shop.remark")


def differences(shop: Shop) -> dict[str, list[object]]:
    """Up to five rows of each table that only one side holds, every column compared."""
    found = {}
    for table, query in OWNED.items():
        minus = " - 'tenant_id'" if table in DERIVED else ""
        owner = "NULL" if table == "shop.currency" else "t.tenant_id::text"
        here = set(shop.classic.execute(f"SELECT q::text FROM ({query}) q"))
        there = set(
            shop.limitless.execute(f"SELECT q::text FROM (SELECT {owner}, to_jsonb(t){minus} FROM {table} t) q")
        )
        if here != there:
            found[table] = sorted(here ^ there)[:5]
    return found


@contextmanager
def work(shop: World, **more: Any) -> Iterator[Work]:
    with (
        closing(connect(shop.classic_dsn, "schema")) as classic,
        closing(connect(shop.limitless_dsn, "schema")) as limitless,
        closing(connect(shop.classic_dsn, "schema turns")) as turns,
    ):
        yield Work(shop.plan, classic, limitless, turns, "tester", **more)


def run(shop: World, text: str, **more: Any) -> Applied:
    with work(shop, **more) as w:
        return apply(w, text, "change.sql")


async def applied(shop: World, text: str, **more: Any) -> Applied:
    """Apply in a thread: the mirrors it waits for live in this loop."""
    return await asyncio.to_thread(lambda: run(shop, text, **more))


def resolved(shop: Shop) -> tuple[Table, ...]:
    return resolve_tables(shop.classic, shop.plan.tables)

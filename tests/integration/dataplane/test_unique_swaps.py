"""Unique values that change hands: every state on classic is consistent, and the way to it is not the mirror's."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import LiteralString

import psycopg
import pytest

from migrator.dataplane.mirror.cycle import run_cycle
from migrator.dataplane.mirror.run import _open
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import TIMEOUT_S
from tests.integration.dataplane.change.helpers import applied

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

FREE = "UPDATE shop.purchase SET slot = -slot WHERE tenant_id = 1"

# Each is one transaction of tenant 1, whose purchases are 3, 6, 9, … with slots as their numbers.
CHANGES = {
    "two swap": [FREE, "UPDATE shop.purchase SET slot = CASE -slot WHEN 3 THEN 6 WHEN 6 THEN 3 ELSE -slot END"],
    "three rotate": [
        FREE,
        "UPDATE shop.purchase SET slot = CASE -slot WHEN 9 THEN 12 WHEN 12 THEN 15 WHEN 15 THEN 9 ELSE -slot END",
    ],
    "all move up by one": [FREE, "UPDATE shop.purchase SET slot = 3 - slot"],
    "all move down again": [FREE, "UPDATE shop.purchase SET slot = -slot - 3"],
    "one takes over, the other lets go": [
        "UPDATE shop.purchase SET slot = NULL WHERE id = 21",
        "UPDATE shop.purchase SET slot = 21 WHERE id = 18",
    ],
    "the newcomer takes it": [
        "UPDATE shop.purchase SET slot = NULL WHERE id = 24",
        "INSERT INTO shop.purchase VALUES (-1, 1, 24)",
    ],
    "one that is deleted leaves it": [
        "DELETE FROM shop.purchase WHERE id = 27",
        "UPDATE shop.purchase SET slot = 27 WHERE id = 30",
    ],
    "one that leaves for another tenant leaves it": [
        "UPDATE shop.purchase SET tenant_id = 2 WHERE id = 33",
        "UPDATE shop.purchase SET slot = 33 WHERE id = 36",
    ],
    "a key is given away with its value": [
        "UPDATE shop.purchase SET id = -2, slot = NULL WHERE id = -1",
        "INSERT INTO shop.purchase VALUES (-1, 1, 39000), (-3, 1, 24)",
    ],
}


def change(shop: Shop, statements: list[str]) -> None:
    with psycopg.connect(shop.classic_dsn) as conn:
        for statement in statements:
            only = "" if "WHERE" in statement or "INSERT" in statement else " WHERE tenant_id = 1"
            conn.execute(statement + only)


KEY = """
ALTER TABLE shop.line ADD CONSTRAINT of_purchase FOREIGN KEY (tenant_id, purchase_id)
    REFERENCES shop.purchase (tenant_id, id) DEFERRABLE INITIALLY DEFERRED
"""


@pytest.mark.parametrize(("batch_rows", "key"), [(20_000, ""), (40, ""), (40, KEY)], ids=("one", "chunks", "key"))
async def test_values_that_change_hands_stop_nobody(shop: Shop, batch_rows: int, key: LiteralString) -> None:
    """Collisions on the way are the mirror's to avoid: it goes on, with every tenant, in one batch and in chunks, also
    where other rows refer to these."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()
    if key:
        shop.limitless.execute(key)
    row = shop.classic.execute("SELECT part FROM migrator.tenant WHERE tenant_id = '1'").fetchone()
    assert row is not None
    options = replace(shop._options(), batch_rows=batch_rows)

    for part in (0, 1, 2):  # whoever owns tenant 2 follows as well; keys of no tenant are everybody's
        async with _open(shop.classic_dsn, shop.limitless_dsn, part, None, options) as p:
            before = set(p.members)
            for what, statements in CHANGES.items():
                if part == row[0]:
                    change(shop, statements)
                cycle = asyncio.create_task(run_cycle(p))
                done, _ = await asyncio.wait({cycle}, timeout=TIMEOUT_S)
                cycle.cancel()
                assert done, f"{what}: the mirror does not get over it"
                cycle.result()
            assert p.members == before, "no tenant was quarantined"
    async with shop.mirrors():
        await shop.caught_up()

    assert shop.differences() == {}
    assert shop.classic.execute("SELECT tenant_id FROM migrator.tenant WHERE state <> 'mirrored'").fetchall() == []


async def test_children_go_before_their_parents(shop: Shop) -> None:
    """Somebody gave Limitless a key that checks at once: it holds for the mirror's statements too."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()
    shop.limitless.execute(
        "ALTER TABLE shop.remark ADD FOREIGN KEY (tenant_id, line_id) REFERENCES shop.line (tenant_id, id)"
    )
    shop.classic.execute("DELETE FROM shop.purchase WHERE id < 50")
    for part in (1, 2):
        async with _open(shop.classic_dsn, shop.limitless_dsn, part, None, shop._options()) as p:
            await run_cycle(p)

    assert shop.differences() == {}


OWN = """
CREATE TABLE shop.folder (tenant_id bigint, id bigint, above bigint, PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, above) REFERENCES shop.folder DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE shop.paper (tenant_id bigint, id bigint, folder bigint, PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, folder) REFERENCES shop.folder DEFERRABLE INITIALLY DEFERRED);
"""

REFERS = """
ALTER TABLE shop.folder ADD FOREIGN KEY (tenant_id, above) REFERENCES shop.folder DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE shop.paper ADD FOREIGN KEY (tenant_id, folder) REFERENCES shop.folder DEFERRABLE INITIALLY DEFERRED;
"""
"""What Limitless gets of them when the other tables have their keys."""

LARGE = (
    "INSERT INTO shop.folder SELECT 1, g, nullif(101 - g, g) FROM generate_series(1, 100) g",
    "INSERT INTO shop.paper SELECT 1, g, g FROM generate_series(1, 100) g",
    "UPDATE shop.folder SET above = 1 + id % 100",
    "UPDATE shop.paper SET folder = 101 - folder",
    "DELETE FROM shop.paper; DELETE FROM shop.folder",
)


async def test_a_large_batch_of_rows_that_refer_to_each_other(shop: Shop) -> None:
    """Across chunks no row misses its parent: not in a tree, and not where parents and children go together."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await applied(shop, OWN)
        await shop.caught_up()
    shop.limitless.execute(REFERS)
    shape = "SELECT tenant_id, id, above FROM shop.folder UNION ALL SELECT -tenant_id, id, folder FROM shop.paper"
    for statement in LARGE:
        shop.classic.execute(statement)
        for part in (1, 2):
            options = replace(shop._options(), batch_rows=20)
            async with _open(shop.classic_dsn, shop.limitless_dsn, part, None, options) as p:
                await run_cycle(p)
        here, there = (sorted(map(str, conn.execute(shape))) for conn in (shop.classic, shop.limitless))
        assert here == there, statement

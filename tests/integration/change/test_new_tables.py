"""New tables, types, values and sequences come to both sides while rows flow."""

from __future__ import annotations

import asyncio

import pytest

from migrator.consistency.run import validate
from migrator.control.tables import captured_tables
from migrator.control.watch import problems
from migrator.inventory.look import look
from migrator.provision.apply import verify
from tests.fixtures.shop import Shop
from tests.integration.change import new_tables
from tests.integration.change.helpers import applied, differences
from tests.integration.dataplane.test_equality import Writers

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]


async def test_new_tables_are_captured_from_birth_while_everything_runs(shop: Shop) -> None:
    """Written from their first moment on, beside a copy and validation; nothing of them is ever copied."""
    await shop.start()
    with Writers(shop.classic_dsn, 5, 1) as writers, new_tables.Traffic(shop.classic_dsn) as traffic:
        async with shop.mirrors():
            copying = asyncio.create_task(shop.copy_all(120))
            change = asyncio.create_task(applied(shop, new_tables.FILE, patience_s=60))
            while not change.done():
                report = await validate(shop.classic_dsn, shop.limitless_dsn)
                assert report.divergent_rows == 0, report.sample
            done = await change
            await copying
            report = await validate(shop.classic_dsn, shop.limitless_dsn)
            traffic.stop.set()
            traffic.join()
            writers.stop.set()
            for thread in writers.threads:
                await asyncio.to_thread(thread.join)
            again = await applied(shop, new_tables.FILE)
            await shop.caught_up()
            last = await validate(shop.classic_dsn, shop.limitless_dsn)

    assert len(done.finished) == 11
    assert again.finished == ()
    assert report.divergent_rows == last.divergent_rows == 0
    assert last.tenants[0].tables == 6  # three that were there (tenant, purchase, ...) and three that are new
    assert all(traffic.written.values()), traffic.written
    assert new_tables.differences(shop) == {}
    assert differences(shop) == {}
    tables = list(captured_tables(shop.classic).values())
    assert set(new_tables.TABLES) <= {t.qualified for t in tables}
    assert verify(shop.classic, shop.limitless, tables, shop.plan).blockers == ()
    assert problems(shop.classic) == []
    assert look(shop.classic) == look(shop.classic, shop.limitless) == ()

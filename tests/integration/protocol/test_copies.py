"""Two copies of one unit, and what is written meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from migrator.dataplane.backfill import copy
from migrator.dataplane.backfill.pipe import pipe
from migrator.dataplane.capture import ring
from migrator.db.connect import connect_async
from migrator.errors import LeaseLost
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import TIMEOUT_S
from tests.fixtures.world import PARTS

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]


@asynccontextmanager
async def frozen_copy(shop: Shop, unit: str) -> AsyncIterator[tuple[asyncio.Task[None], asyncio.Event]]:
    """A copy of *unit* that has its lease and its snapshot, and stands still before it reads anything."""
    frozen, thawed = asyncio.Event(), asyncio.Event()

    async def freeze(*args: Any) -> Any:
        frozen.set()
        await thawed.wait()
        return await pipe(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copy, "pipe", freeze)
        task = asyncio.create_task(shop.copy(unit))
        await asyncio.wait_for(frozen.wait(), TIMEOUT_S)
    try:
        yield task, thawed
    finally:
        thawed.set()
        await asyncio.gather(task, return_exceptions=True)


def lease(shop: Shop, unit: str) -> Any:
    return shop.limitless.execute("SELECT epoch, state FROM migrator.copy_lease WHERE unit_id = %s", (unit,)).fetchone()


async def one_unit(shop: Shop) -> str:
    """Start, and return a unit of tenants."""
    await shop.start()
    units = set(shop.units())
    query = "SELECT unit_id FROM migrator.copy_unit WHERE part <> 0 ORDER BY rows DESC"
    return next(str(u) for (u,) in shop.classic.execute(query) if u in units)


async def test_a_superseded_copy_cannot_commit(shop: Shop) -> None:
    """Its unit was taken over while it stood still, and its successor has not finished either: nothing of it stays."""
    unit = await one_unit(shop)
    async with frozen_copy(shop, unit) as (first, thawed):
        async with await connect_async(shop.classic_dsn, "t") as control:
            async with await connect_async(shop.limitless_dsn, "t") as limitless:
                taken = await copy._lease(limitless, await copy._unit(control, unit))
        assert taken == 2
        thawed.set()
        await asyncio.wait({first}, timeout=TIMEOUT_S)

        assert isinstance(first.exception(), LeaseLost)
    assert lease(shop, unit) == (2, "copying")
    assert shop.limitless.execute("SELECT count(*) FROM shop.purchase").fetchone() == (0,)


async def test_a_unit_that_was_copied_is_not_copied_again(shop: Shop) -> None:
    """The worker died before it said so on classic: what the mirror goes on from is left alone."""
    unit = await one_unit(shop)
    async with shop.mirrors():
        await shop.copy_all()
    before = lease(shop, unit)
    assert before[1] == "joined"
    shop.classic.execute("UPDATE migrator.copy_unit SET state = 'copying' WHERE unit_id = %s", (unit,))
    shop.limitless.execute("UPDATE shop.purchase SET total = -1")

    await shop.copy(unit)

    assert lease(shop, unit) == before
    assert shop.limitless.execute("SELECT count(*) FROM shop.purchase WHERE total <> -1").fetchone() == (0,)


async def test_what_is_written_during_a_copy_is_kept(shop: Shop) -> None:
    """Every mirror has passed it, and the ring is cleaned: the copy's snapshot is older, and its tenants need it."""
    unit = await one_unit(shop)
    ids = sorted(int(n) for (n,) in shop.classic.execute("SELECT table_id FROM migrator.captured_table"))
    async with frozen_copy(shop, unit) as (running, thawed):
        shop.classic.execute("UPDATE shop.purchase SET total = total + 1")
        shop.classic.execute("DELETE FROM shop.remark WHERE number % 5 = 0")
        async with shop.mirrors():
            await shop.caught_up()
        async with await connect_async(shop.classic_dsn, "test") as conn:
            await ring.clean(conn, ids, 3, PARTS)
        thawed.set()
        await running
    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()

    assert shop.differences() == {}


async def test_nobody_is_mirrored_before_his_copy(shop: Shop) -> None:
    """A row that came before its tenant's copy would be one that the copy meets, or one that nobody removes."""
    await shop.start()
    async with shop.mirrors():
        shop.classic.execute("UPDATE shop.purchase SET total = 1, note = NULL")
        shop.classic.execute("UPDATE shop.currency SET rate = 2")
        await shop.caught_up()

    for table in ("purchase", "line", "currency"):
        assert shop.limitless.execute(f"SELECT count(*) FROM shop.{table}").fetchone() == (0,)
    # those who have a purchase: the mirror met them
    assert shop.classic.execute("SELECT count(*) FROM migrator.tenant WHERE state = 'pending'").fetchone() == (9,)

"""Ranges of a huge tenant are copied at one snapshot while any of them runs; the hand-over takes the earliest."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from migrator.backfill.copy import Progress, copy_unit
from migrator.model.position import Snapshot, earliest
from tests.fixtures.shop import Shop, until

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

HUGE = {"split_rows": 60}


@contextlib.asynccontextmanager
async def slowly(shop: Shop, unit: str) -> AsyncIterator[asyncio.Task[None]]:
    """A copy that has begun to send rows, and goes on when this is left; or earlier when it is cancelled."""
    loop, begun = asyncio.get_running_loop(), asyncio.Event()

    def seen(_: Progress) -> None:
        loop.call_soon(begun.set)

    shop.classic.execute("UPDATE migrator.throttle SET mb_per_s = 0.00001")
    task = asyncio.create_task(copy_unit(shop.classic_dsn, shop.limitless_dsn, unit, "slow", seen))
    try:
        await asyncio.wait_for(begun.wait(), 20)
        shop.classic.execute("UPDATE migrator.throttle SET mb_per_s = NULL")
        yield task
    finally:
        if not task.done():
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def ranges(shop: Shop) -> list[str]:
    """Units of tenant 1, whose purchases alone are more than a unit."""
    shop.units(**HUGE)
    rows = shop.classic.execute(
        "SELECT unit_id FROM migrator.copy_unit WHERE table_name = 'shop.purchase' AND tenants = '{1}' ORDER BY 1"
    )
    return [str(unit) for (unit,) in rows]


def snapshot(shop: Shop, unit: str) -> str:
    row = shop.limitless.execute("SELECT snapshot FROM migrator.copy_lease WHERE unit_id = %s", (unit,)).fetchone()
    assert row is not None
    return str(row[0])


def write(shop: Shop) -> None:
    """Something changes in every range, so that another snapshot is another one."""
    shop.classic.execute("UPDATE shop.purchase SET total = total + 1 WHERE tenant_id = 1")


async def test_ranges_that_overlap_share_a_snapshot_and_the_earliest_counts(shop: Shop) -> None:
    """The second borrows from the first, the third from the second though the first is dead; the last has its own."""
    await shop.start()
    first, second, third, *rest = ranges(shop)
    async with slowly(shop, first):
        write(shop)
        async with slowly(shop, second):
            shared = shop.classic.execute("SELECT count(DISTINCT pid), count(*) FROM migrator.copy_snapshot").fetchone()
            assert shared == (2, 2)
    # Both were cancelled in the middle, as when their worker is killed: what they lent is gone.
    write(shop)
    await shop.copy(first)
    write(shop)
    await shop.copy(second)
    own = snapshot(shop, first), snapshot(shop, second)
    assert own[0] != own[1]

    async with shop.mirrors():
        write(shop)
        await shop.copy_all()
        await shop.caught_up()
    found = [Snapshot.parse(snapshot(shop, unit)) for unit in (first, second, third, *rest)]

    assert earliest(found) == Snapshot.parse(own[0])
    assert shop.differences() == {}


async def test_the_snapshot_outlives_the_range_that_took_it(shop: Shop) -> None:
    """A lends to B and dies; B lends A's on to C. Writes in between reach Limitless through the journal."""
    await shop.start()
    first, second, third, *_ = ranges(shop)
    async with slowly(shop, first) as lender:
        write(shop)
        async with slowly(shop, second) as heir:
            lender.cancel()
            await asyncio.gather(lender, return_exceptions=True)
            write(shop)
            await shop.copy(third)
            shop.classic.execute("SELECT pg_notify('nothing', '')")
            await _ended(heir, shop)
    assert snapshot(shop, third) == snapshot(shop, second)
    row = shop.classic.execute(
        "SELECT min(keep_xid) <= %s FROM migrator.hold", (Snapshot.parse(snapshot(shop, third)).xmin,)
    ).fetchone()
    assert row == (True,)

    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()

    assert shop.differences() == {}


async def _ended(task: asyncio.Task[None], shop: Shop) -> None:
    async def done() -> bool:
        return task.done()

    await until(done, "the copy goes on without its limit")
    assert task.exception() is None


async def test_a_lender_that_was_superseded_lends_nothing(shop: Shop) -> None:
    """Its hold is gone, so the journal may be: a new range takes its own snapshot."""
    await shop.start()
    first, second, *_ = ranges(shop)
    async with slowly(shop, first):
        lent = shop.classic.execute("SELECT exported FROM migrator.copy_snapshot").fetchone()
        assert lent is not None
        shop.classic.execute("DELETE FROM migrator.hold")
        write(shop)
        await shop.copy(second)
        row = shop.classic.execute(
            "SELECT keep_xid >= pg_snapshot_xmin(%s::pg_snapshot)::text::bigint - 1 FROM migrator.hold",
            (snapshot(shop, second),),
        ).fetchone()

    assert row == (True,)

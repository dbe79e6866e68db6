"""Ranges of a huge tenant are copied at one snapshot while any of them runs; the hand-over takes the earliest."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import pytest

from migrator.dataplane.backfill.copy import Progress, copy_unit
from migrator.model.position import Snapshot, earliest
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import TIMEOUT_S

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

HUGE = {"split_rows": 60}


class Held:
    """A copy that stands still at its first block, with its snapshot open, until it is told to go on or to die."""

    def __init__(self, shop: Shop, unit: str) -> None:
        self.begun, self._told, self._dies = threading.Event(), threading.Event(), False
        copy = copy_unit(shop.classic_dsn, shop.limitless_dsn, unit, "held", self._block)
        self._task = asyncio.create_task(asyncio.to_thread(asyncio.run, copy))  # it stops its own loop only

    def _block(self, _: Progress) -> None:
        self.begun.set()
        assert self._told.wait(TIMEOUT_S), "nobody let it go on"
        if self._dies:
            raise InterruptedError

    async def go_on(self) -> None:
        self._told.set()
        await asyncio.wait_for(asyncio.shield(self._task), TIMEOUT_S)

    async def die(self) -> None:
        """In the middle, as when its worker is killed."""
        self._dies = True
        self._told.set()
        await asyncio.gather(self._task, return_exceptions=True)


@contextlib.asynccontextmanager
async def held(shop: Shop, unit: str) -> AsyncIterator[Held]:
    """A copy that has begun to send rows; it dies when this is left."""
    copy = Held(shop, unit)
    try:
        assert await asyncio.to_thread(copy.begun.wait, TIMEOUT_S), "the copy has not begun"
        yield copy
    finally:
        await copy.die()


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
    async with held(shop, first):
        write(shop)
        async with held(shop, second):
            shared = shop.classic.execute("SELECT count(DISTINCT pid), count(*) FROM migrator.copy_snapshot").fetchone()
            assert shared == (2, 2)
    # Both died in the middle: what they lent is gone.
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
    async with held(shop, first) as lender:
        write(shop)
        async with held(shop, second) as heir:
            await lender.die()
            write(shop)
            await shop.copy(third)
            await heir.go_on()
    assert snapshot(shop, third) == snapshot(shop, second)
    row = shop.classic.execute(
        "SELECT min(keep_xid) <= %s FROM migrator.hold", (Snapshot.parse(snapshot(shop, third)).xmin,)
    ).fetchone()
    assert row == (True,)

    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()

    assert shop.differences() == {}


async def test_a_lender_that_was_superseded_lends_nothing(shop: Shop) -> None:
    """Its hold is gone, so the journal may be: a new range takes its own snapshot."""
    await shop.start()
    first, second, *_ = ranges(shop)
    async with held(shop, first):
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

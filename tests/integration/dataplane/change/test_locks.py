"""What a change waits for, and who never waits for it: locks, mirrors, copies, other changes, broken indexes."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from migrator.dataplane.change.apply import Applied
from migrator.dataplane.change.inspect import columns_of, index_of
from migrator.dataplane.change.progress import Moment
from migrator.errors import ClusterUnavailable, NoGo, PreconditionFailed
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import TIMEOUT_S
from tests.integration.dataplane.change.helpers import applied, differences, run

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]


async def test_waiting_for_a_lock_keeps_nobody_waiting(shop: Shop) -> None:
    """A transaction of the application that stays open delays the change, not the other statements."""
    await shop.start()
    told: list[str] = []
    busy = asyncio.Event()
    loop = asyncio.get_running_loop()

    def tell(text: str) -> None:
        told.append(text)
        if "classic" in text and "locked" in text:
            loop.call_soon_threadsafe(busy.set)

    async with shop.mirrors():
        with psycopg.connect(shop.classic_dsn) as open_one, psycopg.connect(shop.classic_dsn, autocommit=True) as other:
            open_one.execute("SELECT count(*) FROM shop.purchase")
            change = asyncio.create_task(applied(shop, "ALTER TABLE shop.purchase ADD COLUMN a int", tell=tell))
            await asyncio.wait_for(busy.wait(), TIMEOUT_S)
            # Each of them may stand behind the change, which stands behind the open one: until its try is given up.
            turns = 0
            while turns < 30 or not any("try 3 in" in text for text in told):
                statement = "UPDATE shop.purchase SET slot = slot WHERE id = %s"
                work = asyncio.to_thread(other.execute, statement, (turns % 30,))
                await asyncio.wait_for(work, TIMEOUT_S)
                turns += 1
            assert not change.done()
            open_one.rollback()
            await change

    assert "a" in columns_of(shop.limitless, "shop.purchase")


async def test_rows_that_break_a_unique_index_leave_nothing_behind(shop: Shop) -> None:
    """The invalid index of the failed build is dropped; corrected rows let the same file through."""
    await shop.start()
    text = "CREATE UNIQUE INDEX once ON shop.purchase (tenant_id, total); ALTER TABLE shop.line ADD COLUMN a int"
    shop.classic.execute("UPDATE shop.purchase SET total = 1 WHERE id IN (3, 6)")
    async with shop.mirrors():
        await shop.copy_all()
        with pytest.raises(NoGo, match="do not allow it"):
            await applied(shop, text)
        assert index_of(shop.classic, "shop", "once") is None
        assert index_of(shop.limitless, "shop", "once") is None
        shop.classic.execute("UPDATE shop.purchase SET total = id")
        assert len((await applied(shop, text)).finished) == 2
        await shop.caught_up()

    assert index_of(shop.limitless, "shop", "once") == ("shop.purchase", True)
    assert differences(shop) == {}


async def test_an_invalid_index_of_before_is_built_again(shop: Shop) -> None:
    """As a crash of the server in the middle of the build leaves it."""
    await shop.start()
    shop.classic.execute("CREATE INDEX CONCURRENTLY totals ON shop.purchase (total)")
    shop.classic.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'shop.totals'::regclass")

    async with shop.mirrors():
        await applied(shop, "CREATE INDEX totals ON shop.purchase (total)")

    assert index_of(shop.classic, "shop", "totals") == ("shop.purchase", True)
    assert index_of(shop.limitless, "shop", "totals") == ("shop.purchase", True)


async def test_an_index_that_differs_is_no_index_that_holds_already(shop: Shop) -> None:
    """The same definition is nothing to do, another one under the same name is a problem."""
    await shop.start()
    async with shop.mirrors():
        await applied(shop, "CREATE INDEX totals ON shop.purchase (total) WHERE slot > 3")
        again = await applied(shop, "CREATE INDEX CONCURRENTLY totals ON purchase USING btree (total) WHERE (slot > 3)")
        with pytest.raises(NoGo, match="an index of this name already"):
            await applied(shop, "CREATE INDEX IF NOT EXISTS totals ON shop.purchase (total)")

    assert again == Applied((), 1)


async def test_without_mirrors_it_waits_and_the_next_run_goes_on(shop: Shop) -> None:
    """The old shape may still be in somebody's hands as long as no position is newer than the change."""
    await shop.start()
    text = "ALTER TABLE shop.purchase ADD COLUMN a int DEFAULT 7"

    with pytest.raises(ClusterUnavailable, match="mirror partition 0"):
        await applied(shop, text, timeout_s=0.5)
    with pytest.raises(NoGo, match="an earlier change is not finished: add column"):
        await applied(shop, "ALTER TABLE shop.purchase ADD COLUMN b int")
    async with shop.mirrors():
        assert (await applied(shop, text)).finished == ("add column shop.purchase.a (integer)",)
        await shop.copy_all()
        await shop.caught_up()

    assert differences(shop) == {}


async def test_a_copy_that_runs_is_waited_for_and_new_ones_wait(shop: Shop) -> None:
    """Copies hold their tables for a unit; a change gets its turn although there is always another unit."""
    await shop.start()
    units = await asyncio.to_thread(shop.units)
    stop = False

    async def copies() -> None:
        while not stop:
            for unit in units:
                shop.limitless.execute("DELETE FROM migrator.copy_lease WHERE state = 'copied'")
                shop.classic.execute("UPDATE migrator.copy_unit SET state = 'pending'")
                await shop.copy(unit)

    tasks = [asyncio.create_task(copies())]
    try:
        async with shop.mirrors():
            await applied(shop, "ALTER TABLE shop.line ADD COLUMN a text DEFAULT 'x'", timeout_s=60)
    finally:
        stop = True
        await asyncio.gather(*tasks, return_exceptions=True)

    assert columns_of(shop.classic, "shop.line")["a"] == ("text", False)


async def test_one_change_at_a_time(shop: Shop) -> None:
    """The second operator is told; nothing is mixed."""
    await shop.start()

    def watch(step: str, moment: Moment) -> None:
        with pytest.raises(PreconditionFailed, match="another schema change is running"):
            run(shop, "ALTER TABLE shop.purchase ADD COLUMN b int")

    async with shop.mirrors():
        await applied(shop, "ALTER TABLE shop.purchase ADD COLUMN a int", watch=watch)

    assert "b" not in columns_of(shop.classic, "shop.purchase")

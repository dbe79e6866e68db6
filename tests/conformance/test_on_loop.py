"""An event loop and its shim: nothing of the shim blocks it, and what others do not answer keeps nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.shim import CommittedUnconfirmed
from migrator.shim.aio import AsyncRead, AsyncShim
from migrator.shim.aio.shadow import on_loop
from migrator.shim.pool import PING
from migrator.shim.shadow import Comparison, Verdict
from tests.conformance.test_cancelled import get, opened, put, told, whole
from tests.fixtures.proxy import MakeProxy
from tests.fixtures.waiting import until
from tests.integration.traffic.levels import PATIENT
from tests.integration.traffic.world import CALM, World, body, up

pytestmark = [pytest.mark.pg, pytest.mark.once]


@pytest.fixture
def front() -> Callable[..., Any]:
    """The worlds here need no front: shims are made by the tests."""
    return AsyncShim


async def moved(shim: AsyncShim) -> bool:
    return bool((await shim.run_read("t1", get(1)))[0] == "limitless")


async def test_a_classic_that_says_nothing_holds_up_no_reads_of_limitless(world: World, proxy: MakeProxy) -> None:
    """While tasks wait there for a new connection, for BEGIN on an old one, for a statement and to commit."""
    between = proxy(world.classic_dsn)
    began, stalled = asyncio.Semaphore(0), asyncio.Event()

    async def writes(w: Any) -> None:
        await put(1)(w)
        began.release()
        await stalled.wait()

    async def reads(r: Any) -> None:
        began.release()
        await stalled.wait()
        await get(1)(r)

    async with AsyncShim(between.dsn(world.classic_dsn), world.limitless_dsn, "web", settings=CALM) as shim:
        await asyncio.to_thread(up, world, "t1")
        await until(lambda: moved(shim), "reads come from limitless")
        tasks = [asyncio.create_task(shim.run_write("t1", writes)), asyncio.create_task(shim.run_read("u1", reads))]
        await began.acquire(), await began.acquire()
        await shim.run_read("u1", get(1))  # leaves a connection
        between.stall()
        stalled.set()
        tasks += [asyncio.create_task(shim.run_write("t1", put(number))) for number in (3, 4)]
        pool = shim._pools[Side.CLASSIC]
        await told(lambda: pool._places._free == pool._size - 4, "all wait for classic")

        assert [await moved(shim) for _ in range(5)] == [True] * 5
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert whole(shim)
        between.resume()


async def test_secrets_that_do_not_come_keep_the_shim_from_nothing_else(world: World) -> None:
    """Neither from telling what became of a write nor from closing, which run in threads as well."""
    comes, asked = threading.Event(), threading.Semaphore(0)
    hangs = False

    def classic() -> str:
        if hangs:
            asked.release()
            comes.wait(60)
        return world.classic_dsn

    xid = _committed(world)
    async with AsyncShim(classic, world.limitless_dsn, "web", settings=CALM) as shim:
        own = shim._back._classic
        own.give(await asyncio.to_thread(own.take, PING))  # its threads have a connection already
        hangs = True
        tasks = [asyncio.create_task(shim.run_read("u1", get(1))) for _ in range(6)]
        await asyncio.to_thread(lambda: [asked.acquire() for _ in range(4)])

        try:
            async with asyncio.timeout(30):
                assert await shim.outcome(xid) == "committed"
                await shim.close()
        finally:
            comes.set()
        await asyncio.gather(*tasks, return_exceptions=True)


def _committed(world: World) -> int:
    row = world.classic.execute("INSERT INTO app.note VALUES ('t1', 1, 'x') RETURNING pg_current_xact_id()").fetchone()
    assert row is not None
    return int(row[0])


async def test_a_write_whose_shim_is_closed_while_it_waits_is_told_as_committed(world: World) -> None:
    shim = AsyncShim(world.classic_dsn, world.limitless_dsn, "web", settings=replace(PATIENT, ack_wait_s=3.0))
    async with shim:
        await asyncio.to_thread(up, world, "t1")
        await told(lambda: shim._back._current.view.waits, "writes wait for the mirror")
        task = asyncio.create_task(shim.run_write("t1", put(1)))
        await told(lambda: shim._back._current.waiting, "the write waits")

    with pytest.raises(CommittedUnconfirmed):
        await task
    assert body(world, "t1", 1) == "hello"


async def test_an_error_whose_judge_was_not_waited_for_is_counted(world: World) -> None:
    asks, never = asyncio.Event(), asyncio.Event()

    async def fn(r: AsyncRead) -> None:
        if r.side is Side.LIMITLESS:
            await r.connection.execute("SELECT FROM app.only_on_classic")
        asks.set()
        await never.wait()

    async with opened(world) as shim:
        await asyncio.to_thread(up, world, "t1")
        await until(lambda: moved(shim), "reads come from limitless")
        task = asyncio.create_task(shim.run_read("t1", fn))
        await asks.wait()
        before = shim.stats().reads["limitless"]

        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert shim.stats().reads["limitless"] == before + 1


async def test_reads_of_both_fronts_are_compared_alike(world: World) -> None:
    """On the loop, from the thread that compares; what the loop's end cuts off is no answer."""

    async def notes(r: Any) -> Any:
        found = await r.connection.execute("SELECT body FROM app.note WHERE tenant_id = %s ORDER BY 1", ("t1",))
        return await found.fetchall()

    async def fails(r: Any) -> Any:
        await r.connection.execute("SELECT FROM app.missing")

    with world.mirror():
        async with opened(world) as shim:
            await shim.run_write("t1", put(1))
            await asyncio.to_thread(up, world, "t1")

            def compared(fn: Any, loop: asyncio.AbstractEventLoop) -> Verdict | None:
                back, closing = shim._back, threading.Event()
                assert back._shadow is not None
                comparison = Comparison(back._shadow._ask, back._evidence(), TenantId("t1"), on_loop(fn, loop))
                return comparison.run(5.0, closing)

            loop, ended = asyncio.get_running_loop(), asyncio.new_event_loop()
            ended.close()
            assert await asyncio.to_thread(compared, notes, loop) is Verdict.SAME
            assert await asyncio.to_thread(compared, fails, loop) is Verdict.SAME
            assert await asyncio.to_thread(compared, notes, ended) is Verdict.UNDECIDED
            world.limitless.execute("UPDATE app.note SET body = 'other'")
            found = await asyncio.to_thread(compared, notes, loop)
            assert found is not Verdict.REORDERED
            with pytest.raises(psycopg.errors.UndefinedTable):
                await shim.run_read("t1", fails)

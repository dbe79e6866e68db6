"""The same for asyncio: sessions do what they do in threads, and a task that is cancelled leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from migrator.errors import CommitUnknown, ReadStale, UsageError, WritesClosed
from migrator.shim import CommittedUnconfirmed
from migrator.sqlalchemy import AsyncShimSessions, for_tenant
from migrator.testing import Level, MemoryShim, Side
from tests.fixtures.waiting import until
from tests.integration.sqlalchemy.shop import Item, Order
from tests.integration.sqlalchemy.steps import CLOSED, DEADLOCK, kill, order

pytestmark = [pytest.mark.pg, pytest.mark.once, pytest.mark.asyncio(loop_scope="session")]

Sessions = AsyncShimSessions[AsyncSession]


@pytest.fixture
async def sessions(shim: MemoryShim) -> AsyncIterator[Sessions]:
    made: Sessions = AsyncShimSessions(shim)
    async with made:
        yield made


async def numbers(session: AsyncSession) -> list[int]:
    return list((await session.scalars(select(Order.id).order_by(Order.id))).all())


def free(shim: MemoryShim) -> bool:
    """Whether every connection of the shim is back."""
    return not shim._classic._out and not shim._limitless._out


async def test_writes_and_reads(shim: MemoryShim, sessions: Sessions) -> None:
    shim.move("t1", Level.LIMITLESS)
    async with sessions.write("t1") as session:
        made = Order(tenant_id="t1", id=1, items=[Item(tenant_id="t1", sku="a")])
        session.add(made)
        await session.commit()
        await session.refresh(made, ["items", "state"])
        assert ([i.sku for i in made.items], made.state) == (["a"], "new")
        async with session.begin_nested():
            session.add(order(2))
        shim.stall_mirror()
        await session.commit()
        assert shim.heard.names().count("fallback.raised") == 1, "it was acknowledged"
    async with sessions.read("t1") as session:
        assert await numbers(session) == [1, 2]
        result = await session.stream_scalars(select(Order).execution_options(yield_per=1))
        assert [o.id async for o in result] == [1, 2]
    async with sessions.write_engine("t1").begin() as conn:
        await conn.execute(insert(Order).values(tenant_id="t1", id=3))
        assert (await conn.execute(update(Order).values(total=1))).rowcount == 3
    async with sessions.read_engine("t1").connect() as conn:
        assert (await conn.scalar(select(func.count()).select_from(Order))) == 3

    async def loads(session: AsyncSession) -> list[str]:
        found = await session.scalars(select(Order).options(selectinload(Order.items)).order_by(Order.id))
        return [i.sku for o in found for i in o.items]

    assert await sessions.run_read("t1", loads) == ["a"]
    assert free(shim)


async def test_errors_are_the_shims_and_sqlalchemys(dsn: str, shim: MemoryShim, sessions: Sessions) -> None:
    async def add(session: AsyncSession) -> None:
        session.add(order(1))

    await sessions.run_write("t1", add)
    with pytest.raises(IntegrityError):
        await sessions.run_write("t1", add)
    with pytest.raises(WritesClosed):
        async with sessions.write("t1") as session:
            await session.execute(text(CLOSED))
    with pytest.raises(CommitUnknown):
        async with sessions.write("t1") as session:
            session.add(order(2))
            shim.lose_commit(committed=False)
            await session.commit()
    shim.move("t1", Level.LIMITLESS)
    with pytest.raises(ReadStale):
        async with sessions.read("t1") as session:
            await numbers(session)
            shim.move("t1", Level.CLASSIC)
    with pytest.raises(UsageError, match="in a read"):
        async with sessions.read("t1") as session:
            await session.execute(select(Order).with_for_update())
    with pytest.raises(UsageError, match="not known for which tenant"):
        async with sessions.write() as session:
            await numbers(session)
    async with sessions.write("t1") as session:
        await asyncio.to_thread(kill, dsn, await session.scalar(text("SELECT pg_backend_pid()")))
        with pytest.raises(OperationalError):
            await numbers(session)
        await session.rollback()
        assert await numbers(session) == [1]
    shim.move("t1", Level.LIMITLESS)
    with pytest.raises(CommittedUnconfirmed):
        async with sessions.write("t1") as session:
            session.add(order(3))
            await session.flush()
            shim.stall_mirror()
            shim.clock.call_later(0.1, lambda: shim.lose(Side.CLASSIC))
            await session.commit()
    shim.restore(Side.CLASSIC)
    assert free(shim)


async def test_what_is_run_is_tried_again(shim: MemoryShim, sessions: Sessions) -> None:
    tries: list[str] = []

    async def deadlocks_once(session: AsyncSession) -> Order:
        made = order(1)
        session.add(made)
        await session.flush()
        tries.append("write")
        if len(tries) == 1:
            await session.execute(text(DEADLOCK))
        return made

    assert (await sessions.run_write("t1", deadlocks_once)).state == "new"
    assert len(tries) == 2

    shim.move("t1", Level.LIMITLESS)

    async def moves_once(session: AsyncSession) -> list[int]:
        found = await numbers(session)
        if len(tries) == 2:
            tries.append("read")
            shim.move("t1", Level.CLASSIC)
        return found

    assert await sessions.run_read("t1", moves_once) == [1]
    assert shim.heard.sides("t1") == [Side.LIMITLESS, Side.CLASSIC]
    with pytest.raises(DBAPIError):
        await sessions.run_read("t1", lambda s: s.execute(text("SELECT 1 / 0")))
    assert free(shim)


async def test_a_cancellation_from_inside_is_one(shim: MemoryShim, sessions: Sessions) -> None:
    async def waits_for_what_was_cancelled(session: AsyncSession) -> None:
        await numbers(session)
        other = asyncio.ensure_future(asyncio.Event().wait())
        other.cancel()
        await other

    with pytest.raises(asyncio.CancelledError):
        await sessions.run_read("t1", waits_for_what_was_cancelled)
    assert free(shim)


async def test_a_caller_and_its_tenant_go_with_the_task(shim: MemoryShim, sessions: Sessions) -> None:
    shim.move("1", Level.LIMITLESS)
    shim.move("2", Level.LIMITLESS)
    shim.stall_mirror()

    async def request(tenant: int) -> tuple[str, list[int]]:
        with for_tenant(tenant):
            mine = sessions.session()
            async with mine.write() as session:
                session.add(order(tenant, str(tenant)))
                await asyncio.sleep(0)  # a turn of the loop for the other task
                await session.commit()
            async with mine.read() as session:
                found = await session.scalars(select(Order.id).where(Order.tenant_id == str(tenant)))
                return mine.token, list(found.all())

    (token, one), (_, two) = await asyncio.gather(request(1), request(2))
    assert (one, two) == ([1], [2])
    assert len(await sessions.session(token).run_read("1", numbers)) == 2
    assert set(shim.heard.sides("1")) == {Side.CLASSIC}
    assert "fallback.raised" not in shim.heard.names()


async def sleeping(dsn: str) -> list[Any]:
    def look() -> list[Any]:
        with psycopg.connect(dsn, autocommit=True) as conn:
            return conn.execute(
                "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active'"
                " AND pid <> pg_backend_pid() AND datname = current_database()"
            ).fetchall()

    return await asyncio.to_thread(look)


async def run_and_cancel(dsn: str, work: Coroutine[Any, Any, object]) -> None:
    """Cancel *work* while its statement runs; return when it has ended."""
    task = asyncio.ensure_future(work)
    await until(lambda: sleeping(dsn), "its statement runs")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


SLEEP = text("SELECT pg_sleep(60)")


async def test_a_cancelled_statement_is_ended_and_rolled_back(dsn: str, shim: MemoryShim, sessions: Sessions) -> None:
    async def writes() -> None:
        async with sessions.write("t1") as session:
            session.add(order(1))
            await session.flush()
            await session.execute(SLEEP)

    async def runs_a_write(session: AsyncSession) -> None:
        session.add(order(2))
        await session.execute(SLEEP)

    async def core() -> None:
        async with sessions.write_engine("t1").begin() as conn:
            await conn.execute(insert(Order).values(tenant_id="t1", id=3))
            await conn.execute(SLEEP)

    async def reads() -> None:
        async with sessions.read("t1") as session:
            await session.execute(SLEEP)

    works: list[Callable[[], Coroutine[Any, Any, object]]] = [
        writes, lambda: sessions.run_write("t1", runs_a_write), core, reads,
        lambda: sessions.run_read("t1", lambda s: s.execute(SLEEP)),
    ]  # fmt: skip
    for work in works:
        await run_and_cancel(dsn, work())
        assert await sleeping(dsn) == [], "it does not go on"
        assert free(shim), "its connection is back"
    assert await sessions.run_read("t1", numbers) == []


async def test_a_commit_that_was_sent_is_waited_for(dsn: str, shim: MemoryShim, sessions: Sessions) -> None:
    """Else nobody could tell what became of it; the write is there, and acknowledged."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            "CREATE FUNCTION app.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(7);"
            " RETURN NULL; END $$; CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON app.orders DEFERRABLE INITIALLY"
            " DEFERRED FOR EACH ROW EXECUTE FUNCTION app.slow(); SELECT pg_advisory_lock(7)"
        )

        async def commits() -> None:
            async with sessions.write("t1") as session:
                session.add(order(1))
                await session.commit()

        async def waiting() -> bool:
            found = conn.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone()
            return found == (1,)

        task = asyncio.ensure_future(commits())
        await until(waiting, "COMMIT waits for the lock")
        task.cancel()
        await asyncio.sleep(0)  # a turn of the loop for the other task
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=0.1)
        assert not done
        conn.execute("SELECT pg_advisory_unlock(7)")
        with pytest.raises(asyncio.CancelledError):
            await task
    assert free(shim)
    assert await sessions.run_read("t1", numbers) == [1]


async def test_a_cancelled_wait_for_a_connection_takes_none(shim: MemoryShim, sessions: Sessions) -> None:
    held = [sessions.write("t1") for _ in range(4)]
    for session in held:
        await numbers(session)
    tasks = [asyncio.ensure_future(numbers(sessions.write("t1"))) for _ in range(3)]

    async def waits() -> bool:
        free: Any = shim._classic._free
        return bool(free._waiting == 3)

    await until(waits, "three wait")
    for task in tasks:
        task.cancel()
    for session in held:
        await session.close()
    for task in tasks:
        with pytest.raises(asyncio.CancelledError):
            await task
    assert free(shim)


async def test_waiting_writes_keep_no_read_out(shim: MemoryShim, sessions: Sessions) -> None:
    """More tasks than connections, each of which waits for the one before: none is kept out by a lack of threads."""

    async def work(number: int) -> int:
        async def add(session: AsyncSession) -> None:
            session.add(order(number))

        await sessions.run_write("t1", add)
        return len(await sessions.run_read("t1", numbers))

    found = await asyncio.gather(*(work(n) for n in range(30)))
    assert max(found) == 30
    assert free(shim)

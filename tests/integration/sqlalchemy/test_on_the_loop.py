"""Asynchronous sessions on AsyncShim, on real servers: what they promise, and a task that is cancelled at any await."""

from __future__ import annotations

import asyncio
import gc
import types
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from typing import Any

import psycopg
import pytest
from sqlalchemy import delete, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from migrator.errors import CommitUnknown, ReadStale, UsageError, WritesClosed
from migrator.model.route import FallbackScope, Level
from migrator.model.side import Side
from migrator.shim import AsyncShim
from migrator.shim.acknowledge import CommittedUnconfirmed
from migrator.sqlalchemy import AsyncShimSessions
from migrator.traffic.route.fallback import raise_fallback
from migrator.traffic.route.move import move
from tests.fixtures.waiting import until
from tests.integration.sqlalchemy.steps import CLOSED, DEADLOCK, kill
from tests.integration.sqlalchemy.test_on_real_servers import PATIENT, Note
from tests.integration.traffic.world import World, body, end, ids, up

pytestmark = [pytest.mark.pg, pytest.mark.once, pytest.mark.asyncio(loop_scope="session")]

Sessions = AsyncShimSessions[AsyncSession]
SIZE = 3


@pytest.fixture
async def shim(world: World) -> AsyncIterator[AsyncShim]:
    async with AsyncShim(world.classic_dsn, world.limitless_dsn, "web", pool_size=SIZE, settings=PATIENT) as made:
        yield made


@pytest.fixture
async def sessions(shim: AsyncShim) -> AsyncIterator[Sessions]:
    made: Sessions = AsyncShimSessions(shim)
    async with made:
        yield made


def note(number: int, said: str = "x") -> Note:
    return Note(tenant_id="t1", id=number, body=said)


async def bodies(session: AsyncSession) -> dict[int, str | None]:
    found = await session.scalars(select(Note).where(Note.tenant_id == "t1"))
    return {made.id: made.body for made in found}


async def where(session: AsyncSession) -> tuple[str, dict[int, str | None]]:
    return str(await session.scalar(text("SELECT pg_catalog.current_database()"))), await bodies(session)


def held(shim: AsyncShim) -> list[Any]:
    """What of the pools is not back."""
    return [
        (side, pool._out, pool._places._free)
        for side, pool in shim._pools.items()
        if pool._out or pool._places._free != SIZE
    ]


async def reads_classic(shim: AsyncShim) -> None:
    current = shim._back._current

    async def look() -> bool:
        return current.view.level(ids("t1")[0]) is Level.CLASSIC

    await until(look, "the process knows that its tenant's reads went back")


async def each_is_lent_once(sessions: Sessions) -> None:
    """As many sessions at once as there are connections; each has one of its own, in a transaction of its own."""
    together = asyncio.Barrier(SIZE)

    async def one(number: int) -> tuple[int, str]:
        async with sessions.write("t1") as session:
            await session.execute(text(f"SET LOCAL app.who = '{number}'"))
            await together.wait()
            who = await session.scalar(text("SELECT current_setting('app.who')"))
            return await session.scalar(text("SELECT pg_backend_pid()")) or 0, str(who)

    found = await asyncio.gather(*(one(number) for number in range(SIZE)))
    assert len({pid for pid, _ in found}) == SIZE
    assert [who for _, who in found] == [str(number) for number in range(SIZE)]


async def test_a_session_lives_through_the_whole_migration(world: World, shim: AsyncShim, sessions: Sessions) -> None:
    classic, limitless = (c.info.dbname for c in (world.classic, world.limitless))
    with world.mirror():
        async with sessions.write("t1") as session:
            session.add(note(1))
            await session.commit()
            async with session.begin_nested():
                session.add(note(2))
            await session.commit()
        assert await sessions.run_read("t1", where) == (classic, {1: "x", 2: "x"})
        await asyncio.to_thread(up, world, "t1")
        async with sessions.write("t1") as session, session.begin():
            (await session.get_one(Note, ("t1", 1))).body = "y"
        assert await sessions.run_read("t1", where) == (limitless, {1: "y", 2: "x"})
        async with sessions.read("t1") as session:
            result = await session.stream_scalars(select(Note).order_by(Note.id).execution_options(yield_per=1))
            assert [made.id async for made in result] == [1, 2]
            with pytest.raises(UsageError, match="in a read"):
                await session.execute(select(Note).with_for_update())
            await session.rollback()
            with pytest.raises(UsageError, match="in a read"):
                await session.execute(text("DELETE FROM app.note"))
        async with sessions.write_engine("t1").begin() as conn:
            await conn.execute(insert(Note), [{"tenant_id": "t1", "id": n, "body": "z"} for n in range(3, 6)])
            assert (await conn.execute(delete(Note).where(Note.id > 3))).rowcount == 2
        async with sessions.read_engine("t1").connect() as conn:
            assert (await conn.execute(select(Note.id).order_by(Note.id))).scalars().all() == [1, 2, 3]
        mine = sessions.session()
        async with mine.write("t1") as session:
            session.add(note(4))
            await session.commit()
        assert 4 in await sessions.session(mine.token).run_read("t1", bodies)

        with pytest.raises(ReadStale):
            async with sessions.read("t1") as session:
                assert (await where(session))[0] == limitless
                await asyncio.to_thread(move, world.classic, ids("t1"), Level.CLASSIC, who="test", reason="test")
                await reads_classic(shim)
        assert (await sessions.run_read("t1", where))[0] == classic
        await asyncio.to_thread(up, world, "t1")
        await asyncio.to_thread(raise_fallback, world.classic, FallbackScope.ALL, "", by="test", reason="test")
        await reads_classic(shim)
        assert (await sessions.run_read("t1", where))[0] == classic
    async with sessions.write("t1") as session:
        await asyncio.to_thread(end, world, shim._back)
        session.add(note(9))
        await session.commit()
        assert (await where(session))[0] == limitless
    assert held(shim) == []
    await each_is_lent_once(sessions)


async def test_errors_are_the_shims_and_sqlalchemys(world: World, shim: AsyncShim, sessions: Sessions) -> None:
    tries: list[str] = []

    async def add(session: AsyncSession) -> Note:
        made = note(1)
        session.add(made)
        await session.flush()
        tries.append("write")
        if len(tries) == 1:
            await session.execute(text(DEADLOCK))
        return made

    assert (await sessions.run_write("t1", add)).body == "x"
    assert len(tries) == 2
    with pytest.raises(IntegrityError):
        await sessions.run_write("t1", add)
    with pytest.raises(WritesClosed):
        async with sessions.write("t1") as session:
            await session.execute(text(CLOSED))
    with pytest.raises(UsageError, match="not known for which tenant"):
        async with sessions.write() as session:
            await bodies(session)
    async with sessions.write("t1") as session:
        await asyncio.to_thread(kill, world.classic_dsn, await session.scalar(text("SELECT pg_backend_pid()")))
        with pytest.raises(OperationalError):
            await bodies(session)
        await session.rollback()
        assert await bodies(session) == {1: "x"}
    said: list[Any] = []

    async def prepare(conn: psycopg.AsyncConnection[Any], side: Side) -> None:
        said.append((side, await (await conn.execute("SELECT 1")).fetchone()))

    prepared: Sessions = AsyncShimSessions(shim, configure=prepare)  # type: ignore[arg-type]  # of this front
    async with prepared, prepared.write("t1") as session:
        await bodies(session)
    assert said == [(Side.CLASSIC, (1,))]
    assert held(shim) == []


async def test_a_session_that_was_forgotten_gives_its_connection_back(shim: AsyncShim, sessions: Sessions) -> None:
    async def forget(made: AsyncSession) -> None:
        await bodies(made)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.freeze()  # what other tests left is not looked through
        try:
            for _ in range(SIZE + 1):  # more than there are
                await forget(sessions.write("t1"))
                gc.collect()
                await asyncio.sleep(0)  # a turn of the loop: what was collected is given back
                await asyncio.sleep(0)  # a turn of the loop: what was collected is given back
        finally:
            gc.unfreeze()
    assert held(shim) == []


@types.coroutine
def cancelled_at(number: int, work: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run *work*, and cancel the task at its *number*th await that waits; return what it returns."""
    task, seen, steps = asyncio.current_task(), 0, work.__await__()
    assert task is not None
    sent: BaseException | None = None
    while True:
        try:
            waits = steps.throw(sent) if sent is not None else steps.send(None)
        except StopIteration as over:
            return over.value
        seen += 1
        if seen == number:
            task.cancel()
        sent = None
        try:
            yield waits
        except BaseException as error:
            sent = error


async def at_every_await(work: Callable[[], Awaitable[object]], then: Callable[[BaseException | None], Any]) -> int:
    """Run *work* again and again, cancelled one await later each time, until it is not; return how often."""
    for number in range(1, 200):

        async def run() -> None:
            await work()

        async def stepped(number: int = number) -> None:
            await cancelled_at(number, run())

        task = asyncio.ensure_future(stepped())
        await asyncio.wait([task])
        error: BaseException | None = None
        try:
            await task
        except asyncio.CancelledError as cancelled:
            error = cancelled
        await then(error)
        if error is None:
            return number
    raise AssertionError("it never came to its end")


async def settled(shim: AsyncShim) -> None:
    """Let what SQLAlchemy closes in tasks of its own come to its end."""
    others = {t for t in asyncio.all_tasks() if t is not asyncio.current_task() and "close" in repr(t.get_coro())}
    if others:
        await asyncio.wait(others)
    assert held(shim) == []


async def test_a_write_that_is_cancelled_at_any_await(world: World, shim: AsyncShim, sessions: Sessions) -> None:
    """Its connection comes back or ends, and what is said of its commit is true."""
    done: list[int] = []

    async def work() -> None:
        async with sessions.write("t1") as session:
            session.add(note(1000 + len(done)))
            await session.flush()
            async with session.begin_nested():
                await bodies(session)
            await session.commit()

    async def then(error: BaseException | None) -> None:
        await settled(shim)
        there = body(world, "t1", 1000 + len(done)) is not None
        done.append(there)
        if error is None or isinstance(error, CommittedUnconfirmed):
            assert there
        elif not isinstance(error, CommitUnknown):
            assert not there, "a cancellation alone says that nothing happened"

    with world.mirror():
        await asyncio.to_thread(up, world, "t1")
        assert await at_every_await(work, then) > 4
        done.append(0)
        await each_is_lent_once(sessions)


async def test_a_read_that_is_cancelled_at_any_await(world: World, shim: AsyncShim, sessions: Sessions) -> None:
    async def streams() -> None:
        async with sessions.read("t1") as session:
            result = await session.stream_scalars(select(Note).execution_options(yield_per=1))
            async for _ in result:
                pass

    async def runs() -> None:
        await sessions.run_read("t1", bodies)

    async def core() -> None:
        async with sessions.read_engine("t1").connect() as conn:
            await conn.execute(select(Note))

    async def then(error: BaseException | None) -> None:
        await settled(shim)

    with world.mirror():
        async with sessions.write("t1") as session, session.begin():
            session.add_all([note(1), note(2)])
        await asyncio.to_thread(up, world, "t1")
        for work in (streams, runs, core):
            assert await at_every_await(work, then) > 2
        await each_is_lent_once(sessions)
        assert await sessions.run_read("t1", bodies) == {1: "x", 2: "x"}
        assert not shim._back._breakers.states()

"""Tasks that are cancelled wherever they wait: what became of a write is known or said, and nothing is leaked."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from migrator.errors import CommitUnknown, UsageError
from migrator.model.side import Side
from migrator.shim import CommittedUnconfirmed, Settings
from migrator.shim.aio import AsyncRead, AsyncShim, AsyncWrite, CommitInterrupted, UnconfirmedInterrupted
from migrator.shim.aio.link import AsyncLink
from tests import ROOT
from tests.fixtures.proxy import MakeProxy
from tests.fixtures.waiting import until
from tests.integration.traffic.levels import PATIENT
from tests.integration.traffic.world import CALM, World, body, up

pytestmark = [pytest.mark.pg, pytest.mark.once]


@pytest.fixture(params=["asyncio"])
def front(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """The worlds here need no front: shims are made by the tests."""
    return AsyncShim


@asynccontextmanager
async def opened(world: World, settings: Settings = CALM, **options: Any) -> AsyncIterator[AsyncShim]:
    async with AsyncShim(world.classic_dsn, world.limitless_dsn, "web", settings=settings, **options) as shim:
        yield shim
        assert whole(shim)


def whole(shim: AsyncShim) -> bool:
    """Whether every connection and every place is back, and nobody waits."""
    pools = shim._pools.values()
    lent = [link for pool in pools for link in pool._out]
    free = [pool._places._free == pool._size for pool in pools]
    return not lent and all(free) and not shim._back._current.waiting and not shim._back._inflight._flights


def put(number: int, text: str = "hello") -> Callable[[AsyncWrite], Awaitable[None]]:
    async def fn(w: AsyncWrite) -> None:
        await w.connection.execute("INSERT INTO app.note VALUES ('t1', %s, %s)", (number, text))

    return fn


def get(number: int) -> Callable[[AsyncRead], Awaitable[Any]]:
    async def fn(r: AsyncRead) -> Any:
        found = await r.connection.execute("SELECT body FROM app.note WHERE tenant_id = 't1' AND id = %s", (number,))
        return str(r.side), await found.fetchone()

    return fn


async def sleeps(block: Any) -> None:
    await block.connection.execute("SELECT pg_sleep(600) /* of the test */")


def sleeping(world: World, side: Side = Side.CLASSIC) -> int:
    conn = world.classic if side is Side.CLASSIC else world.limitless
    row = conn.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
        " AND query LIKE '%of the test%' AND datname = current_database()"
    ).fetchone()
    assert row is not None
    return int(row[0])


async def told(look: Callable[[], Any], what: str) -> None:
    async def asked() -> Any:
        return look()

    await until(asked, what)


@pytest.mark.parametrize("block", ["read", "write"])
async def test_a_statement_ends_with_its_task(world: World, block: str) -> None:
    async with opened(world) as shim:
        run: Any = shim.run_read if block == "read" else shim.run_write
        task = asyncio.create_task(run("t1", sleeps))
        await told(lambda: sleeping(world), "the statement runs")

        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task

        assert type(caught.value) is asyncio.CancelledError
        assert not sleeping(world), "the server has ended it too"
        assert whole(shim)
        assert not shim.stats().failures, "an impatient caller is no fault of the server's"
        await shim.run_write("t1", put(1))
    assert body(world, "t1", 1) == "hello"


async def test_a_write_that_is_cancelled_before_commit_did_not_happen(world: World) -> None:
    async with opened(world) as shim:
        begun, never = asyncio.Event(), asyncio.Event()

        async def fn(w: AsyncWrite) -> None:
            await put(1)(w)
            begun.set()
            await never.wait()

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as bound:
                running = asyncio.create_task(begun.wait())
                running.add_done_callback(lambda _: bound.reschedule(0))
                await shim.run_write("t1", fn)

    assert body(world, "t1", 1) is None


async def test_a_task_that_is_cancelled_during_commit_learns_that_the_outcome_is_unknown(
    world: World, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    between, sent = proxy(world.classic_dsn), asyncio.Event()
    world.classic_dsn = between.dsn(world.classic_dsn)
    finishing = AsyncLink.finishing

    def stalled(link: AsyncLink, how: str, *args: Any) -> Any:
        if how == "COMMIT" and isinstance(link, AsyncLink):
            between.stall()
            sent.set()
        return finishing(link, how, *args)

    async with opened(world) as shim, shim.session() as session:
        monkeypatch.setattr(AsyncLink, "finishing", stalled)
        task = asyncio.create_task(session.run_write("t1", put(1)))
        await sent.wait()
        await asyncio.sleep(0)  # the message goes out

        task.cancel()
        with pytest.raises(CommitUnknown) as caught:
            await task
        monkeypatch.undo()
        between.resume()

        assert isinstance(caught.value, CommitInterrupted) and isinstance(caught.value, asyncio.CancelledError)
        assert task.cancelled()
        xid = caught.value.xid
        assert xid is not None
        assert str(session._chain.token).startswith("m1") and session._chain.token.writes, "its session asks for it"
        assert whole(shim) and not shim._pools[Side.CLASSIC]._idle, "the connection is not lent again"
        await told(lambda: _ended(world, xid), "its outcome can be asked for")
        happened = await shim.outcome(xid) == "committed"
    assert body(world, "t1", 1) == ("hello" if happened else None)


def _ended(world: World, xid: int) -> bool:
    row = world.classic.execute("SELECT pg_xact_status(%s::text::xid8)", (str(xid),)).fetchone()
    assert row is not None
    return str(row[0]) != "in progress"


async def test_a_task_that_is_cancelled_while_it_waits_for_the_mirror_has_committed(world: World) -> None:
    async with opened(world, replace(PATIENT, staleness_s=60.0)) as shim:
        await asyncio.to_thread(up, world, "t1")
        await told(lambda: shim._back._current.view.waits, "writes wait for the mirror")
        task = asyncio.create_task(shim.run_write("t1", put(1)))
        await told(lambda: shim._back._current.waiting, "the write waits")

        task.cancel()
        with pytest.raises(CommittedUnconfirmed) as caught:
            await task

        assert isinstance(caught.value, UnconfirmedInterrupted) and task.cancelled()
        assert shim.stats().writes["everywhere"].unconfirmed == 1
        assert body(world, "t1", 1) == "hello"


async def test_one_that_waits_for_a_connection_takes_none_along(world: World) -> None:
    async with opened(world, pool_size=1) as shim:
        async with shim.read("t1"):
            tasks = [asyncio.create_task(shim.run_read("t1", get(1))) for _ in range(4)]
            await told(lambda: len(shim._pools[Side.CLASSIC]._places._queue) == 4, "they wait")
            tasks[0].cancel()
            tasks[2].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)

        assert [isinstance(each, asyncio.CancelledError) for each in found] == [True, False, True, False]


async def test_a_silent_server_holds_up_no_other_task(world: World, proxy: MakeProxy) -> None:
    between = proxy(world.limitless_dsn)
    settings = replace(CALM, read_timeout_s=600.0, failures=1, open_s=600.0)
    async with AsyncShim(world.classic_dsn, between.dsn(world.limitless_dsn), "web", settings=settings) as shim:
        await asyncio.to_thread(up, world, "t1")

        async def moved() -> bool:
            return bool((await shim.run_read("t1", get(1)))[0] == "limitless")

        await until(moved, "reads come from limitless")
        between.stall()
        stuck = asyncio.create_task(shim.run_read("t1", get(1)))
        await told(lambda: shim._pools[Side.LIMITLESS]._out, "it waits for limitless")

        for number in range(3):
            await shim.run_write("u1", put(number))
            assert (await shim.run_read("u1", get(number)))[0] == "classic"
        assert not stuck.done()

        await asyncio.sleep(0.3)  # longer than a server takes to begin a transaction; see migrator.shim.pool.SILENT_S
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)
        assert whole(shim)
        assert (await shim.run_read("t1", get(1)))[0] == "classic", "callers in a hurry find a silent server out, too"
        between.resume()


async def test_a_thousand_tasks_share_eight_connections(world: World) -> None:
    async with opened(world, pool_size=8) as shim:
        await asyncio.gather(*(shim.run_write("t1", put(number)) for number in range(80)))
        found = await asyncio.gather(*(shim.run_read("t1", get(number % 80)) for number in range(1000)))

        assert Counter(found) == {("classic", ("hello",)): 1000}
        row = world.classic.execute("SELECT count(*) FROM app.note").fetchone()
        assert row == (80,)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
async def test_whenever_tasks_are_cancelled_each_knows_what_it_did(world: World, seed: int) -> None:
    dice = random.Random(seed)
    async with opened(world, pool_size=4) as shim, asyncio.TaskGroup() as group:
        await asyncio.to_thread(up, world, "t1")
        stop = asyncio.Event()
        group.create_task(_mirror(world, stop))
        known: Counter[str] = Counter()
        wrong: list[str] = []

        async def write(number: int) -> None:
            what = "returned"
            try:
                async with asyncio.timeout(dice.choice([None, 0.0, dice.uniform(0, 0.1)])):
                    try:
                        await shim.run_write("t1", put(number))
                    except CommitInterrupted:
                        what = "unknown"
                        raise
                    except UnconfirmedInterrupted:
                        what = "committed"
                        raise
                    except asyncio.CancelledError:
                        what = "cancelled"
                        raise
            except (TimeoutError, asyncio.CancelledError):
                pass
            known[what] += 1
            await outcomes.put((number, what))

        async def read(number: int) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(dice.uniform(0, 0.05)):
                    await shim.run_read("t1", get(number))

        outcomes: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        await asyncio.gather(*(write(n) if n % 3 else read(n) for n in range(150)))
        stop.set()
        while not outcomes.empty():
            number, what = outcomes.get_nowait()
            there = body(world, "t1", number) is not None
            if (what in ("returned", "committed") and not there) or (what == "cancelled" and there):
                wrong.append(f"{number} was {what}, there: {there}")

        assert not wrong
        assert known["returned"] and known["cancelled"]
        row = world.classic.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'migrator-shim:web'"
            " AND datname = current_database() AND state LIKE 'idle in%'"
        ).fetchone()
        assert row == (0,)


async def _mirror(world: World, stop: asyncio.Event) -> None:
    with world.mirror():
        await stop.wait()


async def test_what_another_task_of_a_block_says_late_is_refused(world: World) -> None:
    async with opened(world) as shim:
        go, late = asyncio.Event(), None

        async def straggler(w: AsyncWrite) -> None:
            await go.wait()
            await put(2)(w)

        async with shim.write("t1") as w:
            await put(1)(w)
            late = asyncio.create_task(straggler(w))
            await asyncio.sleep(0)  # a turn of the loop: the task begins
        go.set()
        with pytest.raises(psycopg.OperationalError, match="went back to the pool"):
            await late

        with pytest.raises(ZeroDivisionError):
            async with shim.write("t1") as w:
                other = asyncio.create_task(sleeps(w))
                await told(lambda: sleeping(world), "the other one's statement runs")
                await asyncio.gather(_fails(), other)
        with pytest.raises((psycopg.Error, asyncio.CancelledError)):
            await other

    assert (body(world, "t1", 1), body(world, "t1", 2)) == ("hello", None)


async def _fails() -> None:
    raise ZeroDivisionError


async def test_a_shim_belongs_to_one_event_loop(world: World) -> None:
    async with opened(world) as shim:

        async def elsewhere() -> None:
            await shim.run_read("t1", get(1))

        with pytest.raises(UsageError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, elsewhere())
        with pytest.raises(UsageError, match="open already"):
            await shim.open()
    with pytest.raises(UsageError, match="not open"):
        shim.read("t1")


async def test_a_shim_whose_opening_is_cancelled_leaves_nothing_behind(world: World, proxy: MakeProxy) -> None:
    between = proxy(world.classic_dsn)
    between.stall()
    shim = AsyncShim(between.dsn(world.classic_dsn), world.limitless_dsn, "web", settings=CALM)
    opening = asyncio.create_task(shim.open())
    await told(lambda: between.connections, "it asks classic")

    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    between.resume()

    await told(lambda: _processes(world) == 0 and not between.connections, "what opened late is closed again")


def _processes(world: World) -> int:
    row = world.classic.execute("SELECT count(*) FROM migrator.process").fetchone()
    assert row is not None
    return int(row[0])


async def test_a_loop_that_ends_without_closing_its_shim_takes_the_process_off_the_register(world: World) -> None:
    async def main() -> None:
        shim = AsyncShim(world.classic_dsn, world.limitless_dsn, "web", settings=CALM)
        await shim.open()
        await shim.run_write("t1", put(1))

    await asyncio.to_thread(asyncio.run, main())

    await told(lambda: _processes(world) == 0, "nobody counts on it any more")


async def _copy(w: AsyncWrite) -> Any:
    copy = w.connection.cursor().copy("COPY app.note FROM STDIN")
    await (await copy.__aenter__()).write_row(("t1", 9, "copied"))
    return copy


async def _stream(w: AsyncWrite) -> Any:
    rows = w.connection.cursor().stream("SELECT generate_series(1, 100000)", size=1)
    await anext(rows)
    return rows


async def _pipeline(w: AsyncWrite) -> Any:
    pipeline = w.connection.pipeline()
    await pipeline.__aenter__()
    return pipeline


@pytest.mark.parametrize("leave", [_copy, _stream, _pipeline])
async def test_what_is_left_running_is_rolled_back_and_said(
    world: World, leave: Callable[[AsyncWrite], Awaitable[Any]]
) -> None:
    async with opened(world) as shim:
        with pytest.raises(UsageError, match="the block ended"):
            async with shim.write("t1") as w:
                await put(1)(w)
                left = await leave(w)
        with suppress(psycopg.Error):
            await (left.aclose() if hasattr(left, "aclose") else left.__aexit__(None, None, None))
        await shim.run_write("t1", put(2))

    assert (body(world, "t1", 1), body(world, "t1", 9), body(world, "t1", 2)) == (None, None, "hello")


async def test_a_forked_process_opens_its_own(world: World) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.conformance.forked", world.classic_dsn, world.limitless_dsn,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    said = json.loads(out)

    assert "fork" in said["refused"]
    assert said["parent"][0] == said["parent"][1], "its connection is still its own"
    assert said["child"] not in said["parent"]
    assert said["after"] != said["before"]
    assert _processes(world) == 0

"""What the front for asyncio is made of, without a server."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.errors import CommitUnknown
from migrator.model.side import Side
from migrator.shim import CommittedUnconfirmed, Settings
from migrator.shim.aio import CommitInterrupted, UnconfirmedInterrupted
from migrator.shim.aio.news import News
from migrator.shim.aio.pool import AsyncReplicaPool, Places
from migrator.shim.aio.replicas import AsyncReadLender
from migrator.shim.current_view import CurrentView
from migrator.shim.metrics import Metrics
from migrator.shim.replica_pool import Replicas, endpoint
from migrator.shim.replicas import Health, Registry
from migrator.shim.statements import BEGIN_READ
from migrator.shim.steps import Blocking, at_once, got, within
from migrator.shim.view import View
from tests.unit.shim.test_replicas import SERVES


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


@settings(deadline=None, max_examples=40)
@given(size=st.integers(1, 4), seed=st.integers())
def test_no_place_is_lost_or_given_twice(size: int, seed: int) -> None:
    """Tasks that are cancelled, come too late or hold a place for a while, in any order."""
    dice = random.Random(seed)

    async def main() -> None:
        places, held = Places(size), 0

        async def use() -> None:
            nonlocal held
            if not await places.acquire(dice.choice([0.0, 60.0])):
                return
            held += 1
            assert held <= size
            try:
                for _ in range(dice.randrange(4)):
                    await asyncio.sleep(0)  # a turn of the loop for the other tasks
            finally:
                held -= 1
                places.release()

        tasks = [asyncio.create_task(use()) for _ in range(20)]
        while not all(task.done() for task in tasks):
            if dice.random() < 0.3:
                dice.choice(tasks).cancel()
            await asyncio.sleep(0)  # a turn of the loop for the other tasks
        assert all(task.cancelled() or task.exception() is None for task in tasks)
        assert (held, places._free, len(places._queue)) == (0, size, 0)

    run(main())


def test_places_are_given_in_turn() -> None:
    async def main() -> list[int]:
        places, order = Places(1), list[int]()
        assert await places.acquire(1)

        async def use(number: int) -> None:
            assert await places.acquire(60)
            order.append(number)
            places.release()

        tasks = [asyncio.create_task(use(number)) for number in range(5)]
        await asyncio.sleep(0)  # a turn of the loop for the other tasks
        places.release()
        await asyncio.gather(*tasks)
        return order

    assert run(main()) == [0, 1, 2, 3, 4]


def test_what_a_thread_announces_wakes_every_task_once() -> None:
    async def main() -> tuple[list[bool], int]:
        news, value, looks = News(), 0, 0
        news.reach(asyncio.get_running_loop())

        def satisfied(wanted: int) -> bool:
            nonlocal looks
            looks += 1
            return value >= wanted

        def announce() -> None:
            nonlocal value
            for value in range(1, 101):  # noqa: B007 - it is what the tasks look at
                with news:
                    news.notify_all()

        waiting = [asyncio.create_task(news.until(lambda w=wanted: satisfied(w), 60)) for wanted in (1, 50, 100)]  # type: ignore[misc]
        await asyncio.sleep(0)  # a turn of the loop for the other tasks
        thread = threading.Thread(target=announce)
        thread.start()
        thread.join()  # the loop looks after all of it
        return await asyncio.gather(*waiting), looks

    found, looks = run(main())

    assert found == [True] * 3
    assert looks == 6, "when each began to wait, and once for a hundred announcements"


def test_news_that_do_not_come_are_waited_for_no_longer_than_asked() -> None:
    async def main() -> tuple[bool, bool, int]:
        news = News()
        news.reach(asyncio.get_running_loop())
        late = await news.until(lambda: False, 0.01)
        cancelled = asyncio.create_task(news.until(lambda: False, 60))
        await asyncio.sleep(0)  # a turn of the loop for the other tasks
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        return late, cancelled.cancelled(), len(news._waiting)

    assert run(main()) == (False, True, 0)


def test_news_reach_threads_too_and_survive_their_loop() -> None:
    news, known = News(), threading.Event()

    async def leave() -> None:
        news.reach(asyncio.get_running_loop())
        waiting = asyncio.ensure_future(news.until(lambda: False, 60))
        await asyncio.sleep(0)  # a turn of the loop for the other tasks
        waiting.cancel()

    run(leave())
    loop = asyncio.new_event_loop()
    news._waiting[loop.create_future()] = lambda: False  # as a coroutine leaves it that is thrown away
    loop.close()

    def wait() -> None:
        with news:
            assert news.wait_for(lambda: done, 60)
        known.set()

    done = False
    thread = threading.Thread(target=wait)
    thread.start()
    with news:
        done = True
        news.notify_all()
    thread.join()
    assert known.is_set()


@pytest.mark.parametrize(
    ("kind", "says"), [(CommitInterrupted, CommitUnknown), (UnconfirmedInterrupted, CommittedUnconfirmed)]
)
def test_a_cancellation_that_says_more_is_both(kind: Any, says: type[Exception]) -> None:
    async def main() -> asyncio.Task[None]:
        async def write() -> None:
            try:
                await asyncio.sleep(60)  # until it is cancelled
            except asyncio.CancelledError as error:
                raise kind("t1", 7, *([0.5] if kind is UnconfirmedInterrupted else [])) from error

        task = asyncio.create_task(write())
        await asyncio.sleep(0)  # a turn of the loop for the other tasks
        task.cancel()
        with pytest.raises(says) as caught:
            await task
        assert isinstance(caught.value, asyncio.CancelledError)
        assert caught.value.xid == 7  # type: ignore[attr-defined]
        return task

    assert run(main()).cancelled()


def test_a_trial_of_a_replica_that_nobody_waits_for_leaves_it_to_the_next_read() -> None:
    """One read at a time tries a replica that was put aside; a task that is cancelled there tells nothing of it."""

    async def in_thread(fn: Any, *args: Any) -> Any:
        return fn(*args)

    def silent_pool(dsn: str) -> AsyncReplicaPool:
        bounds: dict[str, Any] = {"size": 1, "connect_timeout_s": 60, "silent_s": 60}
        return AsyncReplicaPool(Side.CLASSIC, dsn, "test", in_thread=in_thread, **bounds)

    async def main() -> tuple[bool, bool]:
        with socket.create_server(("127.0.0.1", 0)) as server:  # which says nothing
            dsn = "host={} port={} dbname=x".format(*server.getsockname())
            at, writer = endpoint(dsn, "test", 1, 1.0, "reader"), silent_pool(dsn)
            at.instance, at.health, at.lends = "r1", Health(times=1), silent_pool(dsn)
            current = CurrentView(lambda: 10.0)
            current.install(View(valid_until_s=20.0))
            everything = Replicas([at], current, Settings(replica_reads=True), Metrics())
            everything.supported = True
            everything.install(Registry("w1", {"r1": SERVES}))
            lender = AsyncReadLender(everything, writer, 0, False)
            task = asyncio.create_task(lender.taking(BEGIN_READ, None))
            await asyncio.sleep(0)  # a turn of the loop for the other tasks
            second = everything.admit(at, 10.0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return second, everything.admit(at, 10.0)

    assert run(main()) == (False, True)


def test_steps_of_the_front_for_threads_never_pause() -> None:
    async def steps() -> int:
        return await got(1) + await got(2)

    async def pauses() -> None:
        await asyncio.sleep(1)

    assert at_once(steps()) == 3
    with pytest.raises(RuntimeError, match="event loop"):
        at_once(pauses())


def test_a_block_ends_as_a_with_statement_has_it() -> None:
    ended: list[BaseException | None] = []

    class Noted(Blocking):
        def __init__(self) -> None:
            self._current = CurrentView()

        async def enter(self) -> None:
            ended.clear()

        async def leave(self, error: BaseException | None) -> None:
            ended.append(error)

    assert at_once(within(Noted(), lambda _: "found")) == "found"
    assert ended == [None]
    with pytest.raises(StopIteration):
        at_once(within(Noted(), lambda _: next(iter(()))))
    assert len(ended) == 1 and isinstance(ended[0], RuntimeError), "a coroutine lets none pass"
    with pytest.raises(RuntimeError, match="mine"):
        at_once(within(Noted(), _raises))


def _raises(_: Any) -> None:
    raise RuntimeError("mine")

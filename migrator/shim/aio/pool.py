"""The connection pool of one side, for the tasks of one event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from traceback import clear_frames
from typing import Any, Protocol, TypeVar

import psycopg

from migrator.login.source import Login
from migrator.model.side import Side
from migrator.shim.aio.lent import AsyncConn
from migrator.shim.aio.link import AsyncLink, AsyncReplicaLink
from migrator.shim.pool import BasePool, ConnectionInfo

T = TypeVar("T")


class InThread(Protocol):
    """Runs what blocks in a thread, and returns what it returns."""

    def __call__(self, fn: Callable[..., T], *args: Any) -> Awaitable[T]: ...


class Places:
    """A semaphore for tasks, first come, first served. Nothing is lost when one that waits is cancelled."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._queue: deque[asyncio.Future[bool]] = deque()

    async def acquire(self, timeout_s: float) -> bool:
        """Take a place; return whether there was one in time."""
        if self._free:
            self._free -= 1
            return True
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[bool] = loop.create_future()
        self._queue.append(mine)
        timer = loop.call_later(timeout_s, self._too_late, mine)
        try:
            return await mine
        except BaseException:
            if mine.done() and not mine.cancelled() and mine.result():
                self.release()  # it was given just before the task was cancelled
            else:
                self._forget(mine)
            raise
        finally:
            timer.cancel()

    def release(self) -> None:
        """Give a place back, to the one that waits longest."""
        while self._queue:
            longest = self._queue.popleft()
            if not longest.done():
                with suppress(RuntimeError):  # the event loop is closed, and so is the pool
                    longest.set_result(True)
                return
        self._free += 1

    def _too_late(self, mine: asyncio.Future[bool]) -> None:
        if not mine.done():
            self._forget(mine)
            mine.set_result(False)

    def _forget(self, mine: asyncio.Future[bool]) -> None:
        with suppress(ValueError):
            self._queue.remove(mine)


class AsyncPool(BasePool[AsyncLink]):
    """A pool whose callers are tasks."""

    link_type: type[AsyncLink] = AsyncLink

    def __init__(self, side: Side, dsn: ConnectionInfo, app: str, *, in_thread: InThread, **bounds: Any) -> None:
        super().__init__(side, dsn, app, **bounds)
        self._places = Places(self._size)
        self._in_thread = in_thread

    async def take(self, begin: str, *, silent_s: float | None = None) -> AsyncLink:
        """Return a connection inside a transaction that *begin* starts; as Pool.take."""
        return await self.taking(begin, silent_s)

    def _place(self) -> Awaitable[bool]:
        return self._places.acquire(self._wait_s)

    def _leave_place(self) -> None:
        self._places.release()

    async def _lend(self) -> AsyncLink:
        conn = await self._connected()
        return self.link_type(conn, self._handle(conn), self._resets)

    async def _connected(self) -> AsyncConn:
        """Return a connection, its secret read anew; as Pool has it."""
        login = Login(self._dsn)
        text: str | None = await self._told_by(login, self._asked, login)
        while True:
            assert text is not None
            try:
                return await AsyncConn.connect(**self._given(text), autocommit=True, prepare_threshold=None)
            except asyncio.CancelledError as error:
                # What was cancelled refers to the half-made connection, which would keep its place on the server until
                # the garbage collector comes.
                clear_frames(error.__traceback__)
                raise
            except psycopg.Error as error:
                text = await self._told_by(login, login.after, error)
                if text is None:
                    raise self._refused(error) from None

    async def _told_by(self, login: Login, ask: Callable[..., T], *args: Any) -> T:
        """Return what *ask* says of *login*; in a thread where it may wait for another machine."""
        return await self._in_thread(ask, *args) if login.asks_others else ask(*args)


class AsyncReplicaPool(AsyncPool):
    """Of one replica."""

    link_type = AsyncReplicaLink

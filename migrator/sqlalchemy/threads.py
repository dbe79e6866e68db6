"""Lets SQLAlchemy's asyncio front use the shim for threads: each call that may wait for a server runs in a thread.

For applications whose tasks share one shim with threads, and for tests on MemoryShim. Others take AsyncShim (loop.py).

SQLAlchemy runs its synchronous code in a greenlet and leaves it for each call that waits. A call that was begun is
waited for, also when its task is cancelled meanwhile: a connection on which a thread still works is never given back,
and a COMMIT that was sent is never left without its answer. So that a cancelled task does not wait for long, a running
statement is ended on the server; on Limitless it is not, as that would speak against Limitless, and `read_timeout_s`
bounds it.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import psycopg
from sqlalchemy.dialects import registry
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from migrator.model.side import Side
from migrator.shim import Read
from migrator.shim.between_tries import rest
from migrator.sqlalchemy.connection import BlockConnection, Configure
from migrator.sqlalchemy.dialect import AsyncDialect
from migrator.sqlalchemy.scope import Scope
from migrator.sqlalchemy.values import OneRead

T = TypeVar("T")

MOST = 512
"""Threads of each kind at most. One is made when a call finds none at rest; connections bound how many work, and a
bound below them would let those that wait for a connection keep out those that hold one."""


SENT_LOOKS = 100
"""How often, 10 ms apart, it is looked whether a statement was sent that is to be ended; then it is waited for."""


class Threads:
    """Threads by what they wait for, so that none keeps out another: writes that are closed, reads, servers."""

    def __init__(self) -> None:
        self.writes = ThreadPoolExecutor(MOST, "migrator-sqlalchemy-writes")
        self.reads = ThreadPoolExecutor(MOST, "migrator-sqlalchemy-reads")
        self.work = ThreadPoolExecutor(MOST, "migrator-sqlalchemy")

    def close(self) -> None:
        for pool in (self.writes, self.reads, self.work):
            pool.shutdown(wait=False)


def submitted(pool: Executor, fn: Callable[..., T], *args: Any) -> Future[T]:
    """Run *fn* in a thread, in the context of the caller."""
    return pool.submit(partial(contextvars.copy_context().run, fn, *args))


async def finished(done: Future[T], interrupt: Callable[[], Awaitable[object]] | None = None) -> T:
    """Return the result of *done* once it is there, also when the task is cancelled meanwhile.

    Args:
        interrupt: makes it end sooner; called once, when the task is cancelled.

    Raises:
        asyncio.CancelledError: the task was cancelled; nothing runs any more.
    """
    cancelled: asyncio.CancelledError | None = None
    future = asyncio.wrap_future(done)
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError as error:
            if future.cancelled():
                raise
            first, cancelled = cancelled is None, error
            if done.cancel():
                break  # no thread had begun with it
            if first and interrupt is not None:
                await _unless_cancelled(interrupt())
        except Exception:
            break  # its own; raised below
    if cancelled is not None:
        if not future.cancelled():
            future.exception()  # it was looked at
        raise cancelled
    return future.result()


async def _unless_cancelled(work: Awaitable[object]) -> None:
    """Wait for *work* to its end; a further cancellation changes nothing."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue
    if not task.cancelled():
        task.exception()  # what cannot be interrupted is waited for


class ThreadedConnection(BlockConnection):
    """A connection whose calls wait in threads."""

    def __init__(self, threads: Threads, configure: Configure | None = None) -> None:
        super().__init__(configure)
        self._threads = threads

    def run(self, fn: Callable[..., T], *args: Any) -> T:
        return self._run_in(self._threads.work, fn, *args)

    def open(self, scope: Scope) -> None:
        self._run_in(self._threads.reads if scope.reads else self._threads.writes, super().open, scope)

    def run_statement(self, fn: Callable[..., T], *args: Any) -> T:
        """Run a statement of the application, which is ended when the task is cancelled."""
        return self._run_in(self._threads.work, fn, *args, interrupt=self._interrupt)

    def _run_in(
        self,
        pool: Executor,
        fn: Callable[..., T],
        *args: Any,
        interrupt: Callable[[], Awaitable[object]] | None = None,
    ) -> T:
        if not in_greenlet():
            return fn(*args)  # closed by the garbage collector, where nothing can be awaited
        found: T = await_only(finished(submitted(pool, fn, *args), interrupt))
        return found

    async def _interrupt(self) -> None:
        conn = self._conn
        if conn is None or self.side is Side.LIMITLESS:
            return
        for _ in range(SENT_LOOKS):
            # A lent connection has it once its transaction begins, with the first statement; asked for earlier, it
            # would begin one beside the thread that is about to.
            if "pgconn" in vars(conn):
                await asyncio.wrap_future(submitted(self._threads.work, _cancel, conn))
                return
            await asyncio.sleep(0.01)

    def lent_cursor(self, *name: str) -> Any:
        made = self.run(self.lent_connection.cursor, *name) if name else self.lent_connection.cursor()
        return ThreadedCursor(self, made, kept=bool(name))


def _cancel(conn: psycopg.Connection[Any]) -> None:
    conn.cancel_safe(timeout=5.0)


class ThreadedCursor:
    """A cursor of psycopg. What a server keeps is fetched in threads; other results are here once they are there."""

    def __init__(self, connection: ThreadedConnection, cursor: Any, *, kept: bool) -> None:
        self._connection = connection
        self._cursor = cursor
        self._kept = kept

    def execute(self, query: Any, params: Any = None, **options: Any) -> ThreadedCursor:
        self._connection.run_statement(partial(self._cursor.execute, query, params, **options))
        return self

    def executemany(self, query: Any, params: Any, **options: Any) -> None:
        self._connection.run_statement(partial(self._cursor.executemany, query, params, **options))

    def fetchone(self) -> Any:
        return self._fetch(self._cursor.fetchone)

    def fetchmany(self, size: int = 0) -> Any:
        return self._fetch(self._cursor.fetchmany, size)

    def fetchall(self) -> Any:
        return self._fetch(self._cursor.fetchall)

    def _fetch(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self._connection.run_statement(fn, *args) if self._kept else fn(*args)

    def __iter__(self) -> Iterator[Any]:
        while (row := self.fetchone()) is not None:
            yield row

    def close(self) -> None:
        if self._kept:
            self._connection.run(self._cursor.close)
        else:
            self._cursor.close()

    async def _async_soft_close(self) -> None:
        """SQLAlchemy awaits it where it keeps the result and lets the cursor go."""

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._cursor, attribute)


class ThreadedDialect(AsyncDialect):
    """The dialect of asyncio engines on a shim for threads."""

    driver = "migrator_threads"
    supports_statement_cache = True


registry.register("postgresql.migrator_threads", "migrator.sqlalchemy.threads", "ThreadedDialect")


class InRead:
    """Runs a coroutine function of the event loop inside a read, which a thread holds open for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, make: Callable[[Read], Coroutine[Any, Any, T]]) -> None:
        self._loop = loop
        self._make = make
        self._context = contextvars.copy_context()
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False

    def __call__(self, read: Read) -> Any:
        """In the thread: return what the coroutine returns, once it has ended."""
        done: Future[Any] = Future()
        self._loop.call_soon_threadsafe(self._start, read, done)
        return done.result()

    def _start(self, read: Read, done: Future[Any]) -> None:
        if self._cancelled:
            done.set_exception(Cancelled())
            return
        self._task = task = self._loop.create_task(self._make(read), context=self._context)
        task.add_done_callback(partial(_tell, done))

    async def cancel(self) -> None:
        """End the coroutine that runs now, and let none begin."""
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()


class Cancelled(BaseException):
    """The coroutine inside a read was cancelled; no error of its own, so the read is not repeated."""


def _tell(done: Future[Any], task: asyncio.Task[Any]) -> None:
    if task.cancelled():
        done.set_exception(Cancelled())
    elif (error := task.exception()) is not None:
        done.set_exception(error)
    else:
        done.set_result(task.result())


class ThreadFront:
    """How asyncio sessions on a shim for threads wait."""

    url = "postgresql+migrator_threads://"

    def __init__(self) -> None:
        self._threads = Threads()

    def connection(self, configure: Configure) -> BlockConnection:
        return ThreadedConnection(self._threads, configure)

    async def run_read(
        self,
        shim_reads: Callable[[Callable[[Any], Any]], Any],
        func: Callable[..., object],
        run: Callable[[Any], Coroutine[Any, Any, T]],
    ) -> T:
        """Return what *run* returns for a read; *func* is where it tells errors apart by."""
        inside = InRead(asyncio.get_running_loop(), run)

        def reads(inside: Callable[[Read], T]) -> T:
            found: T = shim_reads(OneRead(func, inside))
            return found

        return await run_read(reads, inside, self._threads)

    async def rest(self, shim: Any, tries: int) -> None:
        """Wait before another try."""
        await finished(submitted(self._threads.writes, rest, shim, tries))

    def close(self) -> None:
        """Let the threads end."""
        self._threads.close()


async def run_read(shim_reads: Callable[[Callable[[Read], T]], T], inside: InRead, threads: Threads) -> T:
    """Return what *shim_reads* returns for *inside*; the coroutine is cancelled with the task."""

    def work() -> T:
        try:
            return shim_reads(inside)
        except Cancelled:
            raise asyncio.CancelledError from None  # by its caller, or by what it waited for: as without a thread

    return await finished(submitted(threads.reads, work), inside.cancel)

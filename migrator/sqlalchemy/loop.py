"""Lets SQLAlchemy's asyncio front use the shim for asyncio: what waits for a server leaves SQLAlchemy's greenlet.

Nothing here waits in another way, and what a cancelled task leaves behind is settled by the shim's blocks: a statement
is ended on its server, a COMMIT that was interrupted is said to be in doubt, and its connection is not lent again.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy.dialects import registry
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from migrator.errors import ClusterUnavailable
from migrator.shim.aio.between_tries import rest
from migrator.shim.read import ReadSteps
from migrator.shim.steps import at_once
from migrator.sqlalchemy.connection import BlockConnection, Configure, RolledBack
from migrator.sqlalchemy.dialect import FACTS, NO_TENANT, UNKNOWN, AsyncDialect, Facts
from migrator.sqlalchemy.values import comparable

T = TypeVar("T")


class LoopConnection(BlockConnection):
    """A connection whose blocks are those of the shim for asyncio."""

    def __init__(self, configure: Configure | None = None) -> None:
        super().__init__(configure)
        self._loop = asyncio.get_running_loop()
        self._kept: list[Any] = []  # cursors of the transaction that a server keeps

    def enter(self, block: Any) -> None:
        await_only(block.__aenter__())

    def leave(self, block: Any, error: Exception | None) -> None:
        if in_greenlet():
            await_only(block.__aexit__(type(error) if error else None, error, None))
            return
        # Closed by the garbage collector, in whichever thread that runs, where nothing can be awaited.
        with suppress(RuntimeError):  # the event loop is closed, and its connections with it
            self._loop.call_soon_threadsafe(block.abandon)

    def say(self, conn: Any, statement: bytes) -> None:
        await_only(conn.execute(statement))

    def configure(self, conn: Any, configure: Callable[..., Any]) -> None:
        made = configure(conn, self.preparing)
        if inspect.iscoroutine(made):
            await_only(made)

    def lent_cursor(self, *name: str) -> Any:
        made = self.lent_connection.cursor(*name)
        if name:
            self._kept.append(made)
        return LoopCursor(made, kept=bool(name))

    def _end(self, error: RolledBack | None) -> None:
        kept, self._kept = self._kept, []
        try:
            super()._end(error)
        finally:
            for cursor in kept:  # none outlives its transaction, also where its close was interrupted
                cursor._close()


class LoopCursor:
    """A cursor of psycopg for asyncio. What a server keeps is awaited; other results are here once they are there."""

    def __init__(self, cursor: Any, *, kept: bool) -> None:
        self._cursor = cursor
        self._kept = kept

    def execute(self, query: Any, params: Any = None, **options: Any) -> LoopCursor:
        await_only(self._cursor.execute(query, params, **options))
        return self

    def executemany(self, query: Any, params: Any, **options: Any) -> None:
        await_only(self._cursor.executemany(query, params, **options))

    def fetchone(self) -> Any:
        return self._fetched(self._cursor.fetchone())

    def fetchmany(self, size: int = 0) -> Any:
        return self._fetched(self._cursor.fetchmany(size))

    def fetchall(self) -> Any:
        return self._fetched(self._cursor.fetchall())

    def _fetched(self, rows: Coroutine[Any, Any, T]) -> T:
        found: T = await_only(rows) if self._kept else at_once(rows)
        return found

    def __iter__(self) -> Iterator[Any]:
        while (row := self.fetchone()) is not None:
            yield row

    def close(self) -> None:
        if not self._kept:
            at_once(self._cursor.close())
        elif in_greenlet():
            await_only(self._cursor.close())

    async def _async_soft_close(self) -> None:
        """SQLAlchemy awaits it where it keeps the result and lets the cursor go."""

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._cursor, attribute)


class LoopDialect(AsyncDialect):
    """The dialect of engines on a shim for asyncio."""

    driver = "migrator_asyncio"
    supports_statement_cache = True

    def facts(self, connection: BlockConnection) -> Facts:
        shim: Any = self.shim

        async def ask(read: Any) -> Facts:
            row = await (await read.connection.execute(FACTS)).fetchone()
            return row[0], row[1] or "public", row[2]

        try:
            found: Facts = await_only(shim.run_read(NO_TENANT, ask))
        except ClusterUnavailable:
            return UNKNOWN
        return found


registry.register("postgresql.migrator_asyncio", "migrator.sqlalchemy.loop", "LoopDialect")


class LoopFront:
    """How sessions on a shim for asyncio wait."""

    url = "postgresql+migrator_asyncio://"

    def connection(self, configure: Configure) -> BlockConnection:
        return LoopConnection(configure)

    async def run_read(
        self,
        shim_reads: Callable[[Callable[[Any], Any]], Any],
        func: Callable[..., object],
        run: Callable[[Any], Coroutine[Any, Any, T]],
    ) -> T:
        """Return what *run* returns for a read; *func* is where it tells errors apart by."""

        async def inside(read: Any) -> Any:
            found = await run(read)
            # What is given for a shadow read is no read, and its result is compared and thrown away.
            return found if isinstance(read, ReadSteps) else comparable(found)

        inside.func = func  # type: ignore[attr-defined]  # as functools.partial has it
        found: T = await shim_reads(inside)
        return found

    async def rest(self, shim: Any, tries: int) -> None:
        """Wait before another try."""
        await rest(shim, tries)

    def close(self) -> None:
        """Nothing is held."""

"""Lets the thread of shadow reads run a coroutine function of the application: on its event loop, as it expects.

What it executes is noted as with threads, so that both fronts' reads are told apart and judged alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from typing import Any

import psycopg
from psycopg.pq.abc import PGconn

from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.shim.aio.lent import AsyncConn, lent
from migrator.shim.shadow import note, ran_on


class _NotingServer(psycopg.AsyncServerCursor[Any]):
    """Its statements are not noted, and that is."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if (ran := ran_on(self)) is not None:
            ran.complete = False


class _Noting(psycopg.AsyncCursor[Any]):
    """Notes what is executed."""

    def _noted(self, query: Any, params: Any) -> None:
        if (ran := ran_on(self)) is not None:
            note(ran, query, params, self)

    async def execute(self, query: Any, params: Any = None, **options: Any) -> _Noting:  # Any: as psycopg has it
        """Note *query* and run it."""
        self._noted(query, params)
        await super().execute(query, params, **options)
        return self

    async def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
        """Note *query*, whose parameters are not looked at, and run it."""
        self._noted(query, None)
        await super().executemany(query, params_seq, **options)

    def stream(self, query: Any, params: Any = None, **options: Any) -> Any:
        """Note *query* and stream it."""
        self._noted(query, params)
        return super().stream(query, params, **options)

    def copy(self, statement: Any, params: Any = None, **options: Any) -> Any:
        """Note *statement* and copy."""
        self._noted(statement, params)
        return super().copy(statement, params, **options)


class Shadowed:
    """Given to a shadow read in place of an AsyncRead."""

    def __init__(self, connection: AsyncConn, side: Side, tenant_id: TenantId) -> None:
        self.connection = connection
        self.side = side
        self.tenant_id = tenant_id


def on_loop(fn: Callable[[Any], Awaitable[Any]], loop: asyncio.AbstractEventLoop) -> Callable[[Any], Any]:
    """Return *fn* for the thread: it waits, while the connection that it was lent is the event loop's."""

    async def reading(block: Any, pgconn: PGconn) -> Any:
        conn = lent(pgconn)
        conn.cursor_factory = _Noting
        conn.server_cursor_factory = _NotingServer
        conn.shadow_ran = block.connection.shadow_ran  # type: ignore[attr-defined]  # of this block
        return await fn(Shadowed(conn, block.side, block.tenant_id))

    def run(block: Any) -> Any:
        running = reading(block, block.connection.pgconn)  # which sends BEGIN, if that is owed
        try:
            future = asyncio.run_coroutine_threadsafe(running, loop)
        except RuntimeError:  # the loop is closed
            running.close()
            raise psycopg.OperationalError("the event loop has ended") from None
        try:
            return future.result()
        except CancelledError:  # the loop ends; no answer of the application's
            raise psycopg.OperationalError("the event loop ends") from None

    run.func = getattr(fn, "func", fn)  # type: ignore[attr-defined]  # the place of the program that it is known by
    return run

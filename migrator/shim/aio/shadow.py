"""Lets the thread of shadow reads run a coroutine function of the application: on its event loop, as it expects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from migrator.model.side import Side
from migrator.shim.aio.lent import AsyncConn, lent


class Shadowed:
    """Given to a shadow read in place of an AsyncRead."""

    def __init__(self, connection: AsyncConn, side: Side) -> None:
        self.connection = connection
        self.side = side


def on_loop(fn: Callable[[Any], Awaitable[Any]], loop: asyncio.AbstractEventLoop) -> Callable[[Any], Any]:
    """Return *fn* for the thread: it waits, while the connection that it was lent is the event loop's."""

    async def reading(block: Any) -> Any:
        return await fn(Shadowed(lent(block.connection.pg), block.side))

    def run(block: Any) -> Any:
        running = reading(block)
        try:
            return asyncio.run_coroutine_threadsafe(running, loop).result()
        except RuntimeError:  # the loop is closed
            running.close()
            raise

    return run

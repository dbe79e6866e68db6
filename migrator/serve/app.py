"""Puts the server together: what may be read, what may be ordered, and what others bring along."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from migrator.db.error_text import described
from migrator.log_events import tell
from migrator.serve import acting, pages
from migrator.serve.classic import Classic
from migrator.serve.config import Config
from migrator.serve.draw import sections
from migrator.serve.feed import Feed
from migrator.serve.guard import Guard
from migrator.serve.order import Temporal
from migrator.serve.server import Server
from migrator.serve.session import Sessions

Beside = Callable[[asyncio.Event], Coroutine[Any, Any, None]]

LEAVE_S = 4.0
"""Seconds that what runs beside the server has to end."""


def make(
    config: Config,
    temporal: Temporal,
    *,
    readable: Sequence[Route] = (),
    more: Sequence[BaseRoute] = (),
    beside: Sequence[Beside] = (),
) -> tuple[Starlette, Feed]:
    """Return the application, and the feed to close when the server is to end.

    Args:
        readable: routes of others that show something (metrics): they need the read token, where there is one.
        more: routes of others that have checks of their own (alarms).
        beside: what runs while the server does, until the event it is given is set.
    """
    feed = Feed(
        Classic(config.dsn, 1, keep=True),
        partial(sections, root=config.root_path, acting=config.acts),
        config.every_s,
        config.idle_s,
        config.most_viewers,
    )
    server = Server(
        config,
        feed,
        Sessions(config.token, config.read_token, time.monotonic),
        Classic(config.dsn, 2),
        Classic(config.dsn, 4),
        temporal,
    )
    app = Starlette(
        routes=[
            *pages.routes(server),
            *acting.routes(server),
            *(pages.guarded(server, route) for route in readable),
            *more,
        ],
        middleware=[Middleware(Guard, config=config)],
        exception_handlers={HTTPException: _handler(server), Exception: _unexpected},
        lifespan=_lifespan(server, beside),
    )
    return app, feed


Handler = Callable[[Request, Exception], Awaitable[Response]]


def _handler(server: Server) -> Handler:
    async def handle(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        wants = request.headers.get("accept", "")
        if "text/html" not in wants:
            return JSONResponse({"error": error.detail}, error.status_code, error.headers)
        answer = server.html(request, "error.html", status=error.status_code, code=error.status_code, text=error.detail)
        answer.headers.update(error.headers or {})
        return answer

    return handle


async def _unexpected(request: Request, error: Exception) -> Response:
    tell("board.request_failed", error=described(error))
    return JSONResponse({"error": f"unexpected {type(error).__name__}; the server's log has the trace"}, 500)


async def _logged(run: Beside, stop: asyncio.Event) -> None:
    try:
        await run(stop)
    except Exception as error:  # the board goes on without it
        tell("board.companion_ended", error=described(error))


def _lifespan(server: Server, beside: Sequence[Beside]) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        looks, stop = asyncio.create_task(server.feed.run()), asyncio.Event()
        others = [asyncio.create_task(_logged(run, stop)) for run in beside]
        try:
            yield
        finally:
            stop.set()
            if others:
                await asyncio.wait(others, timeout=LEAVE_S)
            await server.feed.close()
            server.reads.close()
            server.orders.close()
            looks.cancel()
            with suppress(asyncio.CancelledError):
                await looks

    return lifespan

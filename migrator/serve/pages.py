"""What may be read: the board, tenants, the decision log, the status as JSON, health."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import psycopg
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from migrator.control.board import LogPage, Show, TenantPage, log_page, tenant_page
from migrator.control.install import require_version
from migrator.errors import MigratorError
from migrator.model.near import nearest
from migrator.model.shown import plain
from migrator.serve.classic import Trouble, trouble_of
from migrator.serve.draw import asset_of, style, title
from migrator.serve.server import COOKIE, Server
from migrator.serve.stream import events

PAGE = 50
READ_S = 5.0
LONGEST_SEARCH = 200
TRY_AGAIN = 5
"""The exit code of `migrator status` where classic cannot be reached; the JSON says it too."""

LABELS = {show: show.value.replace("_", " ") for show in Show}

T = TypeVar("T")
Handler = Callable[[Server, Request], Awaitable[Response]]


def routes(server: Server) -> list[Route]:
    """Return the routes of what may be read. Health tells nothing, so it needs no token."""

    def reading(handler: Handler, *, program: bool = False) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            if server.may_read(request):
                return await handler(server, request)
            if program:
                return _needs_token()
            return server.to_sign_in(request)

        return handle

    return [
        Route("/", reading(board)),
        Route("/tenants", reading(tenants)),
        Route("/log", reading(log)),
        Route("/events", reading(live, program=True)),
        Route("/api/status", reading(status, program=True)),
        Route("/health", health),
        Route("/ready", partial(ready, server)),
        Route("/static/board.css", partial(asset, style(), "text/css")),
        Route("/static/board.js", partial(asset, asset_of("board.js"), "text/javascript")),
        Route("/static/icon.svg", partial(asset, asset_of("icon.svg"), "image/svg+xml")),
    ]


def guarded(server: Server, route: Route) -> Route:
    """Return *route*, which shows something, behind the read token where there is one. Its endpoint is no coroutine."""

    async def handle(request: Request) -> Response:
        if not server.may_read(request):
            return _needs_token()
        answer: Response = await run_in_threadpool(route.endpoint, request)
        return answer

    return Route(route.path, handle, methods=list(route.methods or ("GET",)))


def _needs_token() -> Response:
    answer = {"error": "a read token is needed", "hint": "Send Authorization: Bearer TOKEN."}
    return JSONResponse(answer, 401, {"WWW-Authenticate": "Bearer"})


async def board(server: Server, request: Request) -> Response:
    seen = await server.feed.fresh()
    return server.html(
        request,
        "board.html",
        "board",
        title=title(seen),
        sections=server.feed.sections,
        version=seen.version,
        every_s=server.config.every_s,
    )


async def live(server: Server, request: Request) -> Response:
    cookie = request.cookies.get(COOKIE)
    free = server.config.read_token is None or server.sessions.peek(cookie) is None  # a bearer's token stays right
    return await events(request, server.feed, lambda: free or server.sessions.peek(cookie) is not None)


async def status(server: Server, request: Request) -> Response:
    """What `migrator status --json` prints; while classic does not answer, its error with the last known state."""
    seen = await server.feed.fresh()
    if seen.trouble is None and seen.picture is not None:
        return JSONResponse(plain(seen.picture.status))
    trouble = seen.trouble or Trouble("it has not answered yet")
    answer = {
        "error": f"classic does not answer: {trouble.why}",
        "hint": trouble.hint,
        "exit_code": TRY_AGAIN,
        "last_age_s": None if seen.age_s is None else round(seen.age_s, 1),
        "last": plain(seen.picture.status) if seen.picture else None,
    }
    return JSONResponse(answer, 503, {"Retry-After": "5"})


async def tenants(server: Server, request: Request) -> Response:
    asked = request.query_params
    text = asked.get("q", "")[:LONGEST_SEARCH].replace("\0", "").strip()
    wanted = asked.get("show", Show.ALL.value)
    after = asked.get("after")
    found, trouble = TenantPage((), False), None
    if wanted not in set(Show):
        near = nearest(wanted, list(Show))
        trouble = Trouble("there is no such kind of tenants", f"Did you mean {near}?" if near else "")
    else:
        act = partial(_tenants, text, Show(wanted), after.replace("\0", "") if after else None)
        found, trouble = await _read(server, act, found)
    return server.html(
        request, "tenants.html", "tenants", 200 if trouble is None else 400 if wanted not in set(Show) else 503,
        found=found.tenants, more=found.more, last=found.tenants[-1]["tenant"] if found.tenants else "",
        q=text, show=wanted, labels=[(s.value, LABELS[s]) for s in Show], paged=after is not None, trouble=trouble,
    )  # fmt: skip


def _tenants(text: str, show: Show, after: str | None, conn: psycopg.Connection[Any]) -> TenantPage:
    require_version(conn)
    return tenant_page(conn, text, show, after, PAGE)


async def log(server: Server, request: Request) -> Response:
    said = request.query_params.get("before", "")
    before = int(said) if said.isascii() and said.isdigit() and len(said) < 19 else None

    def act(conn: psycopg.Connection[Any]) -> LogPage:
        require_version(conn)
        return log_page(conn, before, PAGE)

    found, trouble = await _read(server, act, LogPage((), False))
    return server.html(
        request, "log.html", "log", 200 if trouble is None else 503,
        lines=found.lines, older=found.older, paged=before is not None, trouble=trouble,
    )  # fmt: skip


async def _read(server: Server, act: Callable[[psycopg.Connection[Any]], T], otherwise: T) -> tuple[T, Trouble | None]:
    try:
        return await server.reads.ask(act, READ_S), None
    except (MigratorError, psycopg.Error) as error:
        return otherwise, trouble_of(error)


async def health(request: Request) -> Response:
    """The process runs and answers; nothing else is looked at."""
    return JSONResponse({"ok": True})


async def ready(server: Server, request: Request) -> Response:
    """Whether classic answered the last look: orders and new states can be had."""
    seen = await server.feed.fresh()
    fine = seen.trouble is None and seen.picture is not None
    body = {"ready": fine} if fine else {"ready": False, "error": "classic does not answer"}
    return JSONResponse(body, 200 if fine else 503)


async def asset(body: str, media_type: str, request: Request) -> Response:
    return PlainTextResponse(body, media_type=media_type)

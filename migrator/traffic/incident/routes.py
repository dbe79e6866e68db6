"""The webhook's routes, for a server of their own (serve.py) and for any other Starlette application.

    POST /rollback              {"all": true, "reason": "..."}
    POST /alarms/cloudwatch     Amazon SNS, or EventBridge
    POST /alarms/alertmanager   Prometheus Alertmanager, Grafana
    POST /alarms/datadog
    POST /alarms/pagerduty
    GET  /health                200 when classic answers, 503 when not

    desk = Desk(classic_dsn, token, sources=alarm_sources(plan, classic_dsn), log=log)
    app = Starlette(routes=[*routes(desk, health=False), ...])     # and await desk.ready() when it begins

A body is read in bounded time and memory; every answer is JSON and closes its connection, and is told to the log in one
line, with nothing of the body but the names of alarms and targets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from migrator.plan.alarms import SOURCES
from migrator.traffic.incident.alarm import shown
from migrator.traffic.incident.desk import Desk
from migrator.traffic.incident.memory import Bucket
from migrator.traffic.incident.reply import Reply, again_in

LARGEST_BODY = 1 << 20
LARGEST = {"cloudwatch": 300_000, "alertmanager": 4 << 20}
"""Bytes of a body. SNS carries up to 256 KiB; Alertmanager sends every alert of a group."""
SMALL_BODY = 16_384
"""A rollback is smaller: bodies up to this are read however much memory others take."""
ALL_BODIES = 64 << 20
BODY_S = 10.0
"""Within so many seconds a body has to arrive."""
LINES_PER_S, LINES_AT_ONCE = 5.0, 50.0

Answer = Callable[[Mapping[str, str], bytes], Awaitable[Reply]]


def routes(desk: Desk, *, health: bool = True) -> list[Route]:
    """Return the routes that *desk* answers; POST /rollback only where it has a secret.

    Args:
        health: GET /health is one of them.
    """
    intake = _Intake(desk)
    found = [
        Route(f"/alarms/{name}", intake.endpoint(name, _alarm(desk, name)), methods=["POST"], name=f"alarms-{name}")
        for name in SOURCES
    ]
    if desk.secret is not None:
        found.insert(0, Route("/rollback", intake.endpoint("rollback", desk.rollback), methods=["POST"]))
    if health:

        async def ask(request: Request) -> Response:
            return _response(await desk.health())

        found.append(Route("/health", ask, methods=["GET"]))
    return found


def _alarm(desk: Desk, name: str) -> Answer:
    async def answer(headers: Mapping[str, str], body: bytes) -> Reply:
        return await desk.alarm(name, headers, body)

    return answer


class _Intake:
    """Reads bodies and logs answers; all routes share its bounds."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._held = 0  # bytes of bodies beyond SMALL_BODY
        self._lines = Bucket(LINES_PER_S, LINES_AT_ONCE)
        self._not_logged = 0

    def endpoint(self, name: str, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint that answers one route."""

        async def endpoint(request: Request) -> Response:
            began = time.monotonic()
            headers = {key.lower(): value for key, value in request.headers.items()}
            size = 0
            try:
                async with asyncio.timeout(BODY_S):
                    found = await self._body(request, LARGEST.get(name, LARGEST_BODY))
            except TimeoutError:
                found = Reply(408, {"error": f"the body did not arrive within {BODY_S:g} s"}, word="too slow")
            except ClientDisconnect:
                return Response(status_code=400)
            if isinstance(found, Reply):
                reply = found
            else:
                size = len(found)
                try:
                    reply = await answer(headers, found)
                finally:
                    self._held -= max(0, size - SMALL_BODY)
            self._log(name, request, reply, size, time.monotonic() - began)
            return _response(reply)

        return endpoint

    async def _body(self, request: Request, largest: int) -> bytes | Reply:
        """Return the body, counted in `_held`; or the answer to one that is not taken."""
        told = request.headers.get("content-length", "")
        if not told.isascii() or not (told.isdigit() or "transfer-encoding" in request.headers):
            return Reply(411, {"error": "Content-Length is missing"}, word="no length")
        if told and int(told[:12]) > largest:
            return Reply(413, {"error": "the body is too large"}, word="too large")
        chunks: list[bytes] = []
        size = held = 0
        taken = False
        try:
            async for chunk in request.stream():
                size += len(chunk)
                if size > largest:
                    return Reply(413, {"error": "the body is too large"}, word="too large")
                more = max(0, size - SMALL_BODY) - held
                if self._held + more > ALL_BODIES:
                    return Reply(503, {"error": "too many large bodies at once"}, again_in(2), word="too many requests")
                self._held, held = self._held + more, held + more
                chunks.append(chunk)
            taken = True
            return b"".join(chunks)
        finally:
            if not taken:
                self._held -= held

    def _log(self, name: str, request: Request, reply: Reply, size: int, seconds: float) -> None:
        """Tell the log of an answer; of those that did nothing only so many a second: the next one counts the rest."""
        quiet = reply.status in (401, 403, 404, 408, 411, 413, 429) or reply.word == "no rule"
        if quiet and not self._lines.take(time.monotonic()):
            self._not_logged += 1
            return
        fields = {
            "source": name,
            "status": reply.status,
            "outcome": reply.word,
            "client": request.client.host if request.client else "",
            "bytes": size,
            "seconds": round(seconds, 3),
            **{key: _plain(value) if isinstance(value, str) else value for key, value in reply.also.items()},
        }
        if self._not_logged:
            fields["not_logged"], self._not_logged = self._not_logged, 0
        self._desk.log("webhook.answered", fields)


def _plain(text: str) -> str:
    """Return the beginning of *text*, on one line, with what cannot be seen spelt out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown(text, 200))


def _response(reply: Reply) -> Response:
    return JSONResponse(reply.body, reply.status, headers={"Connection": "close", **reply.headers})

"""Server-sent events: what changed on the board, for as many viewers as there may be, from one look at classic."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from migrator.serve.draw import title
from migrator.serve.feed import Feed

HEARTBEAT_S = 10.0
"""A line at least so often, so that proxies keep the stream open and a page notices when it has ended."""
RETRY_MS = 3000

HEADERS = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}  # nginx would keep what we send


def number(text: str | None) -> int:
    """Return the version that a viewer has; one that cannot be read, or is of an earlier server, has none."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 18 else 0


async def events(request: Request, feed: Feed, may_read: Callable[[], bool]) -> Response:
    """Answer with a stream that lasts until the viewer leaves, may read no more, or the server ends."""
    if feed.closed or feed.viewers >= feed.most_viewers:
        return PlainTextResponse(
            f"{feed.viewers} live views are open, which is as many as there may be.\n", 503, {"Retry-After": "30"}
        )
    had = number(request.headers.get("last-event-id") or request.query_params.get("v"))
    return StreamingResponse(_stream(feed, had, may_read), media_type="text/event-stream", headers=HEADERS)


async def _stream(feed: Feed, had: int, may_read: Callable[[], bool]) -> AsyncIterator[str]:
    """Yield the sections that changed since version *had*, then each change as it comes.

    A viewer that reads slowly skips versions: nothing is kept for it.
    """
    feed.viewers += 1
    try:
        yield f"retry: {RETRY_MS}\n\n"
        if had > feed.seen.version:
            had = 0  # this server was started again
        await feed.fresh()
        while not feed.closed and may_read():
            seen = feed.seen
            if seen.version > had:
                changed = feed.changed_since(had)
                had = seen.version
                if changed:
                    body = {"title": title(seen), "order": list(feed.sections), "sections": changed}
                    yield f"event: board\nid: {had}\ndata: {json.dumps(body)}\n\n"
                else:
                    yield f"event: tick\nid: {had}\ndata: {{}}\n\n"
            else:
                yield "event: tick\ndata: {}\n\n"
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await feed.newer(had)
    finally:
        feed.viewers -= 1

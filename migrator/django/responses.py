"""What a view has begun and the server ends: streamed content, and templates that are rendered behind the view."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from migrator.django.scope import Scope, bound


def carried(response: Any, scope: Scope) -> Any:
    """Return *response*, whose rest is made within *scope* too."""
    if getattr(response, "streaming", False):
        content = response.streaming_content
        within = _within_async if hasattr(content, "__aiter__") else _within
        response.streaming_content = within(scope, content)
    elif getattr(response, "is_rendered", True) is False and callable(getattr(response, "render", None)):
        render = response.render

        def render_within(*args: Any, **options: Any) -> Any:
            vars(response).pop("render", None)  # a response is pickled by caches
            with bound(scope):
                return render(*args, **options)

        response.render = render_within
    return response


def _within(scope: Scope, content: Any) -> Iterator[Any]:
    parts, end = iter(content), object()
    while True:
        with bound(scope):  # never across a yield: what follows there is another's
            part = next(parts, end)
        if part is end:
            return
        yield part


async def _within_async(scope: Scope, content: Any) -> AsyncIterator[Any]:
    parts = content.__aiter__()
    while True:
        with bound(scope):
            try:
                part = await parts.__anext__()
            except StopAsyncIteration:
                return
        yield part

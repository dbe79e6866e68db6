"""Work that several ask for at once is done once. For one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

LATE_S = 5.0
"""Work that takes longer than this may hang: who comes then begins its own."""


class Flights:
    """Work under way, by key."""

    def __init__(self) -> None:
        self._under_way: dict[str, tuple[float, asyncio.Task[Any]]] = {}

    async def share(self, key: str, begin: Callable[[], Awaitable[T]]) -> T:
        """Return what the work under way for *key* returns, or begin it. A caller that gives up does not end it."""
        return (await self.share_told(key, begin))[0]

    async def share_told(self, key: str, begin: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Return that, and whether another caller had begun it."""
        since, task = self._under_way.get(key, (0.0, None))
        joined = task is not None and not task.done() and time.monotonic() - since < LATE_S
        if task is None or not joined:
            task = asyncio.ensure_future(begin())
            mine = (time.monotonic(), task)
            self._under_way[key] = mine
            task.add_done_callback(lambda done: self._ended(key, done))
        found: T = await asyncio.shield(task)
        return found, joined

    def _ended(self, key: str, task: asyncio.Task[Any]) -> None:
        if self._under_way.get(key, (0.0, None))[1] is task:
            del self._under_way[key]
        if not task.cancelled():
            task.exception()  # seen: the caller that would have told may have given up

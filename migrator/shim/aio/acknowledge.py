"""Waits for acknowledgements in tasks. What asks classic to let a write through is rare, and runs in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from migrator.shim.acknowledge import Acknowledgement
from migrator.shim.aio.blocks import until
from migrator.shim.aio.news import News
from migrator.shim.aio.pool import InThread
from migrator.shim.replica_wait import ReplayWait
from migrator.shim.replicas import Position
from migrator.shim.token import Token
from migrator.shim.view import View


class AsyncAcknowledgement(Acknowledgement):
    """The acknowledgement of both fronts, awaited."""

    def __init__(self, *args: Any, in_thread: InThread, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_thread = in_thread
        self._turn = asyncio.Lock()

    def _until(self, satisfied: Callable[[View], bool], timeout_s: float) -> Awaitable[bool]:
        return until(self._current, satisfied, timeout_s)

    async def _fall_back(self, token: Token, waited_s: float) -> None:
        async with self._turn:  # one task at a time; the next one finds the work done, and needs no thread
            if self.behind(token):
                await self._in_thread(self.fall_back_now, token, waited_s)


class AsyncReplayWait(ReplayWait):
    """The wait for replicas of both fronts, awaited."""

    def __init__(self, *args: Any, in_thread: InThread) -> None:
        super().__init__(*args)
        self._in_thread = in_thread
        self._turn = asyncio.Lock()

    def _until(self, satisfied: Callable[[], bool], at_s: float) -> Awaitable[bool]:
        news = self._all.changed
        assert isinstance(news, News)
        return news.until(satisfied, max(0.001, at_s - self._all.current.now_s()))

    def _ask(self) -> Awaitable[Position | None]:
        return self._in_thread(self.ask_now)

    async def _take_out(self, position: Position, waited_s: float) -> None:
        async with self._turn:
            if self._to_take_out(position):
                await self._in_thread(self.take_out_now, position, waited_s)

"""Lets tasks of an event loop wait for what threads announce: a new view, a replica that has replayed more.

The view is a value that a background thread replaces. What announces that makes the event loop look once for all
tasks that wait and however many announcements come before it does; no task polls, and no thread waits for a task.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress


class News(threading.Condition):
    """A condition for threads and for the tasks of one event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[asyncio.Future[bool], Callable[[], bool]] = {}
        self._called = False  # the loop will look

    def reach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell tasks of *loop* from now on."""
        self._loop = loop

    def notify_all(self) -> None:
        """Wake threads and tasks. What is announced was put in place before."""
        super().notify_all()
        if self._waiting and not self._called and self._loop is not None:
            self._called = True
            with suppress(RuntimeError):  # the loop is closed, and no task waits there
                self._loop.call_soon_threadsafe(self._look)

    async def until(self, satisfied: Callable[[], bool], timeout_s: float) -> bool:
        """Return whether *satisfied* held before the time ran out. It is asked at each announcement."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[bool] = loop.create_future()
        self._waiting[told] = satisfied  # before it is asked: what is announced after that is heard
        try:
            if satisfied():
                return True
            timer = loop.call_later(max(0.0, timeout_s), _tell, told)
            try:
                return await told or satisfied()
            finally:
                timer.cancel()
        finally:
            del self._waiting[told]

    def _look(self) -> None:
        self._called = False  # before it looks: what is announced after that is looked at again
        for told, satisfied in list(self._waiting.items()):
            if not told.done() and satisfied():
                told.set_result(True)


def _tell(told: asyncio.Future[bool]) -> None:
    if not told.done():
        told.set_result(False)

"""Reads and writes of tasks: the steps of both fronts, and what a cancelled task leaves behind.

A cancelled task ends as a cancelled one. Where that hides what it must know, the cancellation says it too: COMMIT was
sent and its answer was not read (`CommitInterrupted`), or the write is committed and the mirror was not waited for
(`UnconfirmedInterrupted`). Both are cancellations and the errors that a lost answer and a missing acknowledgement give.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import psycopg

from migrator.errors import CommitUnknown
from migrator.model.ack import Ack
from migrator.shim.acknowledge import CommittedUnconfirmed
from migrator.shim.aio.news import News
from migrator.shim.current_view import CurrentView
from migrator.shim.read import ReadSteps
from migrator.shim.steps import Block
from migrator.shim.token import ON_LIMITLESS
from migrator.shim.view import View
from migrator.shim.write import WriteSteps


class CommitInterrupted(CommitUnknown, asyncio.CancelledError):
    """The task was cancelled while COMMIT was under way: the write may or may not have happened."""


class UnconfirmedInterrupted(CommittedUnconfirmed, asyncio.CancelledError):
    """The task was cancelled while its write, which is committed, waited for its acknowledgement."""


def until(current: CurrentView, satisfied: Callable[[View], bool], timeout_s: float) -> Awaitable[bool]:
    """Return whether *satisfied* held for the current view before the time ran out."""
    news = current.changed
    assert isinstance(news, News)
    return news.until(lambda: satisfied(current.view), timeout_s)


class OnLoop(Block):
    """A block of the front for asyncio."""

    _current: CurrentView

    async def call(self, fn: Callable[[Any], Any]) -> Any:
        """Return what *fn* returns for this block."""
        return await fn(self)

    def _until(self, satisfied: Callable[[View], bool], timeout_s: float) -> Awaitable[bool]:
        return until(self._current, satisfied, timeout_s)

    def abandon(self) -> None:
        """End without a word, where nothing can be awaited: the connection is closed, and its server rolls back."""
        raise NotImplementedError  # a read's and a write's own

    async def __aenter__(self) -> Self:
        await self.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave(error)


class AsyncRead(OnLoop, ReadSteps):
    """Reads of one tenant, on one side. Use it with `async with`; see ReadSteps for its attributes."""

    connection: psycopg.AsyncConnection[Any]

    def abandon(self) -> None:
        """End without a word; what was read must be thrown away."""
        link, flight, self._link, self._flight = self._link, self._flight, None, None
        if link is None or self._lender is None:
            return
        link.withdraw()
        if flight is not None:
            self._inflight.end(flight)
        self._lender.give(link, discard=True)


class AsyncWrite(OnLoop, WriteSteps):
    """One transaction of one tenant. Use it with `async with`, which commits on leaving; see WriteSteps."""

    connection: psycopg.AsyncConnection[Any]

    def abandon(self) -> None:
        """End without a word; certainly nothing was written."""
        link, self._link = self._link, None
        if link is not None:
            link.withdraw()
            self._pools(self.side).give(link, discard=True)

    def _interrupted(self, error: BaseException) -> BaseException:
        if not isinstance(error, asyncio.CancelledError):
            return error
        return CommitInterrupted(self.tenant_id, self.token.xid if self.token else None)

    async def _wait(self) -> None:
        started_s = self._current.now_s()
        try:
            await super()._wait()
        except asyncio.CancelledError as error:
            assert self.ack is Ack.EVERYWHERE  # others do not wait
            xid = (self.token or ON_LIMITLESS).xid
            raise UnconfirmedInterrupted(self.tenant_id, xid, self._current.now_s() - started_s) from error

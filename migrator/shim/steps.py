"""Runs what is written once for both fronts.

The steps of a block are coroutines. Where one has to wait (for a server, a pool, other processes), it asks its front:
the synchronous one blocks and returns, the one for asyncio returns an awaitable. So the order of the steps, and every
judgement between them, is there once, and neither front has a copy that somebody must keep in step.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from types import CoroutineType, TracebackType
from typing import Any, Self, TypeVar, cast

from migrator.shim.current_view import CurrentView
from migrator.shim.view import View

T = TypeVar("T")


async def got(value: Awaitable[T] | T) -> T:
    """Return what a front answered: now, or once its event loop has it, by a coroutine and no other awaitable."""
    if isinstance(value, CoroutineType):  # a tenth of what the abstract class costs, in each step of each block
        found: T = await value
        return found
    return cast("T", value)


def at_once(steps: Coroutine[Any, Any, T]) -> T:
    """Return what *steps* return, whose front blocks.

    Raises:
        RuntimeError: a step waited for an event loop: it was given a part of the other front.
    """
    try:
        steps.send(None)
    except StopIteration as end:
        found: T = end.value
        return found
    except RuntimeError as error:
        # A coroutine may not let a StopIteration of the caller's function pass; its caller gets it as it was.
        if isinstance(error.__cause__, StopIteration) and str(error) == "coroutine raised StopIteration":
            raise error.__cause__ from None
        raise
    steps.close()
    raise RuntimeError("a step of the synchronous front waited for an event loop")


class Block:
    """A read or a write. What it does in which order is the same on both fronts; how it waits is theirs."""

    async def enter(self) -> None:
        """Begin."""
        raise NotImplementedError  # each front's own

    async def leave(self, error: BaseException | None) -> None:
        """End; *error* is what ended the application's part, if anything did."""
        raise NotImplementedError  # each front's own

    async def call(self, fn: Callable[[Any], Any]) -> Any:
        """Return what *fn* returns for this block."""
        raise NotImplementedError  # each front's own

    def _until(self, satisfied: Callable[[View], bool], timeout_s: float) -> bool | Awaitable[bool]:
        """Return whether *satisfied* held for the current view before the time ran out."""
        raise NotImplementedError  # each front's own


class Blocking(Block):
    """A block of the synchronous front."""

    _current: CurrentView

    async def call(self, fn: Callable[[Any], Any]) -> Any:
        """Return what *fn* returns for this block."""
        return fn(self)

    def _until(self, satisfied: Callable[[View], bool], timeout_s: float) -> bool:
        return self._current.wait_until(satisfied, timeout_s)

    def __enter__(self) -> Self:
        at_once(self.enter())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        at_once(self.leave(error))


async def within(block: Block, fn: Callable[[Any], Any]) -> Any:
    """Return what *fn* returns inside *block*, as a with-statement has it."""
    await block.enter()
    try:
        found = await block.call(fn)
    except BaseException as error:
        await block.leave(error)
        raise
    await block.leave(None)
    return found

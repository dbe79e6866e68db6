"""Runs a write again that certainly was not committed, and may work at another try."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg

from migrator.errors import ClusterUnavailable, WritesClosed
from migrator.model.sqlstate import READ_ONLY, Fault
from migrator.shim.pool import fault
from migrator.shim.steps import got, within
from migrator.shim.write import WriteSteps

WRITE_TRIES = 4
"""A write that certainly did not commit is run at most so many times in all."""


def worth_another_try(write: WriteSteps, error: Exception) -> bool:
    """Return whether *write* certainly did not commit by *error*, and another try may work."""
    if isinstance(error, WritesClosed):
        return error.waited_s == 0  # closed after it began; a write that waited its limit raises
    if isinstance(error, ClusterUnavailable):
        return True
    if isinstance(error, psycopg.Error) and error.sqlstate == READ_ONLY:
        return True  # by another connection, once the name leads to the new writer
    return write.lost or (fault(error) is Fault.CONFLICT and error.__class__ is not psycopg.errors.LockNotAvailable)


async def written(
    new_write: Callable[[int], WriteSteps],
    fn: Callable[[Any], Any],
    refresh: Callable[[], None],
    rest: Callable[[float], Awaitable[None] | None],
) -> Any:
    """Return what *fn* returns inside a write, tried again where that is right.

    Args:
        new_write: makes one, given the tries before it.
        refresh: has the routes read.
        rest: waits so many seconds, in the way of its front.
    """
    for tries in range(WRITE_TRIES):
        write = new_write(tries)
        try:
            return await within(write, fn)
        except (WritesClosed, ClusterUnavailable, psycopg.Error) as error:
            if tries + 1 == WRITE_TRIES or write.committed or not worth_another_try(write, error):
                raise
            refresh()
            await got(rest(0.05 * (tries + 1) * (0.5 + random.random())))
    raise AssertionError("unreachable")

"""Polls: asks again and again until a state is reached that nothing announces, or until the time is up.

For retries of work that failed see `db/busy.py`. Pauses that are part of a protocol (a mirror's cycle, a fence, the
shim's watcher) stay with their protocol.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def until(
    look: Callable[[], T],
    timeout_s: float,
    every_s: float,
    *,
    done: Callable[[T], object] = bool,
    slower: float = 1.0,
    longest_s: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Return the first answer of *look* that is *done*, or its last answer when *timeout_s* seconds are over.

    It is asked at least once, and once more when the time is up. The pause between two looks is *every_s* seconds and
    becomes *slower* times as long each time, up to *longest_s*.
    """
    deadline, pause_s = clock() + timeout_s, every_s
    while True:
        found = look()
        rest_s = deadline - clock()
        if done(found) or rest_s <= 0:
            return found
        sleep(min(pause_s, rest_s))
        pause_s = min(pause_s * slower, longest_s)


async def until_async(
    look: Callable[[], Awaitable[T]], timeout_s: float, every_s: float, *, done: Callable[[T], object] = bool
) -> T:
    """Return as `until` does, without blocking the event loop."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout_s
    while True:
        found = await look()
        rest_s = deadline - clock()
        if done(found) or rest_s <= 0:
            return found
        await asyncio.sleep(min(every_s, rest_s))

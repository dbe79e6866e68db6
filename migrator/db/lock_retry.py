"""How is work tried again while others hold the locks it needs?

A lock that is busy and a deadlock say nothing about the work itself: they pass when the others are done.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg

BUSY = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)


def _silent(_: int, __: float) -> None:
    return None


def until_free(
    act: Callable[[], None],
    timeout_s: float,
    *,
    pause_s: float = 0.05,
    longest_s: float = 2.0,
    tell: Callable[[int, float], None] = _silent,
) -> bool:
    """Run *act*, a transaction of its own, until no lock is in its way; False when one still was after *timeout_s*.

    Between two tries the queue behind us drains: the pause doubles from *pause_s* up to *longest_s* seconds. *tell* is
    called with the number of the next try and the pause before it.
    """
    deadline, tries = time.monotonic() + timeout_s, 1
    while True:
        try:
            act()
        except BUSY:
            if time.monotonic() >= deadline:
                return False
        else:
            return True
        tries += 1
        tell(tries, pause_s)
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, longest_s)

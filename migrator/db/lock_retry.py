"""Tries a transaction again while other sessions hold the locks it needs.

A lock that is busy and a deadlock say nothing about the work itself: they pass when the others are done.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from migrator.retry import Tried, retry, silent

BUSY = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)


def until_free(
    act: Callable[[], object],
    timeout_s: float,
    *,
    pause_s: float = 0.05,
    longest_s: float = 2.0,
    tell: Callable[[int, float], None] = silent,
) -> Tried:
    """Run *act*, a transaction of its own, until no lock is in its way; not done when one still was after *timeout_s*.

    Between two tries the queue behind us drains: the pause doubles from *pause_s* up to *longest_s* seconds. *tell* is
    called with the number of the next try and the pause before it.
    """
    return retry(act, BUSY, timeout_s, pause_s=pause_s, longest_s=longest_s, tell=tell)

"""Tries work again that failed for a reason that passes, on the operator's side; the shim and Temporal have their own.

The only place that knows the library for it. To wait for a state that nothing announces, see `poll.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import stamina
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from migrator import log_events


@dataclass(frozen=True, slots=True)
class Tried:
    """How work ended that was tried again and again. True when it was done; as text how long it was tried.

    Attributes:
        error: why the last try failed; None when the work was done.
    """

    tries: int
    seconds: float
    error: Exception | None = None

    def __bool__(self) -> bool:
        return self.error is None

    def __str__(self) -> str:
        return f"for {self.seconds:.1f} s ({self.tries} {'try' if self.tries == 1 else 'tries'})"


def silent(_: int, __: float) -> None:
    return None


def retry(
    act: Callable[[], object],
    on: tuple[type[Exception], ...],
    timeout_s: float,
    *,
    pause_s: float,
    longest_s: float,
    tell: Callable[[int, float], None] = silent,
) -> Tried:
    """Run *act* until it raises none of *on*; not done when it still did after *timeout_s* seconds. Others pass.

    The pause between two tries doubles from *pause_s* up to *longest_s* seconds. It has no jitter: these are single
    operators and workers, not a crowd, and writes may be waiting for them. *tell* is called with the number of the next
    try and the pause before it.
    """
    began, tries = time.monotonic(), 0
    attempts = stamina.retry_context(
        on=on,
        attempts=None if timeout_s > 0 else 1,
        timeout=timeout_s if timeout_s > 0 else None,
        wait_initial=pause_s,
        wait_max=longest_s,
        wait_jitter=0,
    )
    try:
        for attempt in attempts:
            tries = attempt.num
            with attempt:
                try:
                    act()
                except on:
                    if time.monotonic() - began < timeout_s:
                        tell(tries + 1, attempt.next_wait)
                    raise
                return Tried(tries, time.monotonic() - began)
    except on as error:
        return Tried(tries, time.monotonic() - began, error)
    raise AssertionError("neither done nor failed")


def _log(details: RetryDetails) -> None:
    """Log a retry by the error's class: its text may quote rows, which the library's own hooks would show."""
    keys = {"tries": details.retry_num, "error": type(details.caused_by).__name__, "wait_s": details.wait_for}
    log_events.tell("work.retried", **keys)


set_on_retry_hooks([_log])

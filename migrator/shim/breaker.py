"""The circuit breaker of one process, as a value and three functions; no clock, no lock.

Closed: reads go where the route says. It opens when, within the window,
  * the share of failed reads reaches the limit, with enough reads to judge by, or
  * more than 1 % of them (and at least 3) were slower than p99_ms, with enough reads to judge by, or
  * so many reads in a row failed, however few there are: a quiet process must notice an unreachable cluster too.
Open: reads come from classic. Half-open, after a rest: a few reads go through; all must be good to close it.
An error counts as a failure unless classic gives it too (migrator.shim.doubt).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

SLICES = 10
"""The window is counted in this many slices, so it moves in steps of a tenth of itself."""

SLOW_SHARE = 0.01
SLOW_AT_LEAST = 3
"""With 20 reads the 99th percentile is the slowest one; one or two outliers are not evidence."""


class Limits(Protocol):
    """The part of Settings a breaker needs."""

    @property
    def window_s(self) -> float: ...
    @property
    def min_reads(self) -> int: ...
    @property
    def error_ratio(self) -> float: ...
    @property
    def p99_ms(self) -> float: ...
    @property
    def failures(self) -> int: ...
    @property
    def open_s(self) -> float: ...
    @property
    def probes(self) -> int: ...


class State(StrEnum):
    CLOSED = "closed"  # reads go where the route says
    OPEN = "open"  # reads fall back to classic
    HALF_OPEN = "half_open"  # a few probe reads go through


@dataclass(frozen=True, slots=True)
class Slice:
    """Reads of one tenth of the window."""

    number: int
    reads: int = 0
    failed: int = 0
    slow: int = 0


@dataclass(frozen=True, slots=True)
class Breaker:
    """One breaker at one moment.

    Attributes:
        term: grows with every change of state. A read carries the term it was admitted in, so that a late answer
            from before a trip changes nothing.
        since_s: when the state began, or when the last probe was let through.
        out, good: probes under way, probes that succeeded.
    """

    state: State = State.CLOSED
    term: int = 0
    since_s: float = 0.0
    slices: tuple[Slice, ...] = ()
    in_a_row: int = 0
    out: int = 0
    good: int = 0
    reason: str = ""


def admit(breaker: Breaker, now_s: float, limits: Limits) -> tuple[Breaker, bool]:
    """Return the breaker as a read at *now_s* leaves it, and whether that read may go to Limitless."""
    if breaker.state is State.CLOSED:
        return breaker, True
    if breaker.state is State.OPEN:
        if now_s - breaker.since_s < limits.open_s:
            return breaker, False
        breaker = half_opened(breaker, now_s)
    elif breaker.out and now_s - breaker.since_s >= limits.open_s:
        breaker = replace(breaker, out=0)  # a probe whose thread ended must not keep it half-open
    if breaker.out + breaker.good >= limits.probes:
        return breaker, False
    return replace(breaker, out=breaker.out + 1, since_s=now_s), True


def half_opened(breaker: Breaker, now_s: float) -> Breaker:
    """Return the breaker ready for probes. A shared fallback that takes over leaves it like this too."""
    return Breaker(State.HALF_OPEN, breaker.term + 1, now_s, reason=breaker.reason)


def record(breaker: Breaker, term: int, ok: bool, ms: float, now_s: float, limits: Limits) -> Breaker:
    """Return the breaker after a read admitted in *term* ended at *now_s* after *ms* milliseconds."""
    if term != breaker.term or breaker.state is State.OPEN:
        return breaker
    slow = ms > limits.p99_ms
    if breaker.state is State.HALF_OPEN:
        if not ok or slow:
            return _opened(breaker, now_s, "a probe failed" if not ok else f"a probe took {ms:.0f} ms")
        if breaker.good + 1 >= limits.probes:
            return Breaker(State.CLOSED, breaker.term + 1, now_s)
        return replace(breaker, good=breaker.good + 1, out=max(0, breaker.out - 1))
    number = slice_at(now_s, limits)
    breaker = replace(
        breaker,
        slices=_counted(breaker.slices, number, Slice(number, 1, not ok, ok and slow)),
        in_a_row=0 if ok else breaker.in_a_row + 1,
    )
    reason = _verdict(breaker, limits)
    return breaker if reason is None else _opened(breaker, now_s, reason)


def untroubled(breaker: Breaker) -> bool:
    """Return whether reads that end well cannot change its state: it is closed, and saw nothing else in its window."""
    return (
        breaker.state is State.CLOSED and not breaker.in_a_row and not any(s.failed or s.slow for s in breaker.slices)
    )


def slice_at(now_s: float, limits: Limits) -> int:
    """Return the number of the slice that a read ending at *now_s* counts in."""
    return int(now_s / limits.window_s * SLICES)


def credited(breaker: Breaker, number: int, reads: int) -> Breaker:
    """Return an untroubled breaker after so many reads that ended well in slice *number*; as `record` of each."""
    return replace(breaker, slices=_counted(breaker.slices, number, Slice(number, reads)))


def _opened(breaker: Breaker, now_s: float, reason: str) -> Breaker:
    return Breaker(State.OPEN, breaker.term + 1, now_s, reason=reason)


def _counted(slices: tuple[Slice, ...], number: int, more: Slice) -> tuple[Slice, ...]:
    if not slices or slices[-1].number < number:
        slices = (*(s for s in slices if s.number > number - SLICES), Slice(number))
    last = slices[-1]
    counted = Slice(last.number, last.reads + more.reads, last.failed + more.failed, last.slow + more.slow)
    return (*slices[:-1], counted)


def _verdict(breaker: Breaker, limits: Limits) -> str | None:
    """Return why a closed breaker must open, None when it may stay closed."""
    if breaker.in_a_row >= limits.failures:
        return f"{breaker.in_a_row} reads in a row failed"
    reads = sum(s.reads for s in breaker.slices)
    if reads < limits.min_reads:
        return None
    failed = sum(s.failed for s in breaker.slices)
    if failed >= reads * limits.error_ratio and failed:
        return f"{failed} of {reads} reads failed within {limits.window_s:g} s (limit {limits.error_ratio:.0%})"
    slow = sum(s.slow for s in breaker.slices)
    if slow >= SLOW_AT_LEAST and slow > reads * SLOW_SHARE:
        return f"{slow} of {reads} reads took longer than {limits.p99_ms:g} ms within {limits.window_s:g} s"
    return None

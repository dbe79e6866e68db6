"""Which statements get worse first, as the rate rises? Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TIMES = 2.0
"""A statement is worse when its p99 is so many times that of its lowest rate, …"""

FLOOR_MS = 5.0
"""… and longer than that by so much: below it is what a network does by itself."""

FEWEST = 100
"""A 99th percentile of fewer calls is their slowest one."""


@dataclass(frozen=True, slots=True)
class Point:
    """A statement at one rate. p99_ms: of its execution alone, without the wait for a connection."""

    rate: float
    calls: int
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Worse:
    """How a statement fares.

    Attributes:
        base: at the lowest rate with enough calls; `last`: at the highest. None: too few calls.
        from_rate: the lowest rate from which on it is worse, at every rate above too; None: it is not.
        ratio: of the last p99 to the first.
    """

    statement: str
    points: tuple[Point, ...]
    base: Point | None
    last: Point | None
    from_rate: float | None
    ratio: float | None


def first_worse(statements: Mapping[str, Sequence[Point]]) -> tuple[Worse, ...]:
    """Return the statements, those that get worse at the lowest rate first, of these the ones that get worse most."""
    found = [_one(name, points) for name, points in statements.items()]
    return tuple(
        sorted(found, key=lambda w: (w.from_rate if w.from_rate is not None else float("inf"), -(w.ratio or 0.0)))
    )


def _one(name: str, points: Sequence[Point]) -> Worse:
    ordered = tuple(sorted(points, key=lambda p: p.rate))
    known = [p for p in ordered if p.calls >= FEWEST]
    if not known:
        return Worse(name, ordered, None, None, None, None)
    base, last = known[0], known[-1]
    from_rate: float | None = None
    for point in reversed(known[1:]):  # from the highest down: one slow step among quick ones is no trend
        if point.p99_ms <= max(base.p99_ms * TIMES, base.p99_ms + FLOOR_MS):
            break
        from_rate = point.rate
    return Worse(name, ordered, base, last, from_rate, last.p99_ms / base.p99_ms if base.p99_ms > 0 else None)

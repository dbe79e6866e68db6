"""Decides which shared fallbacks to raise, ease and clear. Pure.

One process that trips may have a bad network of its own; a share of all live processes has not. The monitor's own
probe counts as one more witness: with it failing, one process is enough.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from migrator.model.counted import counted
from migrator.model.route import FallbackScope, Level, Trip

__all__ = ["LONGEST_REST_S", "Open", "Raise", "Scope", "Step", "Trip", "next_step", "rest_s", "to_raise"]

Scope = tuple[FallbackScope, str]

LONGEST_REST_S = 60.0
"""A fallback that is raised repeatedly waits at most so many seconds before the next try to clear it."""


@dataclass(frozen=True, slots=True)
class Raise:
    """A fallback to raise for everybody."""

    scope: FallbackScope
    key: str
    reason: str


def to_raise(
    trips: Sequence[Trip], live: int, quorum: float, open_now: Sequence[Scope], probe_problem: str | None
) -> list[Raise]:
    """Return the fallbacks to raise, widest first; what a raised one covers already is left out."""
    by_scope: dict[Scope, dict[str, str]] = {}
    for trip in trips:
        by_scope.setdefault((trip.scope, trip.key), {})[trip.process_id] = trip.reason
    candidates: list[Raise] = []
    if probe_problem is not None and trips:
        count = len({trip.process_id for trip in trips})
        candidates.append(
            Raise(FallbackScope.ALL, "", f"{count} of {counted(live, 'process')} tripped and limitless {probe_problem}")
        )
    needed = max(1, math.ceil(live * quorum))
    for (scope, key), reasons in by_scope.items():
        if len(reasons) >= needed:
            why = next(iter(reasons.values()))
            candidates.append(Raise(scope, key, f"{len(reasons)} of {counted(live, 'process')} tripped: {why}"))
    order = list(FallbackScope)
    candidates.sort(key=lambda r: (order.index(r.scope), r.key))
    kept: list[Raise] = []
    done = set(open_now)
    for wanted in candidates:
        if (FallbackScope.ALL, "") not in done and (wanted.scope, wanted.key) not in done:
            done.add((wanted.scope, wanted.key))
            kept.append(wanted)
    return kept


@dataclass(frozen=True, slots=True)
class Open:
    """An open fallback.

    Attributes:
        age_s: since it was raised.
        recent: how often the same one was raised in the last ten minutes, this time included.
        parts: mirror partitions whose readers it keeps on classic.
        quarantined: whether it is a tenant whose rows Limitless refused.
        unvalidated: tenants under it without a clean validation since it was raised; None for the reference tables.
    """

    scope: FallbackScope
    key: str
    level: Level
    held: bool
    age_s: float
    recent: int
    parts: frozenset[int]
    quarantined: bool = False
    unvalidated: tuple[str | None, ...] = ()


class Step(StrEnum):
    """What to do about a fallback now."""

    HOLD = "hold"  # a person raised it
    REST = "rest"  # not long enough ago
    UNHEALTHY = "unwell"  # limitless or the mirror does not meet its limits
    EASE = "ease"  # let writes wait for the mirror again, and catch up
    VALIDATE = "validate"  # caught up; a clean validation is wanted first
    CLEAR = "clear"


def rest_s(open_s: float, recent: int) -> float:
    """Return how long a fallback stays at least: doubled each time it was raised again."""
    doublings = min(max(0, recent - 1), 16)
    return float(min(LONGEST_REST_S, open_s * 2**doublings))


def next_step(
    fallback: Open,
    probe_problem: str | None,
    lag_s: Mapping[int, float],
    *,
    open_s: float,
    fresh_s: float,
    validate: bool,
    problems: Mapping[int, str] | None = None,
) -> tuple[Step, str]:
    """Return what to do about one open fallback, and why.

    Args:
        lag_s: how far each mirror partition is behind; a missing one has no mirror.
        fresh_s: the largest lag allowed; writes wait that long once the fallback is eased.
        problems: why mirror partitions are stalled, where known.
    """
    if fallback.held:
        return Step.HOLD, "raised by a person"
    if fallback.quarantined:
        return Step.UNHEALTHY, "a row of this tenant is quarantined"
    rest = rest_s(open_s, fallback.recent)
    if fallback.age_s < rest:
        return Step.REST, f"raised {fallback.age_s:.1f} s ago, rests {rest:.0f} s"
    if probe_problem is not None:
        return Step.UNHEALTHY, f"limitless {probe_problem}"
    for part in sorted(fallback.parts):
        lag = lag_s.get(part)
        if lag is None:
            return Step.UNHEALTHY, f"mirror partition {part} has no position"
        if lag > fresh_s:
            reason = (problems or {}).get(part)
            return Step.UNHEALTHY, f"mirror partition {part} is {lag:.1f} s behind (limit {fresh_s:g} s)" + (
                f": {reason}" if reason else ""
            )
    if fallback.level is Level.CLASSIC:
        return Step.EASE, "limitless and the mirror are healthy"
    if validate and fallback.unvalidated:
        tenants = sum(1 for t in fallback.unvalidated if t is not None)
        who = [counted(tenants, "tenant")] if tenants else []
        if None in fallback.unvalidated:
            who.append("the reference tables")
        return Step.VALIDATE, f"{' and '.join(who)} need a clean validation"
    return Step.CLEAR, "limitless and the mirror are healthy"

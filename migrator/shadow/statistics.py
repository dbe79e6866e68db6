"""Is a statement slower on one side, or does it only look so? Pure.

Bounds are taken that hold whatever the latencies' distribution is (order statistics). The median is judged in pairs,
as both sides were asked one right after the other: what slowed both is in both. A tail is judged by its bounds on both
sides: slower is one whose lower bound on Limitless is above its upper bound on classic. Each by more than a run allows,
and throughout the run, not in one stretch of it. The error allowed is shared by everything that is judged at once, so
that a hundred statements do not make a false alarm likely. Not slower is one that cannot be slower but by a small
chance: what proves neither is told apart from it, as too few calls, or too uneven ones, to say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from migrator.model.traffic_test import Pace, Paces, Percentiles

QUANTILES = (0.5, 0.99, 0.999)

ERROR = 1e-3
"""Chance of a false alarm in a whole run, were its calls independent of each other."""

MISSED = 0.02
"""Chance that a statement is called not slower though it is."""

LOOKS = 3
"""Times that a run judges, each after more calls of what is undecided; they share the chance of a false alarm."""

FEWEST = 20
"""Calls on each side without which nothing is concluded, whatever the bounds say."""

BLOCKS = 5
"""Stretches of a run in which a slower statement must be slower, each by itself (all but one of them)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What counts as slower: by more than this factor, and by at least so many ms."""

    factor: float = 1.5
    least_ms: float = 2.0


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of *ordered* that *share* of them do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def percentiles(latencies_ms: Sequence[float]) -> Percentiles | None:
    """Return the quantiles as they were measured; None without any."""
    if not latencies_ms:
        return None
    ordered = sorted(latencies_ms)
    return Percentiles(*(round(quantile(ordered, share), 3) for share in QUANTILES))


def judge(
    classic_ms: Sequence[float],
    limitless_ms: Sequence[float],
    *,
    limits: Limits,
    judged: int,
    apart_ms: float = 0.0,
) -> Paces:
    """Return whether Limitless is slower.

    Args:
        classic_ms, limitless_ms: latencies of one statement, call by call in the order in which they were taken.
        judged: statements that are judged with it, among which the error is shared.
        apart_ms: how much longer a round trip to Limitless takes than one to classic, from where this runs.
    """
    error = ERROR / (max(1, judged) * len(QUANTILES) * 2 * LOOKS)
    apart = max(0.0, apart_ms)
    half, *tails = QUANTILES
    beyond = [
        there - _allowed(here, limits, apart) for here, there in zip(classic_ms, limitless_ms, strict=True)
    ]  # above 0: slower than it may be
    return Paces(
        _median(beyond, half, error), *(_tail(classic_ms, limitless_ms, q, limits, error, apart) for q in tails)
    )


def _allowed(here_ms: float, limits: Limits, apart: float) -> float:
    return max(here_ms * limits.factor, here_ms + limits.least_ms) + apart


def _median(beyond: Sequence[float], share: float, error: float) -> Pace:
    """Judge how much slower than it may be each call was."""
    if len(beyond) < FEWEST:
        return Pace.TOO_FEW
    ordered = sorted(beyond)
    low, high = _lower(len(beyond), share, error), _upper(len(beyond), share, MISSED)
    if high is not None and ordered[high] <= 0:
        return Pace.NOT_SLOWER
    slower = low is not None and ordered[low] > 0 and _throughout(beyond, share, 0.0)
    return Pace.SLOWER if slower else Pace.TOO_FEW


def _tail(
    classic_ms: Sequence[float], limitless_ms: Sequence[float], share: float, limits: Limits, error: float, apart: float
) -> Pace:
    if len(classic_ms) < FEWEST:
        return Pace.TOO_FEW
    count, here, there = len(classic_ms), sorted(classic_ms), sorted(limitless_ms)
    low, most = _lower(count, share, error), _upper(count, share, error)
    if low is not None and most is not None and there[low] > (allowed := _allowed(here[most], limits, apart)):
        return Pace.SLOWER if _throughout(limitless_ms, share, allowed) else Pace.TOO_FEW
    least, high = _lower(count, share, MISSED / 2), _upper(count, share, MISSED / 2)
    if least is not None and high is not None and there[high] <= _allowed(here[least], limits, apart):
        return Pace.NOT_SLOWER
    return Pace.TOO_FEW


def _throughout(values: Sequence[float], share: float, allowed: float) -> bool:
    """Return whether in nearly every stretch of the run more values are above what is allowed than may be."""
    size = len(values) / BLOCKS
    blocks = [values[round(i * size) : round((i + 1) * size)] for i in range(BLOCKS)]
    above = sum(sum(value > allowed for value in block) > (1 - share) * len(block) for block in blocks)
    return above >= BLOCKS - 1


@lru_cache(4096)
def _lower(count: int, share: float, error: float) -> int | None:
    """Return the place (from 0) in *count* ordered values of a bound that the quantile is not below, but by *error*."""
    best = None
    for place, below in _distribution(count, share):
        if below > error:
            break
        best = place  # P(value at `place` > quantile) = P(fewer than place + 1 values are below it) = below
    return best


@lru_cache(4096)
def _upper(count: int, share: float, error: float) -> int | None:
    """Return the place of a bound that the quantile is not above, but by *error*."""
    place = _lower(count, round(1 - share, 12), error)  # the same from the other end
    return None if place is None else count - 1 - place


def _distribution(count: int, share: float) -> list[tuple[int, float]]:
    """Return (k, P(X <= k)) of a binomial X, as far up as it matters for a lower bound."""
    if count == 0:
        return []
    mean, spread = count * share, math.sqrt(count * share * (1 - share))
    total, found = 0.0, []
    first = max(0, math.floor(mean - 12 * spread))
    for k in range(first, min(count, math.ceil(mean + 2)) + 1):
        total += math.exp(
            math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
            + k * math.log(share) + (count - k) * math.log1p(-share)
        )  # fmt: skip
        found.append((k, total))
    return [(k, p) for k, p in found if k < count]

"""Counts latencies in buckets, so that counts of many processes can be added up.

Buckets grow by a factor of 2 to the power 1/4 (19 %), from 1/16 ms to about 2 minutes, so a percentile read from them
is at most 19 % too high and never too low. Arrays are stored without their trailing zeros.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

STEPS = 4  # buckets per doubling
FLOOR_MS = 1 / 16
SIZE = 85  # the last bucket holds everything from about 2 minutes


def bucket_of(ms: float) -> int:
    """Return the bucket that counts a latency of *ms* milliseconds."""
    if ms <= FLOOR_MS:
        return 0
    return min(SIZE - 1, math.ceil(STEPS * math.log2(ms / FLOOR_MS)))


def upper_ms(bucket: int) -> float:
    """Return the largest latency that *bucket* counts (the last one has none; its lower bound is returned)."""
    return float(FLOOR_MS * 2.0 ** (min(bucket, SIZE - 2) / STEPS))


def merge(many: Iterable[Sequence[int]]) -> list[int]:
    """Return the sum of bucket arrays of any length, without trailing zeros."""
    total: list[int] = []
    for buckets in many:
        total.extend([0] * (len(buckets) - len(total)))
        for index, count in enumerate(buckets):
            total[index] += count
    while total and not total[-1]:
        total.pop()
    return total


def percentile_of(buckets: Sequence[int], share: float) -> float:
    """Return a bound in ms that *share* (0 to 1) of the counted latencies does not exceed; 0 with none counted."""
    count = sum(buckets)
    wanted = math.ceil(count * share)
    seen = 0
    for bucket, number in enumerate(buckets):
        seen += number
        if number and seen >= wanted:
            return upper_ms(bucket)
    return 0.0


FEWEST = 3
"""So many reads have to be slow, or to fail, before anything is concluded from them."""


def steady_p99_of(buckets: Sequence[int]) -> float:
    """Return the 99th percentile in ms, or of fewer than 300 latencies the largest one that at least two exceed or
    equal: one slow read among thirty says nothing."""
    count = sum(buckets)
    return percentile_of(buckets, min(0.99, max(0.0, 1 - (FEWEST - 1) / count))) if count else 0.0


def p99_of(buckets: Sequence[int]) -> float:
    """Return the 99th percentile in ms, at most 19 % too high; 0 with none counted."""
    return percentile_of(buckets, 0.99)


@dataclass(frozen=True, slots=True)
class Sample:
    """Reads of one tenant on one side. `errors`, within `reads`, count against the side: see migrator.shim.doubt."""

    reads: int = 0
    errors: int = 0
    p99_ms: float | None = None

    @property
    def error_ratio(self) -> float:
        """Share of failed reads; 0 without reads, since silence is not evidence of failure."""
        return self.errors / self.reads if self.reads else 0.0

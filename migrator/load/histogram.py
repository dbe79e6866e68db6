"""Counts latencies in microseconds so that a percentile is at most 1/128 (0.8 %) too high, and never too low. Pure.

Buckets as HdrHistogram has them (Gil Tene): up to 256 us one for each microsecond, above that 128 equal ones for each
doubling. Counts of many processes add up. Of our own, because it is forty lines whose bound a test proves, where the
package brings a compiled extension for every Python and machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_BITS = 8
_HALF = 1 << (_BITS - 1)

LARGEST_US = (1 << 32) - 1
"""71 minutes; what is longer counts as so long."""

ERROR = 1 / _HALF
"""A percentile exceeds the true one by no more than this share of it."""


def bucket_of(us: int) -> int:
    """Return the bucket that counts a latency of *us* microseconds."""
    us = min(max(us, 0), LARGEST_US)
    shift = max(us.bit_length() - _BITS, 0)
    return shift * _HALF + (us >> shift)


def upper_us(bucket: int) -> int:
    """Return the longest latency that *bucket* counts."""
    if bucket < 2 * _HALF:
        return bucket
    shift = bucket // _HALF - 1
    return ((bucket - shift * _HALF + 1) << shift) - 1


@dataclass(slots=True)
class Histogram:
    """Counts by bucket; the only mutable value of these modules."""

    counts: dict[int, int] = field(default_factory=dict)
    total: int = 0

    def add(self, us: int, count: int = 1) -> None:
        bucket = bucket_of(us)
        self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.total += count

    def merge(self, other: Histogram) -> None:
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.total += other.total

    def percentile_ms(self, share: float) -> float | None:
        """Return in ms what *share* (0 to 1) of the latencies does not exceed; None with none counted."""
        if not self.total:
            return None
        wanted = max(1, math.ceil(self.total * share - 1e-9))
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= wanted:
                return upper_us(bucket) / 1000
        raise AssertionError("the counts do not add up to their total")

    def to_json(self) -> list[list[int]]:
        """Return [[bucket, count], …] in order."""
        return [[bucket, self.counts[bucket]] for bucket in sorted(self.counts)]

    @classmethod
    def from_json(cls, pairs: Iterable[Iterable[int]]) -> Histogram:
        counts = {int(bucket): int(count) for bucket, count in pairs}
        return cls(counts, sum(counts.values()))


def merged(many: Iterable[Histogram]) -> Histogram:
    """Return the sum of *many*."""
    found = Histogram()
    for one in many:
        found.merge(one)
    return found


def percentiles(found: Histogram) -> Mapping[str, float] | None:
    """Return p50_ms, p99_ms and p999_ms; None with none counted."""
    if not found.total:
        return None
    shares = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}
    return {name: found.percentile_ms(share) or 0.0 for name, share in shares.items()}

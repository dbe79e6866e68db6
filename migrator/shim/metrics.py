"""Counts reads and shadow reads between two flushes, about a second apart."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from migrator.model import latency
from migrator.model.side import Side
from migrator.model.tenant import TenantId


@dataclass
class _Counts:
    reads: int = 0
    errors: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * latency.SIZE)


@dataclass(frozen=True, slots=True)
class Shadows:
    """Shadow reads since the last flush; latencies are means in ms."""

    compared: int
    mismatched: int
    classic_ms: float
    limitless_ms: float


class Metrics:
    """Counts of this process, by side, and by tenant for the sampled ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: dict[tuple[TenantId | None, Side], _Counts] = {}
        self._shadows: list[tuple[bool, float, float]] = []

    def read(self, tenant_id: TenantId, side: Side, ms: float, *, failed: bool, watched: bool) -> None:
        """Count one read. Failed means the cluster's fault, not the caller's."""
        bucket = latency.bucket_of(ms)
        with self._lock:
            for key in ((None, side), (tenant_id, side)) if watched else ((None, side),):
                counts = self._reads.get(key)
                if counts is None:
                    counts = self._reads[key] = _Counts()
                counts.reads += 1
                counts.errors += failed
                counts.buckets[bucket] += 1

    def shadow(self, same: bool, classic_ms: float, limitless_ms: float) -> None:
        """Count one compared shadow read."""
        with self._lock:
            self._shadows.append((same, classic_ms, limitless_ms))

    def take_reads(self) -> dict[str, list[Any]] | None:
        """Return the rows of one flush as columns and start again; None when there is nothing."""
        with self._lock:
            taken, self._reads = self._reads, {}
        if not taken:
            return None
        return {
            "tenants": [tenant_id for tenant_id, _ in taken],
            "sides": [side.value for _, side in taken],
            "reads": [counts.reads for counts in taken.values()],
            "errors": [counts.errors for counts in taken.values()],
            "buckets": [_array(counts.buckets) for counts in taken.values()],
        }

    def take_shadows(self) -> Shadows | None:
        """Return the shadow reads of one flush and start again; None when there are none."""
        with self._lock:
            taken, self._shadows = self._shadows, []
        if not taken:
            return None
        count = len(taken)
        return Shadows(
            count,
            sum(not same for same, _, _ in taken),
            sum(classic for _, classic, _ in taken) / count,
            sum(limitless for _, _, limitless in taken) / count,
        )


def _array(buckets: Sequence[int]) -> str:
    return "{" + ",".join(map(str, latency.merge([buckets]))) + "}"

"""Counts reads, their failures, writes and shadow reads: from flush to flush, and since the process began."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from migrator.model import latency
from migrator.model.ack import Ack
from migrator.model.measured import ACK, AT_SERVER, ERROR, FELL_BACK
from migrator.model.side import Side
from migrator.model.tenant import TenantId

LOST = "08"
"""Class of the SQLSTATE of a connection that was lost or refused, where no server gave one."""


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


@dataclass(frozen=True, slots=True)
class ShadowRead:
    """One shadow read. statement: without values; verdict: see migrator.shim.shadow.Verdict; note: what was seen."""

    fingerprint: str
    tenant_id: str
    statement: str
    note: str
    verdict: str


SHADOWED = 200
"""Statements and tenants that one flush tells apart; what is beyond is told as one."""

OTHERS = "others"
"""In the place of a fingerprint: statements beyond `SHADOWED`."""


@dataclass(frozen=True, slots=True)
class Count:
    """Since the process began: how many, how many of them failed, and how long they took."""

    number: int = 0
    failed: int = 0
    buckets: tuple[int, ...] = ()

    def plus(self, counts: _Counts) -> Count:
        buckets = tuple(latency.merge([self.buckets, counts.buckets]))
        return Count(self.number + counts.reads, self.failed + counts.errors, buckets)


class Metrics:
    """Counts of this process, by side, and by tenant for the sampled ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: dict[tuple[TenantId | None, str], _Counts] = {}
        self._before: dict[str, Count] = {}  # what was flushed
        self._shadows: list[tuple[bool, float, float]] = []
        self._shadow_reads: dict[tuple[str, str], tuple[str, str, list[int]]] = {}

    def read(
        self, tenant_id: TenantId, side: Side, ms: float, *, failed: bool, watched: bool, state_class: str = LOST
    ) -> None:
        """Count one read. Failed means the cluster's fault, not the caller's, by an error of *state_class*."""
        bucket = latency.bucket_of(ms)
        with self._lock:
            self._count((None, side.value), bucket, failed)
            if watched:
                self._count((tenant_id, side.value), bucket, failed)
            if failed:
                self._count((None, f"{ERROR}{side.value}/{state_class}"), bucket, False)

    def unanswered(self, side: Side) -> None:
        """Count a read that got no connection, and so had no side to be counted on."""
        with self._lock:
            self._count((None, f"{ERROR}{side.value}/{LOST}"), 0, False)

    def endpoint(self, name: str, ms: float, *, failed: bool) -> None:
        """Count a read of classic by the server that answered it, beside the sum of classic."""
        with self._lock:
            self._count((None, f"{AT_SERVER}{name}"), latency.bucket_of(ms), failed)

    def wrote(self, ack: Ack, waited_ms: float, *, unconfirmed: bool) -> None:
        """Count a write that was committed, and how long it waited for its acknowledgement."""
        with self._lock:
            self._count((None, f"{ACK}{ack.value}"), latency.bucket_of(waited_ms), unconfirmed)

    def fell_back(self) -> None:
        """Count a read that classic answered in Limitless' place."""
        with self._lock:
            self._count((None, FELL_BACK), 0, False)

    def _count(self, key: tuple[TenantId | None, str], bucket: int, failed: bool) -> None:
        counts = self._reads.get(key)
        if counts is None:
            counts = self._reads[key] = _Counts()
        counts.reads += 1
        counts.errors += failed
        counts.buckets[bucket] += 1

    def counts(self) -> Mapping[str, Count]:
        """Return everything since the process began, all tenants together; by the keys of migrator.model.measured."""
        with self._lock:
            return self._summed()

    def _summed(self) -> dict[str, Count]:
        found = dict(self._before)
        for (tenant_id, key), counts in self._reads.items():
            if tenant_id is None and not key.startswith(AT_SERVER):
                found[key] = found.get(key, Count()).plus(counts)
        return found

    def shadow(self, same: bool, classic_ms: float, limitless_ms: float) -> None:
        """Count one compared shadow read."""
        with self._lock:
            self._shadows.append((same, classic_ms, limitless_ms))

    def shadow_read(self, read: ShadowRead) -> None:
        """Count one shadow read by its statement, and by its tenant where the answers differ."""
        differs, reordered, undecided = (read.verdict == v for v in ("different", "reordered", "undecided"))
        key = (read.fingerprint, read.tenant_id if differs else "")
        with self._lock:
            if key not in self._shadow_reads and len(self._shadow_reads) >= SHADOWED:
                key = (OTHERS, key[1] if (OTHERS, key[1]) in self._shadow_reads else "")
            statement, note, counts = self._shadow_reads.get(
                key, ("" if key[0] == OTHERS else read.statement, "", [0] * 4)
            )
            for number, one in enumerate((not undecided, differs, reordered, undecided)):
                counts[number] += one
            self._shadow_reads[key] = (statement, read.note if differs or undecided or reordered else note, counts)

    def take_shadow_reads(self) -> dict[str, list[Any]] | None:
        """Return shadow reads of one flush as columns and start again; None when there are none."""
        with self._lock:
            taken, self._shadow_reads = self._shadow_reads, {}
        if not taken:
            return None
        rows = sorted(taken.items())
        counts = {
            name: [row[1][2][number] for row in rows]
            for number, name in enumerate(("compared", "differing", "reordered", "undecided"))
        }
        return {
            "fingerprints": [name for (name, _), _ in rows],
            "tenants": [tenant for (_, tenant), _ in rows],
            "statements": [statement for _, (statement, _, _) in rows],
            "notes": [text for _, (_, text, _) in rows],
            **counts,
        }

    def take_reads(self) -> dict[str, list[Any]] | None:
        """Return the rows of one flush as columns and start again; None when there is nothing."""
        with self._lock:
            self._before = self._summed()
            taken, self._reads = self._reads, {}
        if not taken:
            return None
        return {
            "tenants": [tenant_id for tenant_id, _ in taken],
            "sides": [side for _, side in taken],
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

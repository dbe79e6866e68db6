"""Routes, levels and the write mode: where reads go, and when a write is acknowledged.

A tenant's effective level is the lowest of three: its route, the global switch, and every fallback that
covers it (all, its mirror partition, itself). Moving up always passes through JOINING, because a writer
that still acknowledges at classic's commit and a reader that already reads Limitless would break
read-your-writes: first every process waits for the mirror, then the mirror catches up, then reads move.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from migrator.model.tenant import TenantId


class Level(StrEnum):
    """How far a tenant has moved. Ordered: CLASSIC < JOINING < LIMITLESS."""

    CLASSIC = "classic"  # reads classic; a write is acknowledged at classic's commit
    JOINING = "joining"  # reads classic; a write already waits for the mirror
    LIMITLESS = "limitless"  # reads limitless (by percentage); a write waits for the mirror

    @property
    def rank(self) -> int:
        return ("classic", "joining", "limitless").index(self.value)

    @property
    def waits(self) -> bool:
        """Whether a write waits until the mirror has it."""
        return self is not Level.CLASSIC


def lowest(levels: Iterable[Level]) -> Level:
    """Return the lowest of *levels*; LIMITLESS when there are none."""
    return min(levels, key=lambda level: level.rank, default=Level.LIMITLESS)


class WriteMode(StrEnum):
    """Where writes go, for all tenants."""

    CLASSIC_ONLY = "classic_only"  # before capture is on
    DUAL = "dual"  # classic commits, the mirror follows
    CLOSED = "closed"  # the pause before the point of no return: no writes
    LIMITLESS_ONLY = "limitless_only"  # after the point of no return


class FallbackScope(StrEnum):
    """What a fallback covers."""

    ALL = "all"
    PART = "part"  # one mirror partition
    TENANT = "tenant"


@dataclass(frozen=True, slots=True)
class Trip:
    """A breaker that one process holds open."""

    process_id: str
    scope: FallbackScope
    key: str
    reason: str


class Route(NamedTuple):
    """One tenant's route, as stored on classic. A named tuple: a process makes thousands of them when a wave moves.

    Attributes:
        part: mirror partition, 1..n.
        reads_pct: share of reads that go to Limitless at level LIMITLESS, 0 to 100.
        epoch: number of the change that wrote this row; every change is a compare-and-set on it.
    """

    tenant_id: TenantId
    part: int
    level: Level
    reads_pct: int
    epoch: int


LEGAL_MOVES: frozenset[tuple[Level, Level]] = frozenset(
    {
        (Level.CLASSIC, Level.JOINING),
        (Level.JOINING, Level.LIMITLESS),
        (Level.JOINING, Level.CLASSIC),
        (Level.LIMITLESS, Level.CLASSIC),
        (Level.LIMITLESS, Level.LIMITLESS),  # another percentage
    }
)

"""What a process' shim has counted since it was opened: `Shim.stats()`, and what its OpenTelemetry meter tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from migrator.model import latency
from migrator.model.ack import Ack
from migrator.model.measured import ACK, ERROR, FELL_BACK
from migrator.model.side import Side
from migrator.shim.metrics import Count


@dataclass(frozen=True, slots=True)
class Waits:
    """Writes of one level of acknowledgement.

    Attributes:
        unconfirmed: committed, and their acknowledgement failed (CommittedUnconfirmed).
        buckets: how long they waited behind their COMMIT; see migrator.model.latency.
    """

    writes: int = 0
    unconfirmed: int = 0
    buckets: tuple[int, ...] = ()

    @property
    def p99_ms(self) -> float:
        """99th percentile in ms, at most 19 % too high; 0 with none counted."""
        return latency.p99_of(self.buckets)


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the shim was opened, and how things are now.

    Attributes:
        reads: by side that answered. failures: of side and class of SQLSTATE, which count against the side; class 08
            stands for a connection that was lost or refused, too.
        fell_back: reads that classic answered after Limitless had failed or been too late.
        writes: by level of acknowledgement.
        routes_age_s: since classic last vouched for the routes; past `staleness_s` reads come from classic. None before
            it ever did, and once the migration is over.
        breakers: that this process holds open, by scope.
    """

    reads: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[tuple[str, str], int] = field(default_factory=dict)
    fell_back: int = 0
    writes: Mapping[str, Waits] = field(default_factory=dict)
    routes_age_s: float | None = None
    epoch: int = -1
    settled: bool = False
    breakers: Mapping[str, int] = field(default_factory=dict)


def stats_of(counts: Mapping[str, Count], **now: Any) -> Stats:
    """Return *counts*, by the keys of migrator.model.measured, as an application reads them. Pure."""
    failures = {}
    for key, count in counts.items():
        if key.startswith(ERROR):
            side, _, state_class = key.removeprefix(ERROR).partition("/")
            failures[side, state_class] = count.number
    waits = {ack.value: counts.get(f"{ACK}{ack.value}", Count()) for ack in Ack}
    return Stats(
        reads={side.value: counts.get(side.value, Count()).number for side in Side},
        failures=failures,
        fell_back=counts.get(FELL_BACK, Count()).number,
        writes={ack: Waits(count.number, count.failed, count.buckets) for ack, count in waits.items()},
        **now,
    )

"""A process' settings, besides two connection strings.

The values come from classic (migrator.plan.shim), so that a change of plan reaches processes without a deployment.
Unknown keys are ignored: an older shim must work with a newer plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from migrator.model.ack import Ack


@dataclass(frozen=True, slots=True)
class Settings:
    """Bounds of one process.

    Attributes:
        staleness_s: routes older than this are not trusted: reads come from classic.
        poll_s: how often routes are read when no notification comes.
        ack: the level of acknowledgement of a write that names none.
        ack_wait_s: a write waits at most this long for the mirror, then its partition falls back.
        max_lag_s: a partition whose published position is older is not read from Limitless.
        closed_wait_s: a write waits at most this long while writes are closed.
        shadow_ratio: share of reads that also run on the other side, to compare.
        session_wait_s: a read with a token waits at most this long for the mirror before it goes to classic.
        read_timeout_s: a statement on Limitless may take at most this long.
        window_s, min_reads, error_ratio, p99_ms: when this process opens its breaker; see migrator.shim.breaker.
        replica_reads: whether reads of classic go to its replicas (0: to the writer).
        replica_wait_s: a write waits at most this long for a replica, which is then taken out of service.
        replica_answer_s: a replica that takes longer to begin a read is given up.
        writer_reads_per_s: reads that replicas should have answered, and the writer takes of this process (0: all).
        failures: so many failures in a row open it too, however few reads there are.
        open_s, probes: how long it stays open, and how many good probes close it.
    """

    staleness_s: float = 3.0
    poll_s: float = 0.5
    ack: Ack = Ack.EVERYWHERE
    ack_wait_s: float = 1.0
    max_lag_s: float = 5.0
    closed_wait_s: float = 30.0
    shadow_ratio: float = 0.0
    session_wait_s: float = 0.0
    read_timeout_s: float = 5.0
    window_s: float = 5.0
    min_reads: int = 20
    error_ratio: float = 0.2
    p99_ms: float = 1000.0
    failures: int = 5
    open_s: float = 2.0
    probes: int = 3
    replica_reads: int = 1
    replica_wait_s: float = 0.5
    replica_answer_s: float = 1.0
    writer_reads_per_s: float = 50.0

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Return the settings stored on classic; what is missing keeps its default.

        A level of acknowledgement of a later release, which this one does not know, is the strongest one.
        """
        known = {f.name: type(getattr(cls(), f.name)) for f in fields(cls) if f.name != "ack"}
        values: dict[str, Any] = {name: kind(stored[name]) for name, kind in known.items() if name in stored}
        return cls(**values, ack=Ack(stored["ack"]) if stored.get("ack") in list(Ack) else Ack.EVERYWHERE)

    @property
    def registered_s(self) -> float:
        """After how many silent seconds others may assume that this process reads classic.

        A little more than staleness_s: clocks of two machines do not run at exactly the same speed.
        """
        return self.staleness_s * 1.1 + 0.25

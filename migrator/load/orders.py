"""What a generator's process is told, and what it reports: one JSON document a line. Pure.

Told: `Orders`, then the moment at which the test begins, then perhaps to stop. Reported: `ready`, then once a second
what has happened since the last report, at last `over`. Connection strings are not among it, only where they are found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from migrator.load.arrivals import Pattern, Window
from migrator.load.draw import Deck, Rows
from migrator.load.histogram import Histogram
from migrator.load.workload import Transaction, from_json, to_json

REPORT_S = 1.0


@dataclass(frozen=True, slots=True)
class Orders:
    """A test, as one of its processes runs it.

    Attributes:
        reference: where the connection string is found.
        side: what the target is called, "classic" or "Limitless".
        process, processes: which of them it is; arrivals are dealt to them in turn.
        connections: kept open by this process; in a storm, at most open at once.
        storm: each arrival is a client that connects, does one transaction and leaves.
        tenants: for each transaction, with their weights; None where it needs none.
        turns, think_s: transactions of one session, and the mean pause between them.
        timeout_s: of a statement; twice as long without an answer, and the connection counts as lost.
        patience_s: an arrival whose turn has not come by then gives up.
        slow_ms: what the stop rule calls slow.
    """

    reference: str
    side: str
    process: int
    processes: int
    connections: int
    storm: bool
    windows: tuple[Window, ...]
    pattern: Pattern
    seed: int
    transactions: tuple[Transaction, ...]
    tenants: tuple[Mapping[str, float] | None, ...]
    pools: Mapping[str, Rows] = field(default_factory=dict)
    turns: int = 1
    think_s: float = 0.0
    unique_from: int = 0
    commit: bool = False
    timeout_s: float = 10.0
    patience_s: float = 10.0
    slow_ms: float = 5000.0

    def deck(self) -> Deck:
        return Deck.of(self.seed, self.transactions, self.tenants, self.pools, self.turns, self.unique_from)

    def to_json(self) -> dict[str, Any]:
        plain = {
            name: getattr(self, name)
            for name in (
                "reference", "side", "process", "processes", "connections", "storm", "seed", "turns", "think_s",
                "unique_from", "commit", "timeout_s", "patience_s", "slow_ms",
            )
        }  # fmt: skip
        return {
            **plain,
            "pattern": self.pattern.value,
            "windows": [[w.begin_s, w.end_s, w.begin_rate, w.end_rate, w.warm_up] for w in self.windows],
            "transactions": to_json(self.transactions),
            "tenants": [None if weights is None else list(weights.items()) for weights in self.tenants],
            "pools": {name: {t: [list(r) for r in rows] for t, rows in of.items()} for name, of in self.pools.items()},
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Orders:
        return cls(
            **{
                **body,
                "pattern": Pattern(body["pattern"]),
                "windows": tuple(Window(*window) for window in body["windows"]),
                "transactions": from_json(body["transactions"]),
                "tenants": tuple(None if pairs is None else dict(pairs) for pairs in body["tenants"]),
            }
        )


@dataclass(slots=True)
class Count:
    """What became of the arrivals of one window, in one process or all of them.

    Attributes:
        arrived: planned in it. abandoned: of these, given up before their turn, or when the test was stopped.
        served: answered without error while the window lasted, whenever planned.
        errors: of those planned in it, by SQLSTATE.
        latency: of those planned in it, from then; given up ones with the time that they waited.
        late: by how much the generator itself was late.
        statements: execution alone, by "transaction number.statement number". connect: of new connections.
        cpu: share of one processor that this process used; of several processes the highest.
    """

    arrived: int = 0
    abandoned: int = 0
    served: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    latency: Histogram = field(default_factory=Histogram)
    late: Histogram = field(default_factory=Histogram)
    connect: Histogram = field(default_factory=Histogram)
    statements: dict[str, Histogram] = field(default_factory=dict)
    cpu_s: dict[int, float] = field(default_factory=dict)

    def merge(self, other: Count) -> None:
        self.arrived += other.arrived
        self.abandoned += other.abandoned
        self.served += other.served
        for state, count in other.errors.items():
            self.errors[state] = self.errors.get(state, 0) + count
        for mine, others in ((self.latency, other.latency), (self.late, other.late), (self.connect, other.connect)):
            mine.merge(others)
        for name, took in other.statements.items():
            self.statements.setdefault(name, Histogram()).merge(took)
        for process, cpu_s in other.cpu_s.items():
            self.cpu_s[process] = self.cpu_s.get(process, 0.0) + cpu_s

    def to_json(self) -> dict[str, Any]:
        return {
            "arrived": self.arrived,
            "abandoned": self.abandoned,
            "served": self.served,
            "errors": self.errors,
            "latency": self.latency.to_json(),
            "late": self.late.to_json(),
            "connect": self.connect.to_json(),
            "statements": {name: took.to_json() for name, took in self.statements.items()},
            "cpu_s": {str(process): cpu_s for process, cpu_s in self.cpu_s.items()},
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Count:
        return cls(
            body["arrived"],
            body["abandoned"],
            body["served"],
            dict(body["errors"]),
            Histogram.from_json(body["latency"]),
            Histogram.from_json(body["late"]),
            Histogram.from_json(body["connect"]),
            {name: Histogram.from_json(pairs) for name, pairs in body["statements"].items()},
            {int(process): cpu_s for process, cpu_s in body["cpu_s"].items()},
        )


def window_at(windows: Sequence[Window], at_s: float) -> int:
    """Return the number of the window in which *at_s* lies; len(windows) after the last."""
    return next((number for number, window in enumerate(windows) if at_s < window.end_s), len(windows))

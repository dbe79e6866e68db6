"""Logs what the decision log, the incidents and the phases on classic say: of workers, shims and people alike.

What was committed is told, once, by the worker whose turn it is (workflows/sampling.py); another one that takes over
begins with what is a minute old, so that nothing is missed and the last minute may be told twice. Many decisions of one
statement, as of a wave of thousands of tenants, are one event with their count.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

import psycopg

from migrator.db.named import load
from migrator.log_events import EVENTS, tell

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "log.sql")

LATE_S = 120.0
"""Numbers are given before rows are committed. One that is missing is asked for again for so long: transactions that
decide something end within seconds, or are rolled back."""

MISSING = 10_000
"""So many at most, the newest: after a crash a sequence leaves numbers out."""

SHOWN = 3
"""Blockers that are told of a phase; status has them all."""

AT_ONCE = 5_000
"""Rows of one look; the next one goes on from there."""


class Decided(NamedTuple):
    number: int
    at: datetime
    who: str
    kind: str
    subject: str
    reason: str


class Reported(NamedTuple):
    number: int
    who: str
    kind: str
    reason: str
    times: int


class Stood(NamedTuple):
    phase: str
    state: str
    blockers: list[str]


@dataclass
class Seen:
    """The newest number that was told, and those below that were not there yet, each with when that was seen."""

    newest: int
    missing: dict[int, float] = field(default_factory=dict)

    def wanted(self) -> dict[str, Any]:
        """Return what a statement needs to find what was not told yet."""
        return {"newest": self.newest, "missing": list(self.missing), "n": AT_ONCE}

    def add(self, numbers: Iterable[int], now_s: float) -> None:
        """Remember that *numbers* were told at *now_s*; what is missing for long comes no more."""
        there = set(numbers)
        newest = max([self.newest, *there])
        first = max(self.newest + 1, newest - MISSING)
        self.missing |= dict.fromkeys(range(first, newest), now_s)
        self.missing = {n: at for n, at in self.missing.items() if n not in there and now_s - at < LATE_S}
        self.newest = newest


@dataclass
class Teller:
    """Tells what is new since it was asked before. Keeps numbers alone, and may outlive its connection."""

    clock: Callable[[], float] = time.monotonic
    decisions: Seen | None = None
    incidents: Seen | None = None
    phases: dict[str, tuple[str, ...]] | None = None

    def step(self, conn: Connection) -> None:
        """Read and tell; three small statements."""
        if self.decisions is None or self.incidents is None:
            row = conn.execute(_SQL["a_minute_ago"]).fetchone()
            assert row is not None
            self.decisions, self.incidents = Seen(int(row[0])), Seen(int(row[1]))
        decided = [Decided(*row) for row in conn.execute(_SQL["decided"], self.decisions.wanted())]
        for name, keys in told(decided):
            tell(name, **keys)
        self.decisions.add((one.number for one in decided), self.clock())
        reported = [Reported(*row) for row in conn.execute(_SQL["reported"], self.incidents.wanted())]
        for one in reported:
            tell("incident.recorded", kind=one.kind, actor=one.who, reason=one.reason, times=one.times)
        self.incidents.add((one.number for one in reported), self.clock())
        self._phases([Stood(*r) for r in conn.execute(_SQL["stood"])])

    def _phases(self, now: Sequence[Stood]) -> None:
        known = {one.phase: (one.state, *map(without_numbers, one.blockers)) for one in now}
        before = known if self.phases is None else self.phases
        for one in now:
            if known[one.phase] != before.get(one.phase):
                was = before.get(one.phase, ("",))[0]
                count, first = len(one.blockers), "; ".join(one.blockers[:SHOWN])
                tell("phase.changed", phase=one.phase, state=one.state, before=was, count=count or None, blockers=first)
        self.phases = known


def without_numbers(text: str) -> str:
    """Return *text* with its numbers left open: seconds and counts of a blocker change with every look. Pure."""
    return re.sub(r"\d+([.,]\d+)*", "#", text)


def told(decided: Sequence[Decided]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events of *decided*: one for what was decided at one moment, by one actor, of one kind. Pure."""
    for (_, who, kind, reason), group in groupby(decided, lambda d: (d.at, d.who, d.kind, d.reason)):
        all_of_it = list(group)
        keys: dict[str, Any] = {"actor": who, "subject": all_of_it[0].subject, "reason": reason}
        if len(all_of_it) > 1:
            keys["count"] = len(all_of_it)
        known = kind in EVENTS and EVENTS[kind].decision
        yield (kind, keys) if known else ("decision.recorded", {"kind": kind, **keys})

"""What a process knows about classic's read replicas, and which of them it may read. Pure values.

The promise to keep: a write acknowledged through a shim is seen by every later read of every process, on whichever
replica it is answered. So an acknowledged write waits for every replica that some process may read (`Registry.owed`),
and a replica is read only while it is in service under routes that are valid (`Registry.serves`).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from migrator.shim.replica_change import Level


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the write-ahead log of one start of the writer, in bytes."""

    writer: str
    lsn: int

    @classmethod
    def of(cls, row: Sequence[str | None]) -> Position | None:
        """Return the answer of replica_sql.written as a value; None when the writer gave none."""
        return cls(row[0], int(row[1])) if len(row) == 2 and row[0] and row[1] else None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server says of itself at one moment."""

    in_recovery: bool
    instance: str
    lsn: int  # replayed; -1 when it replays nothing
    serializable: bool = False  # whether transactions of this session are by default, which no standby can do

    @classmethod
    def of(cls, row: Sequence[Any]) -> Seen:
        """Return the answer of replica_sql.replayed as a value."""
        return cls(row[0] in (True, "t"), str(row[1]), -1 if row[2] is None else int(row[2]), "serializable" in row[3:])


@dataclass(frozen=True, slots=True)
class Replica:
    """A row of migrator.replica."""

    instance: str
    name: str
    level: Level
    epoch: int
    writer: str
    changed_by: str
    age_s: float
    outs: int


@dataclass(frozen=True, slots=True)
class Registry:
    """The replicas as classic's control tables say, read after the routes of a view and confirmed with its epoch.

    Attributes:
        writer: the instance of the writer that said so. A row that names another one counts for nothing: that writer
            was restarted, replaced or restored since, and its positions are not those of this one.
        confirmed: the epoch that every live process has applied; -1 when it was not asked.
    """

    writer: str = ""
    replicas: Mapping[str, Replica] = field(default_factory=dict)
    confirmed: int = -1

    @classmethod
    def of(cls, row: Sequence[Any], before: Registry, *, same_history: bool) -> Registry:
        """Return the answer of replica_sql.replicas as a value."""
        rows = (
            Replica(i, n, Level(lv), int(e), w, by, float(age), int(outs)) for i, n, lv, e, w, by, age, outs in row[2]
        )
        known = before.confirmed if same_history else -1
        return cls(str(row[0]), {r.instance: r for r in rows}, known if row[3] is None else max(known, int(row[3])))

    def serves(self, instance: str) -> Replica | None:
        """Return the replica when it may be read."""
        found = self.replicas.get(instance)
        return found if found is not None and found.level is Level.SERVING and found.writer == self.writer else None

    @property
    def began(self) -> bool:
        """Whether a replica has been in service. Before that, the writer carries the reads of classic anyway."""
        return any(r.level is not Level.JOINING or r.outs for r in self.replicas.values())

    @property
    def owed(self) -> tuple[Replica, ...]:
        """Replicas that some process may read: in service, or out and not yet confirmed by all.

        Going down takes the same care as going up, as with partitions: see view.View.
        """
        return tuple(r for r in self.replicas.values() if r.level is not Level.OUT or r.epoch > self.confirmed)

    @property
    def asks(self) -> bool:
        """Whether confirmations matter now."""
        return any(r.level is Level.JOINING or (r.level is Level.OUT and r.epoch > self.confirmed)
                   for r in self.replicas.values())  # fmt: skip

    def behind(self, position: Position, replayed: Mapping[str, int]) -> list[Replica]:
        """Return the replicas that some process may read and that are not known to hold *position*."""
        return [
            r for r in self.owed if r.writer != position.writer or replayed.get(r.instance, -1) < position.lsn
        ]  # fmt: skip


MARKS = 256
"""So many moments of the writer are kept."""


@dataclass
class Lag:
    """How long ago the writer was where a replica is now, by this process' clock alone."""

    marks: tuple[tuple[float, int], ...] = ()  # (asked at s, lsn), oldest first; replaced whole, as threads read it

    def wrote(self, at_s: float, lsn: int) -> None:
        """Note that the writer was at *lsn*; *at_s* is from before it was asked."""
        marks = self.marks
        if marks and lsn < marks[-1][1]:
            marks = ()  # another writer
        if not marks or lsn > marks[-1][1]:
            marks = (*marks[1 - MARKS :], (at_s, lsn))
        self.marks = marks

    def of(self, replayed: int, at_s: float) -> float:
        """Return for how long a replica at *replayed* has missed something, in seconds; 0 when it misses nothing."""
        found = 0.0
        for since_s, lsn in reversed(self.marks):  # most replicas miss nothing, or the last mark alone
            if lsn <= replayed:
                break
            found = max(0.0, at_s - since_s)
        return found


FAILURES = 3
"""So many failed reads in a row eject a replica in this process; an answer that never came does so at once."""

MIN_READS = 20
SLOW = 4.0
SLOW_FLOOR_MS = 50.0
"""It is ejected too when its mean latency is so many times the others' and above this."""

EJECTED_S = 2.0
LONGEST_S = 60.0


@dataclass(frozen=True, slots=True)
class Health:
    """Of one replica in one process. It never decides what is true, only where to ask first.

    Attributes:
        row: failures since the last good answer.
        mean_ms: of the last reads, decaying; None before the first.
        out_until_s: ejected until then; after it one read at a time tries (`trial`).
        times: how often it was ejected without ten good answers in between.
    """

    row: int = 0
    good: int = 0
    mean_ms: float | None = None
    out_until_s: float = 0.0
    times: int = 0
    trial: bool = False

    def admits(self, at_s: float) -> bool:
        """Return whether a read may be sent there now."""
        return not self.times or (at_s >= self.out_until_s and not self.trial)

    def answered(self, ms: float) -> Health:
        """Return it after a good answer. Ten of them in a row after an ejection make it healthy again."""
        mean = ms if self.mean_ms is None else 0.9 * self.mean_ms + 0.1 * ms
        good = self.good + 1
        recovered = good >= 10
        return replace(self, row=0, good=good, mean_ms=mean, trial=False, times=0 if recovered else self.times)

    def failed(self, at_s: float, jitter: float, *, silent: bool = False) -> Health:
        """Return it after a failure. *jitter*, from 0 to 1, keeps processes from returning all at once."""
        again = replace(self, row=self.row + 1, good=0, trial=False)
        return again.ejected(at_s, jitter) if silent or self.times or again.row >= FAILURES else again

    def ejected(self, at_s: float, jitter: float) -> Health:
        """Return it put aside, each time for longer."""
        away_s = min(LONGEST_S, EJECTED_S * 2.0**self.times) * (0.75 + 0.5 * jitter)
        return replace(self, row=0, good=0, mean_ms=None, out_until_s=at_s + away_s, times=min(self.times + 1, 8))

    @property
    def half_open(self) -> bool:
        return self.times > 0


def too_slow(mine: Health, others: Iterable[Health]) -> bool:
    """Return whether a replica answers far slower than the others do; never when there are none to compare with."""
    means = [h.mean_ms for h in others if h.mean_ms is not None and not h.times]
    if not means or mine.mean_ms is None or mine.good < MIN_READS or mine.mean_ms < SLOW_FLOOR_MS:
        return False
    return mine.mean_ms > SLOW * statistics.median(means)


def by_turns(candidates: Sequence[int], turn: int) -> list[int]:
    """Return *candidates* in the order in which to ask them, beginning with the next one."""
    if not candidates:
        return []
    start = turn % len(candidates)
    return [*candidates[start:], *candidates[:start]]


@dataclass
class Bucket:
    """Bounds what the writer gets of the reads that replicas should answer."""

    per_s: float
    left: float = 0.0
    at_s: float = 0.0

    def take(self, at_s: float) -> bool:
        """Return whether one more read may go there now; a second's worth may come at once."""
        if self.at_s == 0.0:
            self.left, self.at_s = max(1.0, self.per_s), at_s
        self.left = min(max(1.0, self.per_s), self.left + (at_s - self.at_s) * self.per_s)
        self.at_s = at_s
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True

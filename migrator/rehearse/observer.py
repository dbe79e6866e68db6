"""Observes the rehearsal several times a second, for the waits, the screen and the charts.

One thread reads classic's control schema and the ledgers, keeps a sample, and wakes the threads that wait. Waits are
for facts, have a timeout, and say what did not happen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from migrator.errors import MigratorError
from migrator.rehearse.facts import Facts, Looker
from migrator.rehearse.footprint import memory_mb
from migrator.rehearse.ledger_tail import LedgerTail, Traffic

EVERY_S = 0.15
MEMORY_EVERY_S = 3.0


class NeverHappened(MigratorError):
    """Something the rehearsal waited for did not happen in time."""

    def __init__(self, what: str, waited_s: float, seen: str) -> None:
        super().__init__(f"{what}: not within {waited_s:.0f} s. {seen}")
        self.what = what


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample, at seconds on the monotonic clock."""

    at: float
    facts: Facts
    traffic: Traffic


@dataclass(slots=True)
class PhaseSpan:
    """When a phase was seen to begin and to be done."""

    phase: str
    began: float
    ended: float | None = None
    detail: str = ""


@dataclass
class Observer:
    """Takes samples until `close`. *alive* raises when a process that must run has ended."""

    looker: Looker
    tail: LedgerTail
    alive: Callable[[], None]
    roots: Callable[[], list[int]]
    show: Callable[[Sample], None]
    samples: list[Sample] = field(default_factory=list)
    spans: dict[str, PhaseSpan] = field(default_factory=dict)
    peak_mb: float | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _news: threading.Condition = field(default_factory=threading.Condition)
    _thread: threading.Thread | None = None
    _trouble: BaseException | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
        self.looker.close()

    @property
    def latest(self) -> Sample:
        return self.samples[-1] if self.samples else Sample(time.monotonic(), Facts(), Traffic())

    def wait(self, what: str, happened: Callable[[Sample], bool], timeout_s: float) -> Sample:
        """Return the first sample, taken from now on, in which it *happened*.

        Raises:
            NeverHappened: not within *timeout_s*; says what was seen last.
        """
        began = time.monotonic()
        while True:
            with self._news:
                fresh = self._news.wait_for(lambda: self.latest.at >= began, timeout=5)
            self.alive()
            if self._trouble is not None:
                raise self._trouble
            sample = self.latest
            if fresh and happened(sample):
                return sample
            if time.monotonic() - began > timeout_s:
                raise NeverHappened(what, timeout_s, describe(sample.facts))
            with self._news:
                self._news.wait_for(partial(self._is_newer, sample.at), timeout=1)

    def _is_newer(self, than: float) -> bool:
        return self.latest.at > than

    def _run(self) -> None:
        due_memory = 0.0
        try:
            while not self._stop.is_set():
                at = time.monotonic()
                sample = Sample(at, self.looker.look(), self.tail.follow())
                self._note_phases(sample)
                if at >= due_memory:
                    due_memory = at + MEMORY_EVERY_S
                    used = memory_mb(self.roots())
                    if used is not None:
                        self.peak_mb = max(used, self.peak_mb or 0.0)
                with self._news:
                    self.samples.append(sample)
                    self._news.notify_all()
                self.show(sample)
                self._stop.wait(max(0.02, EVERY_S - (time.monotonic() - at)))
        except BaseException as error:  # a bug here must reach the thread that waits
            self._trouble = error
            with self._news:
                self._news.notify_all()

    def _note_phases(self, sample: Sample) -> None:
        for name, fact in sample.facts.phases.items():
            span = self.spans.setdefault(name, PhaseSpan(name, sample.at))
            span.detail = fact.detail or span.detail
            if fact.state == "done" and span.ended is None:
                span.ended = sample.at


def describe(facts: Facts) -> str:
    """Return the migration's state, for the message of a wait that timed out."""
    if not facts.reachable:
        return "Classic does not answer."
    if not facts.installed:
        return "The control schema is not installed."
    parts = [f"{name} is {p.state}" + (f" ({p.detail})" if p.detail else "") for name, p in facts.phases.items()]
    current = facts.current
    if current:
        parts += [f"blocked: {b}" for b in current[1].blockers]
    parts.append(f"copy units {facts.units or 'none'}, tenants {facts.tenants or 'none'}")
    parts.append(f"{facts.reading} tenants read Limitless")
    parts += [f"fallback of {f.scope} {f.key} by {f.by}" for f in facts.fallbacks]
    parts += facts.problems
    return "Seen last: " + "; ".join(parts)

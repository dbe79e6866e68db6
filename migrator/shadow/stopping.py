"""When does a shadow run stop before its end? Pure.

It is a guest: classic goes first. What it sees of classic, its own calls and the round trips between them, decides.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field

from migrator.model.side import Side
from migrator.model.sqlstate import Fault, fault_of
from migrator.model.traffic_test import LOST
from migrator.shadow.ask import Answer

TROUBLE = 3
"""Answers of classic that say it is overloaded or unreachable, after which the run stops."""

TIMED_OUT = "57014"
TIMEOUTS = 10
"""Calls that classic did not answer within the run's timeout, after which the run stops."""

LOST_THERE = 10
"""Answers of Limitless in a row that did not come."""

INTERRUPTED = "interrupted (Ctrl-C)"
"""Why a run stopped that a person ended."""

RECENT = 9
"""Round trips whose median counts."""


@dataclass
class Watch:
    """Collects what a run meets; `why` is not empty once it has to stop.

    Attributes:
        most_ms: the median round trip to classic above which the run stops.
    """

    most_ms: float
    why: str = ""
    _trouble: int = 0
    _timeouts: int = 0
    _lost: int = 0
    _trips: dict[Side, list[float]] = field(default_factory=lambda: {Side.CLASSIC: [], Side.LIMITLESS: []})
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def answered(self, side: Side, answer: Answer) -> None:
        """Note an answer to a call."""
        if side is Side.LIMITLESS:
            self._lost = self._lost + 1 if answer.state == LOST else 0
            if self._lost >= LOST_THERE:
                self._stop(f"Limitless did not answer {self._lost} calls in a row: {answer.why}")
            return
        if answer.state == TIMED_OUT:
            self._timeouts += 1
            if self._timeouts >= TIMEOUTS:
                self._stop(f"classic did not answer {self._timeouts} calls within the timeout")
        elif answer.state and (answer.state == LOST or fault_of(answer.state) in (Fault.UNREACHABLE, Fault.OVERLOADED)):
            self._trouble += 1
            if self._trouble >= TROUBLE:
                self._stop(f"classic is in trouble: {answer.why}")

    def went(self, side: Side, ms: float) -> None:
        """Note a round trip."""
        self._trips[side].append(ms)
        if side is not Side.CLASSIC:
            return
        self._recent.append(ms)
        if len(self._recent) == RECENT and (median := statistics.median(self._recent)) > self.most_ms:
            self._stop(f"a round trip to classic takes {median:.0f} ms (limit {self.most_ms:.0f} ms)")

    def interrupted(self) -> None:
        """Note that a person ended the run."""
        self._stop(INTERRUPTED)

    def trip_ms(self, side: Side) -> float | None:
        """Return the median round trip to *side*; None without any."""
        trips = self._trips[side]
        return statistics.median(trips) if trips else None

    def _stop(self, why: str) -> None:
        self.why = self.why or why

"""Holds the phases against the decision's calendar of 24 weeks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from migrator.model.status import PhaseLine

DECIDED_WEEKS = 24.0
PLANNED: dict[str, tuple[float, float]] = {
    "audit": (0, 3),
    "provision": (3, 6),
    "dual_write": (6, 10),
    "cutover": (10, 14),
    "stabilize": (14, 24),
    "decommission": (24, 24),
}
"""When each phase begins and ends, in weeks since the migration's start, of 24."""

WEEK_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """A phase on the calendar; weeks since the start of the migration.

    Attributes:
        planned: from and to.
        actual: from and, where it has ended, to; None: it has not begun. One that runs ends now.
    """

    phase: str
    state: str
    planned: tuple[float, float]
    actual: tuple[float, float] | None
    line: PhaseLine

    @property
    def weeks(self) -> str:
        """Return the planned weeks as people count them, from 1 on."""
        begin, end = round(self.planned[0]) + 1, round(self.planned[1])
        return f"week {end}" if begin >= end else f"weeks {begin} to {end}"


@dataclass(frozen=True, slots=True)
class Calendar:
    """All phases, the week it is, and how that compares, in words; '' before the start and behind the end."""

    stretches: tuple[Stretch, ...]
    now: float | None
    weeks: float
    verdict: str


def calendar(phases: Sequence[PhaseLine], started: datetime | None, now: datetime, weeks: float) -> Calendar:
    """Return the calendar of a migration that began at *started* and was given so many *weeks*."""
    scale = weeks / DECIDED_WEEKS

    def since(moment: datetime) -> float:
        return (moment - (started or now)).total_seconds() / WEEK_S

    stretches = []
    for line in phases:
        begin, end = PLANNED.get(line.phase, (0, 0))
        actual = None
        if line.started_at is not None and line.state != "pending":
            actual = (max(since(line.started_at), 0.0), max(since(line.finished_at or now), 0.0))
        stretches.append(Stretch(line.phase, line.state, (begin * scale, end * scale), actual, line))
    at = None if started is None else max(since(now), 0.0)
    return Calendar(tuple(stretches), at, weeks, "" if at is None else _verdict(stretches, at))


def _verdict(stretches: Sequence[Stretch], now: float) -> str:
    current = next((s for s in stretches if s.state != "done"), None)
    if current is None:
        return ""
    begin, end = current.planned
    if now < begin:
        return f"ahead of the calendar: {current.phase.replace('_', ' ')} was planned for {current.weeks}"
    if now > max(end, begin):
        late = now - max(end, begin)
        said = f"{late:.1f} weeks" if late >= 0.95 else f"{late * 7:.1f} days"
        return f"{said} behind the calendar: {current.phase.replace('_', ' ')} was to end with week {round(end)}"
    return f"on time: {current.phase.replace('_', ' ')} is planned for {current.weeks}"

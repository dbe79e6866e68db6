"""Renders a running migration as one HTML file: where do we stand, how did we get here, what is left.

Self-contained: no script, no font, no request. It can be mailed, archived, and printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from markupsafe import Markup

from migrator.model.condition import Condition
from migrator.model.migration import Act, IncidentLine, MigrationFacts
from migrator.model.series import Series
from migrator.model.status import WaveLine
from migrator.report import panels, words
from migrator.report.outlook import Outlook
from migrator.report.over_time import over_time
from migrator.report.panels import Bar
from migrator.report.standing import Standing, stand
from migrator.report.template import render
from migrator.report.timeline import PHASE_NAMES

MARKS = 12
"""So many incidents and rollbacks are numbered in the drawings."""
WAVES = 60
LISTED = 50
LETTERS = 300


GRAVE = ("rollback", "capture", "divergence", "reported", "slo_breach", "fallback")
"""Kinds, the gravest first: where there are more than `MARKS`, these are numbered before those after them."""


@dataclass(frozen=True, slots=True)
class Mark:
    """An incident or a rollback."""

    at: datetime
    kind: str
    title: str
    detail: str


@dataclass(frozen=True, slots=True)
class Wave:
    """A wave with its times in words."""

    line: WaveLine
    began: str
    took: str


def page(facts: MigrationFacts, standing: Standing | None = None, origin: str = "") -> str:
    """Return the HTML page of *facts*; *standing* is what they come to, computed here where it is not given.

    Args:
        origin: where they come from, when it is not classic.
    """
    standing = standing or stand(facts)
    status = facts.status
    all_marks = marks(facts)
    shown = numbered(all_marks)
    return render(
        "migration.html",
        facts=facts,
        status=status,
        standing=standing,
        origin=origin,
        read=status.installed and status.phase is not None,
        calendar=_calendar(facts, standing.outlook),
        panels=over_time(facts, [mark.at for mark in shown]),
        resolution=_resolution(facts.series),
        marks=shown,
        more_marks=len(all_marks) > MARKS,
        conditions=[_condition(condition) for condition in facts.conditions],
        waves=_waves(facts),
        more_waves=max(len(status.waves) - WAVES, 0),
        acts=[_cut(act) for act in facts.acts[:LISTED]],
        more_acts=len(facts.acts) > LISTED,
        phases=PHASE_NAMES,
        listed=LISTED,
    )


def marks(facts: MigrationFacts) -> list[Mark]:
    """Return incidents and rollbacks, the oldest first. A rollback is in both lists, and counts once."""
    found = [_incident(incident) for incident in facts.incidents if incident.kind != "rollback"]
    found += [
        Mark(act.at, "rollback", f"Rollback of {_whom(act.subject)}", _said(act.who, act.reason))
        for act in facts.rollbacks
    ]
    return sorted(found, key=lambda mark: mark.at)


def numbered(found: Sequence[Mark]) -> list[Mark]:
    """Return those that are numbered, the oldest first: the gravest, of one kind the newest."""
    last = len(GRAVE)
    by_weight = sorted(
        found, key=lambda mark: (GRAVE.index(mark.kind) if mark.kind in GRAVE else last, -mark.at.timestamp())
    )
    return sorted(by_weight[:MARKS], key=lambda mark: mark.at)


def _incident(incident: IncidentLine) -> Mark:
    times = f", {words.count(incident.times)} times" if incident.times > 1 else ""
    kind = incident.kind.replace("_", " ")
    return Mark(incident.at, incident.kind, f"{kind.capitalize()}{times}", _said(incident.reported_by, incident.reason))


def _whom(subject: str) -> str:
    """Return whose reads a rollback moved: the log has the route of each tenant, and the switch."""
    if subject == "switch":
        return "all tenants"
    name, found, tenant = subject.partition("/")
    return f"tenant {words.cut(tenant, 60)}" if found and name == "route" else subject.replace("routes", "tenants")


def _said(who: str, reason: str) -> str:
    return f"{who}: {words.cut(reason, LETTERS)}"


def _condition(condition: Condition) -> Condition:
    return replace(condition, text=words.cut(condition.text, LETTERS), hint=words.cut(condition.hint, LETTERS))


def _cut(act: Act) -> Act:
    return replace(act, reason=words.cut(act.reason, LETTERS))


def _waves(facts: MigrationFacts) -> list[Wave]:
    """Return the newest waves, the newest first."""
    times = {wave.wave: wave for wave in facts.waves}
    found = []
    for line in sorted(facts.status.waves, key=lambda wave: -wave.wave)[:WAVES]:
        time = times.get(line.wave)
        chosen, finished = (time.chosen_at, time.finished_at) if time else (None, None)
        took = ""
        if chosen and finished:
            took = words.seconds_long((finished - chosen).total_seconds())
        elif chosen:
            took = f"since {words.seconds_long(max((facts.status.at - chosen).total_seconds(), 0.0))}"
        found.append(Wave(line, words.moment(chosen) if chosen else "", took))
    return found


def _calendar(facts: MigrationFacts, ends: Outlook) -> Markup:
    status = facts.status
    if status.started_at is None:
        return Markup()
    bars = []
    for phase in status.phases:
        if phase.started_at is not None:
            name = PHASE_NAMES.get(phase.phase, phase.phase)
            until = phase.finished_at or status.at
            took = words.seconds_long(max((until - phase.started_at).total_seconds(), 0.0))
            bars.append(Bar(name, phase.phase, phase.started_at, max(until, phase.started_at), f"{name}: {took}"))
    at = status.at
    for leg in ends.legs:
        if leg.seconds is None:
            break
        after = at + timedelta(seconds=min(leg.seconds, 3e9))
        if leg.seconds:
            said = f"{leg.what}: {words.seconds_long(leg.seconds)} ({leg.basis})"
            bars.append(Bar(PHASE_NAMES.get(leg.phase, leg.phase), leg.phase, at, after, said, ahead=True))
        at = after
    planned = (status.started_at, ends.planned_end) if ends.planned_end else None
    return panels.calendar(bars, status.at, planned, None if ends.ended else ends.end)


def _resolution(series: Series | None) -> str:
    if series is None:
        return ""
    return words.seconds_long(series.step_s)

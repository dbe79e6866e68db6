"""What the board says of a state: how it stands in a sentence, and what waits for whom. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from migrator.model.condition import Condition, Kind, Severity
from migrator.model.shown import duration
from migrator.model.status import PhaseLine, Status
from migrator.serve.feed import Seen

_APPROVE = re.compile(r"migrator approve ([a-z_]+|wave-[0-9]+) --as NAME")


@dataclass(frozen=True, slots=True)
class Headline:
    """How it stands. tone: calm, wait, bad, done or unknown."""

    tone: str
    text: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that waits: a condition. person: it does not clear by itself; gate: that an approval would open."""

    severity: str
    person: bool
    text: str
    hint: str
    since: datetime | None
    gate: str | None


def phase_name(phase: str | None) -> str:
    return (phase or "").replace("_", " ")


def waiting_gate(line: PhaseLine) -> str | None:
    """Return the gate that a phase waits to have approved; None: it waits for none."""
    if line.state != "waiting":
        return None
    match = _APPROVE.search(line.next_step)
    return match[1] if match else line.phase


def waits(conditions: Sequence[Condition]) -> tuple[Waiting, ...]:
    """Return what waits, the most urgent first."""
    found = []
    for one in conditions:
        gate = _APPROVE.search(one.hint) if one.kind is Kind.GATE_WAITS else None
        if one.kind is not Kind.FINISHED:
            made = Waiting(
                one.severity.value, not one.patient, one.text, one.hint, one.since, gate[1] if gate else None
            )
            found.append(made)
    return tuple(found)


def headline(seen: Seen) -> Headline:
    """Return how it stands."""
    if seen.picture is None:
        if seen.trouble is None:
            return Headline("unknown", "Classic has not answered yet")
        return Headline("unknown", f"Classic does not answer: {seen.trouble.why}", "Nothing is known of its state yet.")
    status, conditions = seen.picture.status, seen.picture.conditions
    if not status.installed:
        return Headline("calm", "No migration runs on this cluster")
    if any(one.kind is Kind.FINISHED for one in conditions):
        return Headline("done", "Finished: reads and writes are on Limitless, classic takes no writes any more")
    known = _known(status, conditions)
    if seen.trouble is not None:
        return Headline("bad", f"Classic does not answer: {seen.trouble.why}", f"Last known: {known.text}")
    return known


def _known(status: Status, conditions: Sequence[Condition]) -> Headline:
    where = f"{phase_name(status.phase)}: {status.phase_state}" if status.phase else ""
    worst = [one for one in conditions if one.severity.rank >= Severity.ERROR.rank]
    if worst:
        more = f", and {len(worst) - 1} more" if len(worst) > 1 else ""
        return Headline("bad", _sentence(worst[0].text) + more, where)
    if (line := next((one for one in status.phases if waiting_gate(one)), None)) is not None:
        for_s = f", for {duration((status.at - line.since).total_seconds())}" if line.since else ""
        return Headline("wait", f"The gate {phase_name(waiting_gate(line))} waits for an approval{for_s}", where)
    return _going(status, conditions)


def _going(status: Status, conditions: Sequence[Condition]) -> Headline:
    name = _sentence(phase_name(status.phase))
    if status.write_mode == "limitless_only":
        return Headline("wait", "Writes are on Limitless; the hand-over is being finished")
    wanting = [one for one in conditions if one.severity is Severity.WARNING]
    if status.phase_state in ("blocked", "undone"):
        return Headline("wait", f"{name} is {status.phase_state}", wanting[0].text if wanting else "")
    state = "has not begun" if status.phase_state == "pending" else "runs"
    if wanting:
        more = f", and {len(wanting) - 1} more" if len(wanting) > 1 else ""
        return Headline("wait", f"{name} {state}; {wanting[0].text}{more}")
    return Headline("calm", f"{name} {state}; nothing waits for a person")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]

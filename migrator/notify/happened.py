"""Which entries of the decision log are told as events, and what they say. Pure.

What lasts (a rollback of all, a fallback, a divergence) is found in the status while it stands. From the log it is told
only when no process looked while it stood, so that nothing is missed and nothing is told twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from migrator.control.notify import Act
from migrator.model.condition import Condition, Kind, Severity
from migrator.model.standing import counted, make

Telling = Callable[[Act], Condition | None]


def events(acts: Sequence[Act], missed_until: datetime | None, standing: Collection[str]) -> list[Condition]:
    """Return the events among *acts*, in their order.

    Args:
        missed_until: nothing looked before this moment, for a while; None: something always did.
        standing: names of the conditions that stand now.
    """
    found = []
    for act in acts:
        made = _TELLING[act.kind](act)
        if made is None:
            continue
        lasts = made.kind is Kind.DIVERGENCE or made.key.startswith(_LASTING)
        if lasts and not (missed_until is not None and act.at < missed_until):
            continue
        if made.name in standing:
            continue
        found.append(_once(made, act))
    return found


_LASTING = ("all", "part-")
"""Beginnings of the keys of what the status shows while it stands; so are divergences."""


def _once(condition: Condition, act: Act) -> Condition:
    """Return the event with a name of its own: each occurrence is told."""
    key = f"{condition.key or act.noun}-{act.ids[0]}"
    return Condition(
        condition.kind, condition.text, condition.hint, condition.severity, key, act.at, condition.count,
        condition.subjects, instant=True,
    )  # fmt: skip


def _names(act: Act) -> tuple[str, ...]:
    return tuple(subject.partition("/")[2] or subject for subject in act.subjects)


def _after(act: Act, key: str) -> Any:
    return act.after.get(key) if isinstance(act.after, Mapping) else None


def _rolled_back(act: Act) -> Condition | None:
    if act.noun == "switch":
        text = f"all reads were rolled back to classic by {act.who} ({act.reason}); it is over by now"
        return make(Kind.ROLLBACK, text, "See what happened: migrator report decisions", key="all")
    count = len(act.ids)
    text = f"reads of {counted(count, 'tenant')} were rolled back to classic by {act.who}: {act.reason}"
    hint = "They are held until they are released: migrator tenant show; migrator tenant release"
    return make(Kind.ROLLBACK, text, hint, severity=Severity.ERROR, key="tenants", count=count, subjects=_names(act))


def _guarded(act: Act) -> Condition | None:
    """The guard of a wave put tenants back on classic: reads there were too slow, or failed."""
    if act.who != "guard" or _after(act, "level") != "classic":
        return None
    count = len(act.ids)
    text = f"the guard of the wave put {counted(count, 'tenant')} back on classic: {act.reason}"
    hint = "See why: migrator tenant show; when the cause is corrected: migrator cutover"
    return make(Kind.SLO_BREACH, text, hint, key="wave", count=count, subjects=_names(act))


def _fallen_back(act: Act) -> Condition | None:
    _, _, rest = act.subjects[0].partition("/")
    scope, _, key = rest.partition("/")
    if scope == "tenant":
        return None  # brief and frequent: those that last are in the status
    whose = "every tenant" if scope == "all" else f"tenants of mirror partition {key}"
    text = f"reads of {whose} had fallen back to classic: {act.reason}; it is over by now"
    severity = Severity.ERROR if scope == "all" else Severity.WARNING
    hint = "See what happened: migrator report incidents"
    return make(Kind.FALLBACK, text, hint, severity=severity, key="all" if scope == "all" else f"part-{key}")


def _diverged(act: Act) -> Condition | None:
    text = f"a validation found rows that differ: {act.reason}; none is left"
    return make(Kind.DIVERGENCE, text, "See them: migrator validation history")


def _reported(act: Act) -> Condition | None:
    text = f"{act.who} reported an incident: {act.reason}"
    return make(Kind.INCIDENT, text, "It restarts or pauses the stabilization window: migrator status")


def _restarted(act: Act) -> Condition | None:
    text = f"the stabilization window began again: {act.reason}"
    return make(Kind.WINDOW_RESTARTED, text, "See the incident: migrator report incidents")


def _passed(act: Act) -> Condition | None:
    text = f"the phase {act.noun.replace('_', ' ')} is done" + ("" if act.who == "migration" else f" ({act.who})")
    return make(Kind.PHASE_DONE, text, "See what follows: migrator status")


def _chosen(act: Act) -> Condition | None:
    return make(Kind.WAVE_BEGUN, f"{act.noun} begins: {act.reason}", "Follow it: migrator status --watch")


def _wave_done(act: Act) -> Condition | None:
    return make(Kind.WAVE_DONE, f"{act.noun} is done: {act.reason}", "See what follows: migrator status")


def _mode(act: Act) -> Condition | None:
    if _after(act, "write_mode") != "limitless_only":
        return None
    text = f"Limitless is authoritative, the point of no return is passed: {act.reason} ({act.who})"
    return make(Kind.HANDED_OVER, text, "Follow the end: migrator status")


def _reopened(act: Act) -> Condition | None:
    text = f"the hand-over was given up, writes are open on classic again: {act.reason}"
    return make(Kind.WRITES_CLOSED, text, "Correct the cause, then: migrator resume")


_TELLING: Mapping[str, Telling] = {
    "rollback.decided": _rolled_back,
    "route.moved": _guarded,
    "fallback.raised": _fallen_back,
    "divergence.found": _diverged,
    "incident.reported": _reported,
    "window.restarted": _restarted,
    "gate.passed": _passed,
    "wave.chosen": _chosen,
    "wave.finished": _wave_done,
    "write_mode.changed": _mode,
    "writes.reopened": _reopened,
}

KINDS = tuple(_TELLING)
"""Kinds of decisions that are told."""

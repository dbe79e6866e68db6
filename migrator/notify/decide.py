"""Decides who is told what now: conditions that stand, what is known of them and the receivers in, messages out.

Pure. A condition is told once to each receiver that wants it, again when it gets worse or has stood for long, and as
over once it was not seen for a while, so that one that comes and goes is one message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from migrator.model.condition import Condition, Kind, Severity
from migrator.plan.notify import Notify, Receiver

WORSE = 10
"""What is about so many times more (tenants, partitions) than when it was told is told again."""


class Action(StrEnum):
    """What a message says about its condition."""

    OPENED = "opened"
    REPEATED = "repeated"
    ACKNOWLEDGED = "acknowledged"
    OVER = "over"
    HAPPENED = "happened"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a condition.

    Attributes:
        condition: as it was told last, or found first.
        first_at: when it was found.
        gone_at: since when it was not seen; None: it stands.
        told: when each receiver that knows of it was told last.
        acknowledged_by: who is on it; it is not repeated.
    """

    condition: Condition
    first_at: datetime
    gone_at: datetime | None = None
    told: Mapping[str, datetime] = field(default_factory=dict)
    acknowledged_by: str | None = None

    @property
    def since(self) -> datetime:
        """When it began, as far as that is known."""
        began = self.condition.since
        return min(began, self.first_at) if began is not None else self.first_at


@dataclass(frozen=True, slots=True)
class Message:
    """What one receiver is to be told. by: who acknowledged it."""

    receiver: str
    action: Action
    condition: Condition
    since: datetime
    by: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """What follows from one look: rows to store, names to forget, messages in their order."""

    put: Mapping[str, Known]
    drop: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()


def step(
    known: Mapping[str, Known],
    standing: Sequence[Condition],
    happened: Sequence[Condition],
    section: Notify,
    now: datetime,
    quiet_until: datetime | None = None,
) -> Step:
    """Return what follows from a look that found *standing*, and from the log that *happened* since the one before.

    Args:
        known: by the condition's name.
        now: on the clock of the moments in it.
        quiet_until: nothing that stands is told before.
    """
    put: dict[str, Known] = {}
    drop: list[str] = []
    messages: list[Message] = []
    for event in happened:
        messages += _each(section, Action.HAPPENED, event, event.since or now)
    for condition in {c.name: c for c in standing}.values():
        before = known.get(condition.name)
        row = _seen(before, condition, now)
        if _is_due(row, condition, section, now, quiet_until):
            told, acknowledged_by = dict(row.told), row.acknowledged_by
            if acknowledged_by and _is_worse(row.condition, condition):
                acknowledged_by = None
            for name, receiver in section.receiver.items():
                action = _action(replace(row, acknowledged_by=acknowledged_by), condition, name, receiver, section, now)
                if action is not None:
                    messages.append(Message(name, action, condition, row.since))
                    told[name] = now
            if told != row.told:
                row = replace(row, condition=condition, told=told, acknowledged_by=acknowledged_by)
        if row != before:
            put[condition.name] = row
    names = {condition.name for condition in standing}
    for name, row in known.items():
        if name in names or row.condition.instant:
            continue
        gone_at = row.gone_at or now
        if now - gone_at >= timedelta(seconds=section.over_after_s):
            drop.append(name)
            messages += [
                Message(receiver, Action.OVER, row.condition, row.since)
                for receiver in row.told
                if receiver in section.receiver
            ]
        elif row.gone_at is None:
            put[name] = replace(row, gone_at=gone_at)
    return Step(put, tuple(drop), tuple(messages))


def _each(section: Notify, action: Action, condition: Condition, since: datetime) -> list[Message]:
    return [
        Message(name, action, condition, since) for name, r in section.receiver.items() if _wants(name, r, condition)
    ]


def _wants(name: str, receiver: Receiver, condition: Condition) -> bool:
    """A receiver that fails is not told that it does."""
    return receiver.wants(condition) and not (condition.kind is Kind.RECEIVER_FAILING and condition.key == name)


def _seen(before: Known | None, condition: Condition, now: datetime) -> Known:
    """Return what is known of a condition that is seen now."""
    if before is None:
        return Known(condition, now)
    if _is_another(before.condition, condition):
        return Known(condition, now)
    return replace(before, gone_at=None)


def _is_another(before: Condition, now: Condition) -> bool:
    """Whether it began anew since it was told: the gate of another wave, a second rollback.

    One of a patient kind that begins anew again and again is the same one: a wave that is tried every few seconds.
    """
    if before.since is None or now.since is None or now.instant or now.patient:
        return False
    return now.since > before.since + timedelta(seconds=1)


def _is_worse(before: Condition, now: Condition) -> bool:
    return now.severity.rank > before.severity.rank or now.count >= WORSE * before.count


def _is_due(row: Known, condition: Condition, section: Notify, now: datetime, quiet_until: datetime | None) -> bool:
    if row.told or condition.instant:
        return True
    if quiet_until is not None and now < quiet_until:
        return False
    began = min(condition.since, row.first_at) if condition.since is not None else row.first_at
    return not condition.patient or now - began >= timedelta(seconds=section.tell_after_s)


def _action(
    row: Known, condition: Condition, name: str, receiver: Receiver, section: Notify, now: datetime
) -> Action | None:
    """Return what *receiver* is told of a condition that is due, None when nothing."""
    if not _wants(name, receiver, condition):
        return None
    last = row.told.get(name)
    if last is None:
        return Action.HAPPENED if condition.instant else Action.OPENED
    if condition.instant or row.acknowledged_by:
        return None
    if _is_worse(row.condition, condition):
        return Action.REPEATED
    every_s = section.repeat_s if receiver.repeat_s is None else receiver.repeat_s
    lasts = every_s and condition.severity.rank >= Severity.ERROR.rank
    return Action.REPEATED if lasts and now - last >= timedelta(seconds=every_s) else None

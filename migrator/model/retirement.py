"""What becomes of classic after the hand-over, and what is to be done next. Pure.

Its last copy is taken, it is stopped, kept for the plan's days, and deleted once a person has approved that by name and
the copy was restored in a drill. The copy is kept as the plan says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from migrator.model.blocker import Blocker

LOOK = timedelta(hours=6)
"""AWS starts a cluster that was stopped for seven days by itself: looked at so often, it runs for hours at most."""

SOON = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class FinalTable:
    """What a table held when classic took no writes any more. digest: of all rows, in no order."""

    name: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Retirement:
    """How far the retirement is, as Limitless holds it.

    Attributes:
        kind: aws, local, or kept: a cluster that this tool leaves running.
        now: Limitless's clock, when it was read.
        copy: name of the last copy; '' while there is none.
        shape: of the cluster, to restore its copy: engine, subnets, security groups, instance class.
        starts: how often it was found running after it was stopped.
        restored: the newest restore drill of this copy: at, who, passed, seconds, problems.
        approvals: of the deletion, each with who, when, of what and the signature.
        approved_by: who approved it, once they are as many as the plan asks for; '' before.
        approved_copy: the last copy that it was given for.
        events: at, who, what.
    """

    kind: str
    now: datetime
    cluster: str = ""
    why: str = ""
    copy: str = ""
    copied_at: datetime | None = None
    shape: Mapping[str, Any] = field(default_factory=dict)
    stopped_at: datetime | None = None
    stop_problem: str = ""
    starts: int = 0
    restored: Mapping[str, Any] = field(default_factory=dict)
    approvals: Sequence[Mapping[str, Any]] = ()
    approved_by: str = ""
    approved_at: datetime | None = None
    approved_copy: str = ""
    deleted_at: datetime | None = None
    copy_deleted_at: datetime | None = None
    events: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def of(cls, body: Mapping[str, Any], now: datetime) -> Retirement:
        """Return what *body* says, as it is stored."""
        moments = ("copied_at", "stopped_at", "approved_at", "deleted_at", "copy_deleted_at")
        known: dict[str, Any] = {name: value for name, value in body.items() if name in cls.__slots__}
        known |= {name: datetime.fromisoformat(body[name]) if body.get(name) else None for name in moments}
        return cls(**{**known, "now": now})

    @property
    def evidence(self) -> str:
        """What an approval of the deletion is about: this cluster, and this last copy."""
        return f"{self.cluster}/{self.copy}"

    @property
    def is_restored(self) -> bool:
        """Whether this very copy was restored and compared, and equal."""
        return bool(self.restored.get("passed")) and self.restored.get("copy") == self.copy


@dataclass(frozen=True, slots=True)
class Rules:
    """What the plan says. keep_copy: for so long after the deletion; None: without an end."""

    keep: timedelta
    keep_copy: timedelta | None = None
    restore_first: bool = True


class Act(StrEnum):
    """What is to be done next."""

    STOP = "stop"
    START = "start"  # a stopped cluster cannot be deleted
    DELETE = "delete"
    NOTE_DELETED = "note_deleted"  # it is gone
    DELETE_COPY = "delete_copy"
    WAIT = "wait"
    NOTHING = "nothing"  # all is done


@dataclass(frozen=True, slots=True)
class Step:
    """The next step, why, and when a look is due again."""

    act: Act
    text: str
    again: timedelta = LOOK


def kept_until(r: Retirement, rules: Rules) -> datetime | None:
    """Return until when classic is kept; None before its last copy."""
    return r.copied_at + rules.keep if r.copied_at else None


def copy_until(r: Retirement, rules: Rules) -> datetime | None:
    """Return until when the last copy is kept; None: without an end, or classic is not deleted yet."""
    return r.deleted_at + rules.keep_copy if r.deleted_at and rules.keep_copy is not None else None


def missing(r: Retirement | None, rules: Rules) -> tuple[Blocker, ...]:
    """Return what keeps a person from approving the deletion."""

    def one(code: str, text: str) -> tuple[Blocker, ...]:
        return (Blocker(code, "", text),)

    if r is None:
        return one("classic.not_retired", "classic is not retired yet: the decommission comes first")
    if r.kind != "aws":
        return one("classic.not_ours", f"this tool does not delete it: {r.why or 'it is no cluster of AWS'}")
    if r.deleted_at:
        return one("classic.deleted", f"classic was deleted on {r.deleted_at:%Y-%m-%d}")
    found: tuple[Blocker, ...] = ()
    if not r.copy:
        found += one("copy.missing", "classic has no last copy yet")
    if not r.stopped_at and not r.stop_problem:
        found += one("classic.runs", "classic is not stopped yet: it is stopped before it is deleted")
    if rules.restore_first and not r.is_restored:
        why = "did not pass" if r.restored else "was not restored"
        found += one("copy.not_restored", f"the last copy {r.copy} {why}: migrator drill restore")
    return found


def next_step(r: Retirement, rules: Rules, state: str | None, copy_seen: bool = True) -> Step:
    """Return what is to be done now.

    Args:
        state: of the cluster as AWS says it; None: there is none of that name.
        copy_seen: whether AWS has the last copy there, too. Where it has neither, another region or account was asked.
    """
    if r.kind != "aws" or r.copy_deleted_at:
        return Step(Act.NOTHING, "nothing is left to do")
    if r.deleted_at:
        until = copy_until(r, rules)
        if until is None:
            return Step(Act.NOTHING, f"classic is deleted; its last copy {r.copy} is kept without an end")
        if r.now >= until:
            return Step(Act.DELETE_COPY, f"the last copy {r.copy} was kept until {until:%Y-%m-%d}")
        return Step(Act.WAIT, f"the last copy {r.copy} is kept until {until:%Y-%m-%d}", min(LOOK, until - r.now))
    if state is None:
        if not copy_seen:
            text = f"AWS knows neither cluster {r.cluster} nor its last copy {r.copy or '(none)'} here"
            return Step(Act.WAIT, f"{text}: check region and account (aws.region)")
        return Step(Act.NOTE_DELETED, "classic is deleted")
    if state == "deleting":
        return Step(Act.WAIT, "classic is being deleted", SOON)
    if not r.copy or not r.copied_at:
        return Step(Act.WAIT, "classic has no last copy yet", SOON)
    until = r.copied_at + rules.keep
    approved = bool(r.approved_by) and r.approved_copy == r.copy and (r.is_restored or not rules.restore_first)
    if approved and r.now >= until:
        if state == "stopped":
            return Step(Act.START, "classic is started: AWS deletes no stopped cluster", SOON)
        if state == "available":
            return Step(Act.DELETE, f"deletion approved by {r.approved_by}", SOON)
        return Step(Act.WAIT, f"classic is {state}", SOON)
    waits = (
        f"its deletion, approved by {r.approved_by}, waits until {until:%Y-%m-%d}"
        if approved
        else "its deletion waits for an approval: migrator decommission delete --as NAME"
    )
    again = min(LOOK, until - r.now) if approved else LOOK
    if state == "available" and not r.stop_problem:
        return Step(Act.STOP, "classic runs, and is stopped", SOON)
    if state not in ("stopped", "available"):
        return Step(Act.WAIT, f"classic is {state}; {waits}", SOON)
    return Step(Act.WAIT, f"classic is {state}; {waits}", max(again, SOON))

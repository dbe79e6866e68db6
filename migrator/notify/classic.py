"""One look at classic: takes the lease, finds what stands and what happened, and fills the outbox. Blocking.

Keeps between looks only what saves work; everything that matters is on classic, so another process may make the next
look.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
from pydantic import ValidationError

from migrator.control import notify as stored
from migrator.control import plan as plans
from migrator.control.install import VERSION, installed_version, version_problem
from migrator.control.notify import KnownRow, Lease, ReceiverRow, Waiting
from migrator.control.status import collect
from migrator.model.condition import Condition, Kind
from migrator.model.standing import Limits, conditions, counted, make
from migrator.notify.decide import Action, Known, Message, step
from migrator.notify.happened import KINDS, events
from migrator.notify.message import Note, condition_from, condition_json
from migrator.notify.retrying import GIVEN_UP_S
from migrator.plan.notify import Notify

Connection = psycopg.Connection[Any]

LEASE_S = 8.0
"""A notifier that ended without a word is followed after so many seconds."""

GAP_S = 30.0
"""No process looked for longer than this: what happened meanwhile may be over, and was told to no receiver."""

FAILING_S = 300.0
"""A receiver that took nothing for so long is itself a condition, for the others."""

TIDY_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Due:
    """A message to be sent now. tries: in a row that failed, of it or of its receiver."""

    note: Note
    receiver: str
    tries: int


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look found.

    Attributes:
        section: the plan's [notify] as classic has it; None before a plan is stored.
        lease: this process sends; None: another one does, or there is nothing to send from.
        until: on the monotonic clock; nothing is sent after.
        over: the migration is finished.
        waiting: messages that are due, in their order.
        wrong: why there is no outbox on a classic that answers.
    """

    plan: str = ""
    section: Notify | None = None
    lease: Lease | None = None
    until: float = 0.0
    over: bool = False
    waiting: tuple[Due, ...] = ()
    holder: str = ""
    wrong: Condition | None = None


@dataclass
class Looker:
    """Looks at classic for one process.

    Attributes:
        me: names this process in the lease; never used again after it ended.
    """

    me: str
    _digest: str = ""
    _body: dict[str, Any] = field(default_factory=dict)
    _mark: str = ""
    _looked: float = -1e9
    _tidied: float = -1e9
    _configured: str = ""
    _missed_until: datetime | None = None
    _quiet_until: datetime | None = None
    _held: bool = False

    def look(self, conn: Connection) -> Looked:
        """Look once; cheap while nothing changes, and nothing is due."""
        version = installed_version(conn)
        if version != VERSION:
            problem = version_problem(version, "classic")
            wrong = make(Kind.SCHEMA_VERSION, str(problem), problem.hint) if problem is not None else None
            return Looked(wrong=wrong)
        plan = plans.identity(conn)
        if plan is None:
            return Looked()
        if plan.digest != self._digest:
            self._digest, self._body = plan.digest, plans.stored_body(conn)
        section = section_of(self._body)
        asked = time.monotonic()
        lease = stored.take(conn, self.me, LEASE_S)
        if lease is None:
            self._held, self._mark = False, ""
            return Looked(plan.plan_id, section, holder=stored.holder(conn).name)
        until = asked + lease.left_s - 1.0
        now = _now(conn)
        if not self._held or (lease.gap_s or 0.0) > GAP_S:
            self._begin(lease, section, now)
        self._configure(conn, section)
        mark = stored.mark(conn)
        over = False
        if mark != self._mark or time.monotonic() - self._looked >= section.look_s:
            over = self._state(conn, lease, self._body, section, now)
            self._mark, self._looked = mark, time.monotonic()
        if time.monotonic() - self._tidied >= TIDY_S:
            stored.tidy(conn, section.keep_days * 86_400.0, GIVEN_UP_S)
            self._tidied = time.monotonic()
        names = tuple(section.receiver)
        due = _in_order(stored.waiting(conn, names)) if names else []
        failures = {row.receiver: row.tries for row in stored.receivers(conn)} if due else {}
        notes = tuple(
            Due(
                _note(one, plan.plan_id, lease.installation),
                one.receiver,
                max(failures.get(one.receiver, 0), one.tries),
            )
            for one in due
        )
        return Looked(plan.plan_id, section, lease, until, over, notes, self.me)

    def _begin(self, lease: Lease, section: Notify, now: datetime) -> None:
        """This process has just taken the lease."""
        self._held, self._configured, self._mark = True, "", ""
        missed = lease.gap_s is None or lease.gap_s > GAP_S
        self._missed_until = now if missed else None
        self._quiet_until = now + timedelta(seconds=section.quiet_start_s) if missed else None

    def _configure(self, conn: Connection, section: Notify) -> None:
        configs = {name: _digest(receiver.model_dump(mode="json")) for name, receiver in section.receiver.items()}
        whole = _digest(configs)
        if whole != self._configured:
            stored.configure(conn, configs, again=not self._configured)
            self._configured = whole

    def _state(self, conn: Connection, lease: Lease, body: Mapping[str, Any], section: Notify, now: datetime) -> bool:
        """Find what stands and what happened, and put what is to be told into the outbox; return whether it is over."""
        if not section.receiver:  # no person is told: nothing is worth a look, but what happens counts as read
            with conn.transaction():
                stored.read_decisions(conn, lease, KINDS)
                stored.drop_known(conn, [row.name for row in stored.known(conn)])
            return False
        status = collect(conn, events=1)
        failing = [row for row in stored.receivers(conn) if (row.failing_s or 0) >= FAILING_S]
        standing = (*conditions(status, Limits.of(body)), *_failing(failing, section))
        with conn.transaction():
            acts = stored.read_decisions(conn, lease, KINDS)
            happened = events(acts, self._missed_until, {c.name for c in standing})
            known = {row.name: _known(row) for row in stored.known(conn)}
            found = step(known, standing, happened, section, now, self._quiet_until)
            for name, row in found.put.items():
                stored.put_known(conn, _row(name, row))
            stored.drop_known(conn, found.drop)
            enqueue(conn, found.messages)
        self._missed_until = None
        return any(c.kind is Kind.FINISHED for c in standing)


def enqueue(conn: Connection, messages: Sequence[Message]) -> None:
    """Put *messages* into the outbox, in the caller's transaction."""
    for one in messages:
        body = {"condition": condition_json(one.condition), "since": one.since.isoformat(), "by": one.by}
        stored.enqueue(conn, one.receiver, one.condition.name, one.action.value, body)


def acknowledge(conn: Connection, name: str, who: str) -> list[str] | None:
    """Note that *who* is on the condition *name*, and have its receivers told; return them, None when it does not
    stand. Owns its transaction; needs no lease."""
    with conn.transaction():
        if not stored.acknowledge(conn, name, who):
            return None
        known = next(_known(row) for row in stored.known(conn) if row.name == name)
        enqueue(conn, [Message(r, Action.ACKNOWLEDGED, known.condition, known.since, who) for r in known.told])
        return sorted(known.told)


def section_of(body: Mapping[str, Any]) -> Notify:
    """Return [notify] of a stored plan; one that this version cannot read is none: other parts say so."""
    try:
        return Notify.model_validate(body.get("notify", {}))
    except ValidationError:
        return Notify()


def _failing(rows: Sequence[ReceiverRow], section: Notify) -> list[Condition]:
    return [
        make(
            Kind.RECEIVER_FAILING,
            f"the receiver {row.receiver} takes nothing, {counted(row.waiting, 'message')} waiting: {row.problem}",
            f"See: migrator notify status; then try it: migrator notify test --receiver {row.receiver}",
            key=row.receiver,
            since=row.failing_since,
        )
        for row in rows
        if row.receiver in section.receiver
    ]


def _in_order(waiting: Sequence[Waiting]) -> list[Waiting]:
    """Return those that may go now: none before an earlier one about the same condition."""
    found, held = [], set()
    for one in waiting:
        if one.due and (one.receiver, one.name) not in held:
            found.append(one)
        else:
            held.add((one.receiver, one.name))
    return found


def _note(one: Waiting, plan: str, scope: str) -> Note:
    since = datetime.fromisoformat(one.body["since"])
    condition = condition_from(one.body["condition"])
    return Note(Action(one.action), condition, plan, scope, one.at, since, one.body.get("by", ""), one.id)


def _known(row: KnownRow) -> Known:
    told = {name: datetime.fromisoformat(at) for name, at in row.told.items()}
    return Known(condition_from(row.body), row.first_at, row.gone_at, told, row.acknowledged_by)


def _row(name: str, known: Known) -> KnownRow:
    told = {receiver: at.isoformat() for receiver, at in known.told.items()}
    body = condition_json(known.condition)
    return KnownRow(name, body, known.first_at, known.gone_at, told, known.acknowledged_by)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _now(conn: Connection) -> datetime:
    row = conn.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None and isinstance(row[0], datetime)
    return row[0]

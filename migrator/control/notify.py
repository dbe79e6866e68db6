"""Stores who sends notifications, which conditions stand, and the outbox, on classic.

One process at a time holds the lease and changes these tables; each of its transactions locks the lease first, so one
that was superseded changes nothing. Recording what was sent needs no lease: it is true for every sender.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from migrator.db.named import load
from migrator.errors import LeaseLost

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "notify.sql")

MOST_ROWS = 5_000
"""Rows of the outbox kept for one receiver at most."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to look and to send.

    Attributes:
        installation: tells this classic's messages apart from another's.
        left_s: it runs out then, unless it is kept.
        gap_s: for how long no process had it before; None: none ever had.
    """

    me: str
    term: int
    installation: str
    left_s: float
    gap_s: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the lease, or had it. left_s: until it runs out; negative once it has."""

    name: str
    term: int
    installation: str
    left_s: float


@dataclass(frozen=True, slots=True)
class Act:
    """Decisions that are one act: by one actor, of one kind, for one reason, within one second.

    Attributes:
        noun: what all are about: tenant, switch, fallback, wave-3.
        subjects: the first few of them.
        before, after: of the first one.
    """

    ids: tuple[int, ...]
    at: datetime
    who: str
    kind: str
    reason: str
    noun: str
    subjects: tuple[str, ...]
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class KnownRow:
    """A row of open_condition; body and told as JSON."""

    name: str
    body: dict[str, Any]
    first_at: datetime
    gone_at: datetime | None
    told: dict[str, str]
    acknowledged_by: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message of the outbox. due: it may be tried now."""

    id: int
    receiver: str
    name: str
    action: str
    body: dict[str, Any]
    at: datetime
    tries: int
    due: bool


@dataclass(frozen=True, slots=True)
class ReceiverRow:
    """How a receiver fares.

    Attributes:
        waiting, given_up: messages.
        failing_s: for how long it has taken nothing; None: it takes messages.
    """

    receiver: str
    sent_at: datetime | None
    failing_since: datetime | None
    tries: int
    problem: str
    waiting: int
    given_up: int
    failing_s: float | None


@dataclass(frozen=True, slots=True)
class Sent:
    """A line of what was sent, the newest first."""

    id: int
    at: datetime
    receiver: str
    name: str
    action: str
    state: str
    tries: int
    ended_at: datetime | None
    problem: str
    body: dict[str, Any]


# -- the lease -------------------------------------------------------------------------------------------------------


def holder(conn: Connection) -> Holder:
    """Return who has, or had, the lease."""
    row = conn.execute(_SQL["lease"]).fetchone()
    return Holder(*row) if row else Holder("", 0, "", -1.0)


def take(conn: Connection, me: str, lease_s: float) -> Lease | None:
    """Take the lease for *lease_s* seconds, or keep it; None while another process has it.

    It is written when half of it is over, by the process that has it. All others only read.
    """
    now = holder(conn)
    if now.name != me and now.left_s > 0:
        return None
    if now.name == me and now.left_s > lease_s / 2:
        return Lease(me, now.term, now.installation, now.left_s)
    row = conn.execute(_SQL["take"], {"me": me, "lease_s": lease_s}).fetchone()
    return Lease(me, int(row[0]), str(row[1]), lease_s, row[2]) if row else None


def leave(conn: Connection, me: str) -> None:
    """Give the lease back, so that another process takes it at once."""
    conn.execute(_SQL["leave"], {"me": me})


def mark(conn: Connection) -> str:
    """Return a value that is another one when something happened that is stored at once."""
    row = conn.execute(_SQL["mark"]).fetchone()
    return str(row[0]) if row else ""


# -- the decision log ------------------------------------------------------------------------------------------------


def read_decisions(conn: Connection, lease: Lease, kinds: Sequence[str]) -> list[Act]:
    """Return the acts of *kinds* that were not returned before, and note them as read; in the caller's transaction,
    which holds the lease's row from here on. The first reading of all returns nothing: what was, was.

    Raises:
        LeaseLost: another process has the lease.
    """
    row = conn.execute(_SQL["lock"], {"me": lease.me, "term": lease.term}).fetchone()
    if row is None:
        raise LeaseLost("another process sends notifications now")
    after, following, following_xid, read = row
    newest, xmin, xmax = conn.execute(_SQL["horizon"]).fetchone() or (0, "0", "0")
    if after is None:
        _have_read(conn, newest, newest, xmax, [])
        return []
    found = conn.execute(_SQL["decisions"], {"after": after, "read": read, "kinds": list(kinds)}).fetchall()
    acts = [
        Act(tuple(ids), at, who, kind, reason, noun, tuple(subjects), was, became)
        for ids, at, who, kind, reason, noun, subjects, was, became in found
    ]
    now_read = [*read, *(number for act in acts for number in act.ids)]
    now_after, now_following, now_xid = after, following, following_xid
    if int(xmin) >= int(following_xid) and (newest > after or now_read):
        # Every transaction that could still have brought a number up to `following` has ended.
        now_after, now_following, now_xid = following, newest, xmax
        now_read = [number for number in now_read if number > now_after]
    if (now_after, now_following, now_read) != (after, following, read):
        _have_read(conn, now_after, now_following, now_xid, now_read)
    return acts


def _have_read(conn: Connection, decision: int, following: int, xid: str, read: Sequence[int]) -> None:
    values = {"decision": decision, "next_decision": following, "next_xid": xid, "read": list(read)}
    conn.execute(_SQL["have_read"], values)


# -- conditions that stand -------------------------------------------------------------------------------------------


def known(conn: Connection) -> list[KnownRow]:
    """Return the conditions that stand, or are not over for long enough yet."""
    return [KnownRow(*row) for row in conn.execute(_SQL["known"])]


def put_known(conn: Connection, row: KnownRow) -> None:
    """Store a condition in place of the one of its name."""
    conn.execute(
        _SQL["put_known"],
        {
            "name": row.name,
            "body": json.dumps(row.body),
            "first_at": row.first_at,
            "gone_at": row.gone_at,
            "told": json.dumps(row.told),
            "acknowledged_by": row.acknowledged_by,
        },
    )


def drop_known(conn: Connection, names: Sequence[str]) -> None:
    """Forget conditions that are over."""
    if names:
        conn.execute(_SQL["drop_known"], {"names": list(names)})


def acknowledge(conn: Connection, name: str, who: str) -> bool:
    """Note that *who* is on the condition *name*; False when it does not stand. In the caller's transaction, until
    whose end no notifier changes a condition."""
    conn.execute(_SQL["lock_any"])
    return conn.execute(_SQL["acknowledge"], {"name": name, "who": who}).rowcount > 0


# -- the outbox ------------------------------------------------------------------------------------------------------


def enqueue(conn: Connection, receiver: str, name: str, action: str, body: Mapping[str, Any]) -> None:
    """Put a message into the outbox, in the caller's transaction."""
    values = {"receiver": receiver, "name": name, "action": action, "body": json.dumps(body)}
    conn.execute(_SQL["enqueue"], values)


def configure(conn: Connection, receivers: Mapping[str, str], *, again: bool) -> None:
    """Take over the plan's receivers, each with a digest of its section; owns its transaction.

    Args:
        again: try those that failed at once, for example in a process with another environment.
    """
    with conn.transaction():
        for receiver, config in receivers.items():
            conn.execute(_SQL["configure"], {"receiver": receiver, "config": config, "again": again})
        conn.execute(_SQL["unknown_receivers"], {"receivers": list(receivers)})
        conn.execute(_SQL["forget_receivers"], {"receivers": list(receivers)})


def waiting(conn: Connection, receivers: Sequence[str]) -> list[Waiting]:
    """Return the oldest messages of each of *receivers* that may be tried now, in their order."""
    return [Waiting(*row) for row in conn.execute(_SQL["waiting"], {"receivers": list(receivers)})]


def sent(conn: Connection, number: int, receiver: str, problem: str = "") -> None:
    """Note that *receiver* took message *number*; *problem*: and what it took less of."""
    conn.execute(_SQL["sent"], {"id": number, "problem": problem})
    conn.execute(_SQL["receiver_took"], {"receiver": receiver})


def failed(conn: Connection, number: int, receiver: str, problem: str, after_s: float) -> None:
    """Note that *receiver* takes nothing now; it is tried again after *after_s* seconds, from this message on."""
    conn.execute(_SQL["not_sent"], {"id": number, "problem": problem, "after_s": 0, "last": False})
    conn.execute(_SQL["receiver_failed"], {"receiver": receiver, "problem": problem, "after_s": after_s})


def refused(conn: Connection, number: int, receiver: str, problem: str, after_s: float, *, last: bool) -> None:
    """Note that *receiver* refused this message; with *last* it is not tried again."""
    conn.execute(_SQL["not_sent"], {"id": number, "problem": problem, "after_s": after_s, "last": last})
    conn.execute(_SQL["receiver_refused"], {"receiver": receiver, "problem": problem})


def tidy(conn: Connection, kept_s: float, given_up_s: float) -> None:
    """Give up messages that are older than *given_up_s*, and delete what is older than *kept_s*."""
    conn.execute(_SQL["give_up_old"], {"old_s": given_up_s})
    conn.execute(_SQL["forget_old"], {"kept_s": kept_s})
    conn.execute(_SQL["keep_newest"], {"rows": MOST_ROWS})


def receivers(conn: Connection) -> list[ReceiverRow]:
    """Return how each receiver fares that the notifier knows."""
    return [ReceiverRow(*row) for row in conn.execute(_SQL["receivers"])]


def newest(conn: Connection, limit: int) -> list[Sent]:
    """Return the newest messages, the newest first."""
    return [Sent(*row) for row in conn.execute(_SQL["newest"], {"limit": limit})]

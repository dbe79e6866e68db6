"""Stores attempts to retire classic, and whether one may still pass the point of no return.

Every attempt is a report on classic. Its state moves closing → closed → handed_over, or → reopened. The row is locked
whenever it moves, and the hand-over moves it in the same transaction as the write mode. So a late worker of an earlier
attempt, for which writes were closed once, finds its own row reopened and stops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from migrator.control import history
from migrator.control.log import decide
from migrator.control.route import lock_switch
from migrator.errors import PreconditionFailed
from migrator.model.position import Snapshot

Connection = psycopg.Connection[Any]
KIND = "decommission"
SEQUENCES = "decommission.sequences"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to retire classic.

    Attributes:
        state: closing, closed, handed_over or reopened.
        age_s: since writes were closed, on classic's clock; 0 before.
        snapshot: what every mirror has to reach, taken after the last writer had ended.
        pause_s: the write pause, once it is over.
        handed_over_at: the point of no return, on classic's clock.
        settled_at: the terminal route is on Limitless and capture is off classic.
        exported_at: the dossier was written.
    """

    id: int
    state: str
    approver: str
    age_s: float = 0.0
    snapshot: Snapshot | None = None
    pause_s: float | None = None
    handed_over_at: datetime | None = None
    settled_at: datetime | None = None
    exported_at: datetime | None = None


def begin(conn: Connection, approver: str) -> int:
    """Return the number of the attempt under way, or of a new one."""
    with conn.transaction():
        lock_switch(conn)  # two workers at once find one attempt
        number = history.newest_number(conn, KIND, ("closing", "closed", "handed_over"))
        if number is not None:
            return number
        number = history.add_report(conn, KIND, {"state": "closing", "approver": approver})
        decide(conn, approver, "decommission.begun", f"decommission/{number}", "approved")
        return number


def latest(conn: Connection) -> int | None:
    """Return the number of the newest attempt; None when there was none."""
    return history.newest_number(conn, KIND)


def read(conn: Connection, number: int, lock: bool = False) -> Attempt:
    """Return an attempt; with *lock*, in the caller's transaction, no other session can move it before that ends."""
    stored = history.report(conn, KIND, number, lock)
    if stored is None:
        raise PreconditionFailed(f"there is no attempt {number} to retire classic")
    body, closed_at = stored.body, _moment(stored.body, "closed_at")
    return Attempt(
        stored.number,
        body["state"],
        body["approver"],
        age_s=(stored.now - closed_at).total_seconds() if closed_at else 0.0,
        snapshot=Snapshot.parse(body["snapshot"]) if body.get("snapshot") else None,
        pause_s=body.get("pause_s"),
        handed_over_at=_moment(body, "handed_over_at"),
        settled_at=_moment(body, "settled_at"),
        exported_at=_moment(body, "exported_at"),
    )


def _moment(body: Mapping[str, Any], name: str) -> datetime | None:
    return datetime.fromisoformat(body[name]) if body.get(name) else None


def require(conn: Connection, number: int, *states: str, lock: bool = False) -> Attempt:
    """Return the attempt if it is in one of *states*.

    Raises:
        PreconditionFailed: it is not; writes were reopened, or handed over.
    """
    current = read(conn, number, lock)
    if current.state not in states:
        raise PreconditionFailed(f"attempt {number} to retire classic is {current.state}, not {' or '.join(states)}")
    return current


def mark_closed(conn: Connection, number: int) -> None:
    """Store when writes were closed; the first time counts."""
    mark_time(conn, number, "closed_at")


def mark_time(conn: Connection, number: int, moment: str) -> None:
    """Store when a *moment* of an attempt was, on classic's clock; the first time counts."""
    history.stamp_report(conn, number, moment)


def mark(conn: Connection, number: int, state: str, **values: str | float | int) -> None:
    """Move an attempt in the caller's transaction."""
    history.extend_report(conn, number, {"state": state, **values})


def note(conn: Connection, number: int, **values: str | float | int) -> None:
    """Add facts to an attempt without moving it."""
    history.extend_report(conn, number, values)


@dataclass(frozen=True, slots=True)
class Prepared:
    """How sequences were prepared before the pause.

    Attributes:
        at: before the first of them was read, on classic's clock.
        first: per qualified name, the first number on Limitless.
        column_max: per qualified name, what was read; see `sequences.SequenceFacts`.
    """

    at: datetime
    first: dict[str, int]
    column_max: dict[str, int | None]


def now(conn: Connection) -> datetime:
    """Return classic's clock."""
    row = conn.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    at: datetime = row[0]
    return at


def keep_sequences(conn: Connection, prepared: Prepared) -> None:
    """Store how sequences were prepared; the last time counts."""
    body = {"at": prepared.at.isoformat(), "first": prepared.first, "column_max": prepared.column_max}
    history.add_report(conn, SEQUENCES, body)


def kept_sequences(conn: Connection) -> Prepared | None:
    """Return what `keep_sequences` stored last; None when it never did."""
    stored = history.newest_report(conn, SEQUENCES)
    if stored is None:
        return None
    body = stored["body"]
    return Prepared(datetime.fromisoformat(body["at"]), body["first"], body["column_max"])

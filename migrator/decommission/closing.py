"""Which try to retire classic is this, and may it still pass the point of no return?

Every try is a row of migrator.report. Its state moves closing → closed → handed_over, or → reopened. The row is
locked whenever it moves, and the hand-over moves it in the same transaction as the write mode. So a late worker of
an earlier try, which believes that writes are still closed *for it*, finds its own row reopened and stops.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from migrator.control.log import decide
from migrator.errors import InvariantBroken, PreconditionFailed
from migrator.model.position import Snapshot

Connection = psycopg.Connection[Any]
KIND = "decommission"
SEQUENCES = "decommission.sequences"


@dataclass(frozen=True, slots=True)
class Try:
    """A try to retire classic.

    Attributes:
        state: closing, closed, handed_over or reopened.
        age_s: since writes were closed, on classic's clock; 0 before.
        snapshot: what every mirror has to reach, taken after the last writer was gone.
        pause_s: how long nobody could write, once it is over.
        handed_over_at: the point of no return, on classic's clock.
        settled_at: the terminal route is on Limitless and capture is off classic.
        exported_at: the decision log was written.
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
    """Return the number of the try under way, or of a new one."""
    with conn.transaction():
        conn.execute("SELECT 1 FROM migrator.switch FOR UPDATE")  # two workers at once find one try
        row = conn.execute(
            "SELECT id FROM migrator.report WHERE kind = %s AND body->>'state' IN ('closing', 'closed', 'handed_over')"
            " ORDER BY id DESC LIMIT 1",
            (KIND,),
        ).fetchone()
        if row is not None:
            return int(row[0])
        body = json.dumps({"state": "closing", "approver": approver})
        row = conn.execute(
            "INSERT INTO migrator.report (kind, body) VALUES (%s, %s) RETURNING id", (KIND, body)
        ).fetchone()
        if row is None:
            raise InvariantBroken("INSERT … RETURNING returned nothing")
        decide(conn, approver, "decommission.begun", f"decommission/{row[0]}", "approved")
        return int(row[0])


def latest(conn: Connection) -> int | None:
    """Return the number of the newest try; None when there was none."""
    row = conn.execute("SELECT max(id) FROM migrator.report WHERE kind = %s", (KIND,)).fetchone()
    return int(row[0]) if row and row[0] is not None else None


def read(conn: Connection, number: int, lock: bool = False) -> Try:
    """Return a try; with *lock*, in the caller's transaction, nobody else can move it before that ends."""
    if lock:
        conn.execute("SELECT 1 FROM migrator.report WHERE id = %s FOR UPDATE", (number,))
    row = conn.execute(
        "SELECT id, body->>'state', body->>'approver',"
        " coalesce(extract(epoch FROM clock_timestamp() - (body->>'closed_at')::timestamptz)::float8, 0),"
        " body->>'snapshot', (body->>'pause_s')::float8, (body->>'handed_over_at')::timestamptz,"
        " (body->>'settled_at')::timestamptz, (body->>'exported_at')::timestamptz"
        " FROM migrator.report WHERE kind = %s AND id = %s",
        (KIND, number),
    ).fetchone()
    if row is None:
        raise PreconditionFailed(f"there is no try {number} to retire classic")
    number_, state, approver, age_s, snapshot, *rest = row
    return Try(number_, state, approver, age_s, Snapshot.parse(snapshot) if snapshot else None, *rest)


def require(conn: Connection, number: int, *states: str, lock: bool = False) -> Try:
    """Return the try if it is in one of *states*.

    Raises:
        PreconditionFailed: it is not; somebody reopened writes, or handed over.
    """
    found = read(conn, number, lock)
    if found.state not in states:
        raise PreconditionFailed(f"try {number} to retire classic is {found.state}, not {' or '.join(states)}")
    return found


def mark_closed(conn: Connection, number: int) -> None:
    """Remember when writes were closed; the first time counts."""
    mark_time(conn, number, "closed_at")


def mark_time(conn: Connection, number: int, moment: str) -> None:
    """Remember when a *moment* of a try was, on classic's clock; the first time counts."""
    conn.execute(
        "UPDATE migrator.report SET body = body || jsonb_build_object(%(moment)s::text, clock_timestamp())"
        " WHERE id = %(number)s AND NOT body ? %(moment)s",
        {"moment": moment, "number": number},
    )


def mark(conn: Connection, number: int, state: str, **values: str | float | int) -> None:
    """Move a try in the caller's transaction."""
    body = json.dumps({"state": state, **values})
    conn.execute("UPDATE migrator.report SET body = body || %s::jsonb WHERE id = %s", (body, number))


def note(conn: Connection, number: int, **values: str | float | int) -> None:
    """Add facts to a try without moving it."""
    conn.execute("UPDATE migrator.report SET body = body || %s::jsonb WHERE id = %s", (json.dumps(values), number))


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
    """Remember how sequences were prepared; the last time counts."""
    body = {"at": prepared.at.isoformat(), "first": prepared.first, "column_max": prepared.column_max}
    conn.execute("INSERT INTO migrator.report (kind, body) VALUES (%s, %s)", (SEQUENCES, json.dumps(body)))


def kept_sequences(conn: Connection) -> Prepared | None:
    """Return what `keep_sequences` remembered last; None when it never did."""
    row = conn.execute(
        "SELECT body FROM migrator.report WHERE kind = %s ORDER BY id DESC LIMIT 1", (SEQUENCES,)
    ).fetchone()
    if row is None:
        return None
    return Prepared(datetime.fromisoformat(row[0]["at"]), row[0]["first"], row[0]["column_max"])

"""Stores schema changes, and how far each one is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from migrator.db.named import load

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "change.sql")


class Unfinished(NamedTuple):
    """A change that was begun and not finished.

    Attributes:
        body: the change as JSON values.
        step: the last one done; '' before the first.
        seen_from: pg_snapshot from which on the new shape is known, as text; None before that is determined.
        at: the moment of it, in seconds of classic's clock since 1970.
        filled_to: texts of the key up to which existing rows were filled.
    """

    change_id: int
    body: dict[str, Any]
    step: str
    seen_from: str | None
    at: float
    filled_to: list[str] | None


def unfinished(classic: Connection) -> list[Unfinished]:
    """Return changes that were begun and not finished, oldest first."""
    return [Unfinished(*row) for row in classic.execute(_SQL["unfinished"])]


def add(classic: Connection, kind: str, table: str, name: str, words: str, body: dict[str, Any], who: str) -> None:
    """Record a change as begun; *words* are for the operator, *body* is JSON values."""
    values = {"kind": kind, "table": table, "name": name, "words": words, "body": json.dumps(body), "who": who}
    classic.execute(_SQL["add"], values)


def is_done(classic: Connection, kind: str, table: str, name: str, statement: str) -> bool:
    """Return whether such a change was finished before, without a problem; *table* '': of any table."""
    values = {"kind": kind, "table": table, "name": name, "statement": statement}
    row = classic.execute(_SQL["is_done"], values).fetchone()
    return bool(row and row[0])


def is_done_by_source(classic: Connection, source: str) -> bool:
    """Return whether the change that this statement of this file asks for was finished before, without a problem."""
    row = classic.execute(_SQL["is_done_by_source"], {"source": source}).fetchone()
    return bool(row and row[0])


def set_step(classic: Connection, change_id: int, step: str) -> None:
    """Record that *step* is done, and that nothing blocks the change."""
    classic.execute(_SQL["set_step"], {"change": change_id, "step": step})


def set_body(classic: Connection, change_id: int, body: dict[str, Any]) -> None:
    """Store a change again, as JSON values, with what is known of it by now."""
    classic.execute(_SQL["set_body"], {"change": change_id, "body": json.dumps(body)})


def set_unseen(classic: Connection, change_id: int) -> None:
    """Record that it is not determined from when on the new shape is known."""
    classic.execute(_SQL["set_unseen"], {"change": change_id})


def set_seen(classic: Connection, change_id: int) -> tuple[str, float] | None:
    """Record that everything that begins now uses the new shape; return the pg_snapshot, as text, and the moment.

    The moment is in seconds of classic's clock since 1970. None when there is no such change.
    """
    row = classic.execute(_SQL["set_seen"], {"change": change_id}).fetchone()
    return (str(row[0]), float(row[1])) if row is not None else None


def set_filled(classic: Connection, change_id: int, key: Sequence[str]) -> None:
    """Record that existing rows are filled up to *key* (texts), in the transaction that fills them."""
    classic.execute(_SQL["set_filled"], {"change": change_id, "key": list(key)})


def finish(classic: Connection, change_id: int) -> None:
    """Record that a change is done."""
    classic.execute(_SQL["finish"], {"change": change_id})


def set_problem(classic: Connection, change_id: int, problem: str) -> None:
    """Record why a change cannot go on."""
    classic.execute(_SQL["set_problem"], {"change": change_id, "problem": problem})


def end_unbegun(classic: Connection) -> None:
    """End every change that has changed nothing yet, so that it blocks no other file."""
    classic.execute(_SQL["end_unbegun"])


class Progress(NamedTuple):
    """A change in words, with the last step done; `finished_at` None: it is not done, `problem` may say why."""

    change_id: int
    words: str
    step: str
    started_at: datetime
    finished_at: datetime | None
    changed_by: str
    problem: str | None


def changes(conn: Connection, change_id: int | None = None) -> list[Progress]:
    """Return the last 100 changes, the newest first; with *change_id* that one alone, if it exists."""
    return [Progress(*row) for row in conn.execute(_SQL["changes"], {"change_id": change_id})]


def last_change(conn: Connection) -> int | None:
    """Return the number of the newest change; None when there was none."""
    row = conn.execute(_SQL["last_change"]).fetchone()
    return row[0] if row else None

"""The decision log: actor, kind, subject and reason, append-only on classic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import psycopg

from migrator.db.named import load

_SQL = load("migrator.control", "log.sql")


def decide(
    conn: psycopg.Connection[Any], who: str, kind: str, subject: str, reason: str, before: Any = None, after: Any = None
) -> None:
    """Append a decision in the caller's transaction. *kind* is a `noun.past_participle`."""
    values = {"who": who, "kind": kind, "subject": subject, "reason": reason}
    conn.execute(_SQL["decide"], {**values, "before": _text(before), "after": _text(after)})


def decide_each(
    conn: psycopg.Connection[Any], who: str, kind: str, reason: str, before: Mapping[str, Any], after: Any = None
) -> None:
    """Append a decision for each subject of *before*, which says what it was; *after* is the same for all.

    One statement, and one moment for all of them. In the caller's transaction.
    """
    if before:
        values = {"who": who, "kind": kind, "reason": reason, "after": _text(after)}
        subjects, texts = list(before), [_text(was) for was in before.values()]
        conn.execute(_SQL["decide_each"], {**values, "subjects": subjects, "before": texts})


def _text(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def detached_partitions(conn: psycopg.Connection[Any]) -> set[int]:
    """Return the oids of what was a partition of a captured table and was detached; by now it may be gone."""
    return {int(oid) for (oid,) in conn.execute(_SQL["detached_partitions"])}

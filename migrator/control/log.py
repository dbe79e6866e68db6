"""The decision log: actor, kind, subject and reason, append-only on classic."""

from __future__ import annotations

import json
from typing import Any

import psycopg

from migrator.db.named import load

_SQL = load("migrator.control", "log.sql")


def decide(
    conn: psycopg.Connection[Any], who: str, kind: str, subject: str, reason: str, before: Any = None, after: Any = None
) -> None:
    """Append a decision in the caller's transaction. *kind* is a `noun.past_participle`."""
    conn.execute(
        _SQL["decide"],
        {
            "who": who,
            "kind": kind,
            "subject": subject,
            "reason": reason,
            "before": json.dumps(before) if before is not None else None,
            "after": json.dumps(after) if after is not None else None,
        },
    )

"""Who decided what, when and why? An append-only log on classic."""

from __future__ import annotations

import json
from typing import Any

import psycopg


def decide(
    conn: psycopg.Connection[Any], who: str, kind: str, subject: str, reason: str, before: Any = None, after: Any = None
) -> None:
    """Append a decision in the caller's transaction. *kind* is a `noun.past_participle`."""
    conn.execute(
        "INSERT INTO migrator.decision (who, kind, subject, reason, before, after) VALUES (%s, %s, %s, %s, %s, %s)",
        (
            who,
            kind,
            subject,
            reason,
            json.dumps(before) if before is not None else None,
            json.dumps(after) if after is not None else None,
        ),
    )

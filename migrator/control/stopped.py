"""Stores which workflows beside the phases have ended although the migration goes on.

On classic, because `status` must say so without Temporal. The migration's workflow watches them, stores it here, and
clears it when they run again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from migrator.control.log import decide
from migrator.db.named import load
from migrator.model.blocker import Blocker

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "stopped.sql")

WORDS = {"dual-write": "dual write (the mirrors)", "backfill": "the backfill", "breaker": "the breaker monitor"}
"""Their names in status."""
ENDED = "workflow.ended"
"""Code of the blockers: nothing of what that workflow did goes on."""


def set_stopped(conn: Connection, watched: Sequence[str], ended: Mapping[str, tuple[str, str]]) -> None:
    """Store which of *watched* have *ended*, each with Temporal's word and the reason; the others run. Idempotent."""
    with conn.transaction():
        conn.execute(_SQL["running_again"], {"watched": list(watched), "ended": list(ended)})
        for name, (state, reason) in ended.items():
            new = conn.execute(_SQL["has_ended"], {"workflow": name, "state": state, "reason": reason})
            if new.rowcount:
                decide(conn, "migration", "workflow.stopped", name, f"{state}: {reason}" if reason else state)


def forget(conn: Connection) -> None:
    """Forget all of them: the migration was aborted, or is over."""
    conn.execute(_SQL["forget"])


def describe(name: str, state: str, reason: str) -> Blocker:
    text = f"{WORDS.get(name, name)} has ended ({state}){f': {reason}' if reason else ''}"
    return Blocker(ENDED, name, text)


def stopped(conn: Connection) -> tuple[Blocker, ...]:
    """Return one line per workflow that has ended."""
    return tuple(describe(*row) for row in conn.execute(_SQL["stopped"]))

"""What does status show about a phase when Temporal is away?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from migrator.db.named import load

_SQL = load("migrator.control", "phase.sql")


def set_phase(
    conn: psycopg.Connection[Any],
    phase: str,
    state: str,
    detail: str = "",
    blockers: Sequence[str] = (),
    next_step: str = "",
) -> None:
    """Write where *phase* stands. `since` moves only when the state does. Safe to run twice."""
    conn.execute(
        _SQL["set_phase"],
        {"phase": phase, "state": state, "detail": detail, "blockers": list(blockers), "next": next_step},
    )


def phases_done(conn: psycopg.Connection[Any]) -> list[str]:
    """Return the names of the phases that are done."""
    return [str(phase) for (phase,) in conn.execute(_SQL["phases_done"])]

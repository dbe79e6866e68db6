"""Stores the state of every phase, which status shows without Temporal, and approvals."""

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
    """Store the state of *phase*. `since` moves only when the state does. Safe to run twice."""
    conn.execute(
        _SQL["set_phase"],
        {"phase": phase, "state": state, "detail": detail, "blockers": list(blockers), "next": next_step},
    )


def phases_done(conn: psycopg.Connection[Any]) -> list[str]:
    """Return the names of the phases that are done."""
    return [str(phase) for (phase,) in conn.execute(_SQL["phases_done"])]


def phase_state(conn: psycopg.Connection[Any], phase: str) -> str | None:
    """Return the state of *phase*; None when it has not begun."""
    row = conn.execute(_SQL["phase_state"], {"phase": phase}).fetchone()
    return str(row[0]) if row else None


def is_approved(conn: psycopg.Connection[Any], gate: str) -> bool:
    """Return whether *gate* is approved."""
    row = conn.execute(_SQL["is_approved"], {"gate": gate}).fetchone()
    return bool(row and row[0])


def approve(conn: psycopg.Connection[Any], gate: str, approver: str, evidence: str) -> bool:
    """Keep an approval with a digest of what was known; returns whether it is new: the first one counts."""
    done = conn.execute(_SQL["approve"], {"gate": gate, "approver": approver, "evidence": evidence})
    return done.rowcount > 0


def void_approval(conn: psycopg.Connection[Any], gate: str) -> bool:
    """Take an approval back; returns whether there was one."""
    return conn.execute(_SQL["void_approval"], {"gate": gate}).rowcount > 0

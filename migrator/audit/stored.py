"""Which report did the last audit of this cluster leave? Kept in the tool's own schema, where it exists."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.audit.report.accepted import verdict_of
from migrator.audit.report.values import AuditReport

BY_HAND = "audit.by_hand"
"""Kind of reports that are not the running migration's."""


def _installed(conn: psycopg.Connection[Any]) -> bool:
    row = conn.execute("SELECT to_regclass('migrator.report') IS NOT NULL /* migrator:audit */").fetchone()
    return bool(row and row[0])


def last_report(conn: psycopg.Connection[Any]) -> dict[str, Any] | None:
    """Return the JSON of the last stored audit; None where nothing is stored."""
    if not _installed(conn):
        return None
    row = conn.execute(
        "SELECT body FROM migrator.report WHERE kind = 'audit' ORDER BY id DESC LIMIT 1 /* migrator:audit */"
    ).fetchone()
    return row[0] if row and isinstance(row[0], dict) and "findings" in row[0] else None


@dataclass(frozen=True, slots=True)
class Stored:
    """How a report was kept. `blockers`: of the migration's verdict; None where it is none, and `why` says why."""

    blockers: tuple[str, ...] | None
    why: str = ""


def store_report(
    conn: psycopg.Connection[Any], report: AuditReport, *, digest: str | None = None, inputs: Sequence[str] = ()
) -> Stored | None:
    """Store *report*, and its verdict where the gate finds it; None where the tool is not installed.

    The verdict is the migration's only when the audit looked at what the migration is about: its plan, and nothing
    beside the live cluster. Any other report is kept as "audit.by_hand" and changes no gate.

    Args:
        digest: of the plan audited against; None: the one that is stored.
        inputs: what else was looked at or assumed: files, another engine.
    """
    if not _installed(conn):
        return None
    with conn.transaction():
        row = conn.execute(
            "SELECT plan_id, digest, coalesce(body -> 'gates' -> 'acknowledged', '[]') FROM migrator.plan"
            " /* migrator:audit */"
        ).fetchone()
        why = _foreign(row[:2] if row else None, digest, inputs)
        if why or row is None:
            _insert(conn, BY_HAND, report.to_json())
            return Stored(None, why)
        blockers = verdict_of(report, [str(entry) for entry in row[2]])
        _insert(conn, "audit", report.to_json())
        _insert(conn, "audit.verdict", {"blockers": list(blockers)})
    return Stored(blockers)


def _foreign(plan: tuple[str, str] | None, digest: str | None, inputs: Sequence[str]) -> str:
    """Return why an audit is not one of the running migration; '' when it is."""
    if plan is None:
        return "no plan is stored on classic"
    if digest not in (None, plan[1]):
        return f"another plan than the stored one ({plan[0]})"
    return f"other inputs than the migration's: {', '.join(inputs)}" if inputs else ""


def _insert(conn: psycopg.Connection[Any], kind: str, body: dict[str, Any]) -> None:
    conn.execute(
        "INSERT INTO migrator.report (kind, body) VALUES (%s, %s) /* migrator:audit */",
        # PostgreSQL's jsonb has no NUL character.
        (kind, json.dumps(body).replace("\\u0000", "")),
    )

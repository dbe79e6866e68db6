"""Which report did the last audit of this cluster leave? Kept in the tool's own schema, where it exists."""

from __future__ import annotations

import json
from typing import Any

import psycopg

from migrator.audit.report import AuditReport


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


def store_report(conn: psycopg.Connection[Any], report: AuditReport) -> bool:
    """Store *report* and its verdict where the gate finds them; return False where the tool is not installed."""
    if not _installed(conn):
        return False
    with conn.transaction():
        for kind, body in (("audit", report.to_json()), ("audit.verdict", {"blockers": report.blockers()})):
            conn.execute(
                "INSERT INTO migrator.report (kind, body) VALUES (%s, %s) /* migrator:audit */",
                # PostgreSQL's jsonb has no NUL character.
                (kind, json.dumps(body).replace("\\u0000", "")),
            )
    return True

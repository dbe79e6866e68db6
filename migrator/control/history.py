"""What was found, decided and reported so far? Reads the tool's own logs on classic."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from migrator.db.named import load

_SQL = load("migrator.control", "history.sql")


def reports(conn: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """Return the kinds of stored reports with their number and the newest one's time."""
    return _rows(
        conn, "SELECT kind, count(*) AS reports, max(at) AS newest FROM migrator.report GROUP BY kind ORDER BY kind"
    )


def newest_report(conn: psycopg.Connection[Any], kind: str) -> dict[str, Any] | None:
    """Return the newest report of *kind*."""
    rows = _rows(conn, "SELECT at, kind, body FROM migrator.report WHERE kind = %s ORDER BY id DESC LIMIT 1", kind)
    return rows[0] if rows else None


def decisions(conn: psycopg.Connection[Any], limit: int) -> list[dict[str, Any]]:
    """Return the newest decisions, oldest of them first."""
    rows = _rows(
        conn,
        "SELECT at, who, kind, subject, reason, before, after FROM migrator.decision ORDER BY id DESC LIMIT %s",
        limit,
    )
    return rows[::-1]


def incidents(conn: psycopg.Connection[Any], limit: int) -> list[dict[str, Any]]:
    """Return the newest incidents, oldest of them first."""
    rows = _rows(
        conn,
        "SELECT id, at, kind, reason, reported_by, times, first_at FROM migrator.incident ORDER BY id DESC LIMIT %s",
        limit,
    )
    return rows[::-1]


def tenant_lines(conn: psycopg.Connection[Any], tenants: Sequence[str]) -> list[dict[str, Any]]:
    """Return where each of *tenants* stands, in the order given; one the tool has not met yet reads classic."""
    return _rows(
        conn,
        """
        SELECT u.id AS tenant, t.state, t.reason AS problem, coalesce(t.wave, r.wave) AS wave, t.hot,
               coalesce(t.rows, 0) AS rows, coalesce(t.part, r.part) AS part,
               coalesce(r.route, 'classic') AS route, coalesce(r.level, 'classic') AS level, r.reads_pct,
               extract(epoch FROM clock_timestamp() - g.clean_at)::float8 AS clean_age_s, t.divergent,
               h.reason AS held_reason, h.held_by, h.held_at
          FROM unnest(%s::text[]) WITH ORDINALITY AS u (id, n)
          LEFT JOIN migrator.tenant t ON t.tenant_id = u.id
          LEFT JOIN migrator.gate_fact g ON g.tenant_id = u.id
          LEFT JOIN migrator.route_status r ON r.tenant_id = u.id
          LEFT JOIN migrator.tenant_hold h ON h.tenant_id = u.id
         ORDER BY u.n
        """,
        list(tenants),
    )


def _rows(conn: psycopg.Connection[Any], statement: str, *values: object) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute(statement.encode(), values or None)
        return cursor.fetchall()


@dataclass(frozen=True, slots=True)
class KeptAudit:
    """How an audit's report was kept. `blockers`: of the migration's verdict; None where it is none, `why` says why."""

    blockers: tuple[str, ...] | None
    why: str = ""


def last_audit(conn: psycopg.Connection[Any]) -> dict[str, Any] | None:
    """Return the JSON of the last audit that was a verdict of the migration; None where nothing is kept."""
    if not _audits_are_kept(conn):
        return None
    row = conn.execute(_SQL["last_audit"]).fetchone()
    return row[0] if row and isinstance(row[0], dict) and "findings" in row[0] else None


def keep_audit(
    conn: psycopg.Connection[Any],
    body: dict[str, Any],
    blockers_of: Callable[[Sequence[str]], Sequence[str]],
    *,
    digest: str | None = None,
    inputs: Sequence[str] = (),
) -> KeptAudit | None:
    """Keep the report *body*, and its verdict where the gate finds it; None where the tool is not installed.

    The verdict is the migration's only when the audit looked at what the migration is about: its plan, and nothing
    beside the live cluster. Any other report is kept as "audit.by_hand" and changes no gate.

    Args:
        blockers_of: returns the verdict's blockers when the plan accepts these findings.
        digest: of the plan audited against; None: the one that is stored.
        inputs: what else was looked at or assumed: files, another engine.
    """
    if not _audits_are_kept(conn):
        return None
    with conn.transaction():
        plan = conn.execute(_SQL["audited_plan"]).fetchone()
        why = _foreign(plan[:2] if plan else None, digest, inputs)
        if why or plan is None:
            _keep(conn, "audit.by_hand", body)
            return KeptAudit(None, why)
        blockers = tuple(blockers_of([str(entry) for entry in plan[2]]))
        _keep(conn, "audit", body)
        _keep(conn, "audit.verdict", {"blockers": list(blockers)})
    return KeptAudit(blockers)


def _audits_are_kept(conn: psycopg.Connection[Any]) -> bool:
    row = conn.execute(_SQL["audits_are_kept"]).fetchone()
    return bool(row and row[0])


def _foreign(plan: tuple[str, str] | None, digest: str | None, inputs: Sequence[str]) -> str:
    """Return why an audit is not one of the running migration; '' when it is."""
    if plan is None:
        return "no plan is stored on classic"
    if digest not in (None, plan[1]):
        return f"another plan than the stored one ({plan[0]})"
    return f"other inputs than the migration's: {', '.join(inputs)}" if inputs else ""


def _keep(conn: psycopg.Connection[Any], kind: str, body: dict[str, Any]) -> None:
    # PostgreSQL's jsonb has no NUL character.
    conn.execute(_SQL["keep_audit"], {"kind": kind, "body": json.dumps(body).replace("\\u0000", "")})


def set_report(conn: psycopg.Connection[Any], kind: str, body: Mapping[str, Any]) -> None:
    """Store *body* as the only report of *kind*."""
    conn.execute(_SQL["set_report"], {"kind": kind, "body": json.dumps(body)})

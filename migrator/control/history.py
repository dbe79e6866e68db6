"""What was found, decided and reported so far? Reads the tool's own logs on classic."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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


def set_report(conn: psycopg.Connection[Any], kind: str, body: Mapping[str, Any]) -> None:
    """Store *body* as the only report of *kind*."""
    conn.execute(_SQL["set_report"], {"kind": kind, "body": json.dumps(body)})

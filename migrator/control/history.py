"""Reads and writes the tool's logs on classic: reports, decisions, incidents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg.rows import dict_row

from migrator.db.named import load

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "history.sql")


def reports(conn: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """Return the kinds of stored reports with their number and the newest one's time."""
    return _rows(conn, "reports")


def newest_report(conn: psycopg.Connection[Any], kind: str) -> dict[str, Any] | None:
    """Return the newest report of *kind*: at, kind, body."""
    rows = _rows(conn, "newest_report", kind=kind)
    return rows[0] if rows else None


def reports_of(conn: Connection, kind: str) -> list[dict[str, Any]]:
    """Return every report of *kind*, the oldest first: at, body."""
    return _rows(conn, "reports_of", kind=kind)


def add_report(conn: psycopg.Connection[Any], kind: str, body: object) -> int:
    """Keep a report and return its number."""
    row = conn.execute(_SQL["add_report"], {"kind": kind, "body": json.dumps(body)}).fetchone()
    assert row is not None  # INSERT … RETURNING
    return int(row[0])


def add_report_if_new(conn: psycopg.Connection[Any], kind: str, body: object) -> None:
    """Keep a report unless the newest one of *kind* says the same."""
    conn.execute(_SQL["add_report_if_new"], {"kind": kind, "body": json.dumps(body)})


def replace_report(conn: psycopg.Connection[Any], kind: str, body: object) -> None:
    """Keep the only report of *kind* there is; owns its transaction."""
    with conn.transaction():
        if not conn.execute(_SQL["replace_report"], {"kind": kind, "body": json.dumps(body)}).rowcount:
            add_report(conn, kind, body)


def forget_reports(conn: psycopg.Connection[Any], kinds: Sequence[str]) -> None:
    """Delete every report of *kinds*."""
    conn.execute(_SQL["forget_reports"], {"kinds": list(kinds)})


def decisions(conn: psycopg.Connection[Any], limit: int) -> list[dict[str, Any]]:
    """Return the newest decisions, oldest of them first."""
    return _rows(conn, "decisions", limit=limit)[::-1]


def incidents(conn: psycopg.Connection[Any], limit: int) -> list[dict[str, Any]]:
    """Return the newest incidents, oldest of them first."""
    return _rows(conn, "incidents", limit=limit)[::-1]


def tenant_lines(conn: psycopg.Connection[Any], tenants: Sequence[str]) -> list[dict[str, Any]]:
    """Return the state of each of *tenants*, in the order given; one that is not listed yet reads classic."""
    return _rows(conn, "tenant_lines", tenants=list(tenants))


def noted_tenants(conn: psycopg.Connection[Any]) -> list[str]:
    """Return the tenants that are not as all others: held, ordered into a wave, rolled back, quarantined, divergent, or
    without rows and still on Limitless."""
    return [str(row["tenant_id"]) for row in _rows(conn, "noted_tenants")]


def _rows(conn: psycopg.Connection[Any], name: str, **values: object) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute(_SQL[name], values)
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


def extend_report(conn: Connection, number: int, values: Mapping[str, Any]) -> None:
    """Set *values* in the body of report *number*."""
    conn.execute(_SQL["extend_report"], {"number": number, "values": json.dumps(values)})


def stamp_report(conn: Connection, number: int, moment: str) -> None:
    """Set *moment* in the body of report *number* to classic's clock; the first time counts."""
    conn.execute(_SQL["stamp_report"], {"number": number, "moment": moment})


class Report(NamedTuple):
    """One report. `now`: classic's clock when it was read."""

    number: int
    body: dict[str, Any]
    now: datetime


def report(conn: Connection, kind: str, number: int, lock: bool = False) -> Report | None:
    """Return report *number* if it is of *kind*; with *lock* it stays as it is until the caller's transaction ends."""
    if lock:
        conn.execute(_SQL["lock_report"], {"number": number})
    row = conn.execute(_SQL["report"], {"kind": kind, "number": number}).fetchone()
    return Report(*row) if row else None


def newest_number(conn: Connection, kind: str, states: Sequence[str] | None = None) -> int | None:
    """Return the number of the newest report of *kind*, with *states* among those whose body says one as "state"."""
    values = {"kind": kind, "states": None if states is None else list(states)}
    row = conn.execute(_SQL["newest_number"], values).fetchone()
    return int(row[0]) if row and row[0] is not None else None


def decided_at_s(conn: Connection, kind: str, subject: str) -> float | None:
    """Return when the newest such decision was made, in seconds of classic's clock; None when it never was."""
    row = conn.execute(_SQL["decided_at_s"], {"kind": kind, "subject": subject}).fetchone()
    return float(row[0]) if row and row[0] is not None else None


def all_decisions(conn: Connection) -> list[dict[str, Any]]:
    """Return the whole decision log, oldest first; moments in ISO 8601."""
    rows = _named_rows(conn, _SQL["all_decisions"])
    return [{**row, "at": row["at"].isoformat()} for row in rows]


def _named_rows(conn: Connection, statement: LiteralString) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement).fetchall()


def has_report(conn: psycopg.Connection[Any], kind: str) -> bool:
    """Return whether there is a report of *kind*."""
    row = conn.execute(_SQL["has_report"], {"kind": kind}).fetchone()
    return bool(row and row[0])


def evidence(conn: psycopg.Connection[Any]) -> str:
    """Return a digest of what is known now: reports, validation and tenants' states."""
    rows = conn.execute(_SQL["evidence"]).fetchall()
    return hashlib.sha256(json.dumps([list(row) for row in rows]).encode()).hexdigest()

"""Asks a server whether it takes the rewrites that a report proposes. PREPARE analyses a statement and runs nothing.

What a server refuses is not shown. A table whose tenant key exists on Limitless only can be prepared there only; until
then its rewrites rest on the schema as the audit read it, and say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg

from migrator.audit.explain.ask import NotAskedError, readable, settle
from migrator.audit.report.values import AuditReport, StatementReport

_PREPARED = "migrator_rewrite"
MARK = "/* migrator:audit */"
_CANNOT_TELL = ("42P01", "3F000", "42501", "55P03", "57014")
"""Refusals that say nothing of a text: no such table or schema, no right, a lock or a statement that took too long."""


def prepared(report: AuditReport, conn: psycopg.Connection[Any], where: str) -> AuditReport:
    """Return *report* with the rewrites that the server behind *conn* takes, or cannot judge.

    Args:
        conn: in autocommit; no other use while this runs.
        where: which side it is; the basis of the rewrites that it took.
    """
    later = {t.name for t in report.tables if t.derived and where == "classic"}
    schemas = list(dict.fromkeys(t.name.partition(".")[0] for t in report.tables))
    statements, refused = [], 0
    for statement in report.statements:
        if statement.rewrite is None or statement.function or later & {name for name, _ in statement.relations}:
            statements.append(statement)
            continue
        state = _refusal(conn, statement, statement.rewrite, schemas)
        if state in _CANNOT_TELL or (state and _refusal(conn, statement, statement.sql, schemas)):
            statements.append(statement)  # not the rewrite's fault: the statement itself is refused as well
            continue
        refused += bool(state)
        rewrite, basis = (None, None) if state else (statement.rewrite, where)
        statements.append(replace(statement, rewrite=rewrite, rewrite_basis=basis))
    gone = {f"statement {b.name}" for b, a in zip(report.statements, statements, strict=True) if b.rewrite != a.rewrite}
    findings = tuple(replace(f, sql=None) if f.object in gone and f.sql else f for f in report.findings)
    evidence = {**report.evidence, "rewrites": {**report.evidence.get("rewrites", {}), where: refused}}
    return replace(report, statements=tuple(statements), findings=findings, evidence=evidence)


def _refusal(conn: psycopg.Connection[Any], statement: StatementReport, text: str, schemas: Sequence[str]) -> str:
    """Return the SQLSTATE with which the server refuses to prepare *text*, "" when it takes it."""
    try:
        query, _ = readable(text)
    except NotAskedError:
        return _CANNOT_TELL[0]
    of_it = [name.partition(".")[0] for name, _ in statement.relations if "." in name]
    try:
        with conn.transaction(force_rollback=True):
            settle(conn, tuple(dict.fromkeys((*of_it, *schemas, "public"))))
            conn.execute(f"PREPARE {_PREPARED} {MARK} AS {query}".encode(), binary=True)  # binary: one statement only
    except psycopg.Error as error:
        if error.sqlstate is None or conn.closed:
            raise
        return error.sqlstate
    conn.execute(f"DEALLOCATE {_PREPARED} {MARK}".encode())
    return ""

"""Reads the evidence from a live classic cluster. The only module of the audit that reads a catalog.

Everything runs in one read-only transaction; a statement that is refused becomes a problem in the evidence and
the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, LiteralString

import psycopg

from migrator.audit.evidence.rows import Evidence, absorb
from migrator.db.error_text import server_message
from migrator.db.named import load

Progress = Callable[[str], None]
"""Receives what is being done."""

STATISTICS_HINT = (
    "CREATE EXTENSION pg_stat_statements (with it in shared_preload_libraries) and GRANT pg_read_all_stats to the "
    "user of the audit; or give statement files or logs."
)


STATEMENTS = load("migrator.audit.evidence", "collect.sql")
"""The queries, in order; those called "statements…" need pg_stat_statements."""


def _rows(conn: psycopg.Connection[Any], statement: LiteralString) -> list[dict[str, Any]]:
    with conn.cursor() as cursor:
        cursor.execute(statement, prepare=False)
        return [row[0] for row in cursor]


def collect(conn: psycopg.Connection[Any], progress: Progress | None = None) -> Evidence:
    """Read catalog, statistics and pg_stat_statements of classic. Changes nothing."""
    evidence = Evidence()
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY /* migrator:audit */")
        for name, statement in STATEMENTS.items():
            if name.startswith("statements"):
                continue
            if progress:
                progress(f"reading {name.replace('_', ' ')}")
            try:
                with conn.transaction():
                    absorb(_rows(conn, statement), evidence, "catalog")
            except psycopg.errors.InsufficientPrivilege as error:
                if name not in ("subscriptions",):
                    evidence.problems.append(f"{name} cannot be read: {server_message(error)}")
            except psycopg.Error as error:
                if error.sqlstate is None or conn.closed:
                    raise
                evidence.problems.append(f"{name} cannot be read: {server_message(error)}")
        _default_path(conn, evidence)
        read_statistics(conn, evidence, progress)
    return evidence


def _default_path(conn: psycopg.Connection[Any], evidence: Evidence) -> None:
    """Names in statements follow the application's search path; the audit's is fixed, so read the default."""
    row = conn.execute("SELECT reset_val FROM pg_settings WHERE name = 'search_path' /* migrator:audit */").fetchone()
    path = [p.strip().strip('"') for p in str(row[0] if row else "").split(",")]
    for thing in evidence.catalog.things:
        if thing.sort.endswith(" setting") and thing.name.startswith("search_path="):
            path += [p.strip().strip('"') for p in thing.name.partition("=")[2].split(",")]
    path = [p for p in path if p and p not in ("$user", "pg_catalog")]
    evidence.catalog.search_path = tuple(dict.fromkeys((*path, *evidence.catalog.search_path)))


def read_statistics(conn: psycopg.Connection[Any], evidence: Evidence, progress: Progress | None = None) -> None:
    """Add pg_stat_statements to *evidence*, or the reason why it cannot be read."""
    if progress:
        progress("reading pg_stat_statements")
    found = conn.execute(
        "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE e.extname = 'pg_stat_statements' /* migrator:audit */"
    ).fetchone()
    if found is None:
        evidence.problems.append("pg_stat_statements is not installed, so no statement was seen. " + STATISTICS_HINT)
        return
    try:
        with conn.transaction():
            conn.execute(
                "SELECT set_config('search_path', quote_ident(%s) || ', pg_catalog', true) /* migrator:audit */",
                (found[0],),
            )
            for name, statement in STATEMENTS.items():
                if name.startswith("statements"):
                    absorb(_rows(conn, statement), evidence, "catalog")
            conn.execute("SELECT set_config('search_path', 'pg_catalog', true) /* migrator:audit */")
    except psycopg.Error as error:
        if error.sqlstate is None or conn.closed:
            raise
        evidence.problems.append(f"pg_stat_statements cannot be read: {server_message(error)}. " + STATISTICS_HINT)
    if evidence.hidden_statements:
        evidence.problems.append(
            f"the texts of {evidence.hidden_statements} statements are hidden from this role: "
            "GRANT pg_read_all_stats to it"
        )

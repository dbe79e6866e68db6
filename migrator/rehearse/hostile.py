"""Gives databases and roles settings that the tool must not depend on, from the start and on both sides.

All of them may be set by a role's or a database's owner. The tool pins what its proof needs in each of its
sessions, and so does the shim in those of the application.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

DATABASE = {
    "synchronous_commit": "off",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "extra_float_digits": "-3",
    "bytea_output": "escape",
}
"""For all roles: a crash may lose acknowledged commits, and values are written in other forms."""

TOOL = {
    "statement_timeout": "200ms",
    "lock_timeout": "50ms",
    "idle_in_transaction_session_timeout": "500ms",
    "search_path": "app, public",
    "row_security": "on",
}
"""Also for the tool's role: copies would be cut off, names would mean other objects."""


def set_on_classic(dsn: str) -> int:
    """Give the database and the tool's role on classic these settings; returns how many."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        database, role = sql.Identifier(conn.info.dbname), sql.Identifier(conn.info.user)
        for name, value in DATABASE.items():
            _set(conn, sql.SQL("DATABASE {}").format(database), name, value)
        for name, value in TOOL.items():
            _set(conn, sql.SQL("ROLE {} IN DATABASE {}").format(role, database), name, value)
    return len(DATABASE) + len(TOOL)


def set_on_limitless(dsn: str) -> int:
    """Give the tool's role on Limitless these settings; returns how many. A database's settings cannot be set there."""
    settings = DATABASE | TOOL
    with psycopg.connect(dsn, autocommit=True) as conn:
        role, database = sql.Identifier(conn.info.user), sql.Identifier(conn.info.dbname)
        for name, value in settings.items():
            _set(conn, sql.SQL("ROLE {} IN DATABASE {}").format(role, database), name, value)
    return len(settings)


def _set(conn: psycopg.Connection, whose: sql.Composed, name: str, value: str) -> None:
    conn.execute(sql.SQL("ALTER {} SET {} = {}").format(whose, sql.Identifier(name), sql.Literal(value)))

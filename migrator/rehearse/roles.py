"""The application's roles, as in production: one that owns and deploys, one that owns nothing.

The tool's own role, which loads the demo, owns nothing in schema app either. On Limitless roles come with the schema
and may not log in: their login is a person's decision, and an act of the rehearsal.
"""

from __future__ import annotations

import contextlib
from typing import Any

import psycopg
from psycopg import conninfo, sql

OWNER = "shop_owner"
"""Owns schema app and what is in it; deployments that go past the tool log in as this role."""

APPLICATION = "shop_app"
"""What the traffic logs in as: rights on rows, sequences and the procedure, no ownership."""

ALL = (OWNER, APPLICATION)


def make(conn: psycopg.Connection[Any]) -> None:
    """Create both roles where they are missing, with the password of *conn*, which is in autocommit mode.

    Roles belong to the server, so an earlier demo in another database may have made them, and given them settings.
    """
    for role in ALL:
        with contextlib.suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        conn.execute(sql.SQL("ALTER ROLE {} RESET ALL").format(sql.Identifier(role)))
        allow_login(conn, role)


def allow_login(conn: psycopg.Connection[Any], role: str) -> None:
    """Let *role* log in with the password of *conn*, hashed here: a statement can end up in a server's log."""
    hashed = conn.pgconn.encrypt_password(conn.info.password.encode(), role.encode(), b"scram-sha-256").decode()
    conn.execute(
        sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(hashed)), prepare=False
    )


def as_role(dsn: str, role: str) -> str:
    """Return *dsn* with another user; all roles of a rehearsal have one password."""
    return conninfo.make_conninfo(dsn, user=role)

"""Grants roles what they need in the tool's schema: an application's what its shim needs, a reader's to see everything.

The first is what `migrator.shim` does: read routes and positions, keep its own heartbeat and measurements, raise a
fallback. Nothing on the journal: capture writes it with its own rights. An application that is not a superuser needs
these before its processes open a shim.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from migrator.db.named import load
from migrator.errors import UsageError
from migrator.model.action import Action
from migrator.model.near import unknown

_SQL = load("migrator.control", "grants.sql")

RIGHTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "SELECT",
        (
            "switch",
            "epoch_mark",
            "route",
            "fallback",
            "position",
            "process",
            "breaker_trip",
            "replica",
            "replica_reach",
        ),
    ),
    ("SELECT (shim)", ("plan",)),
    ("INSERT, UPDATE, DELETE", ("process", "breaker_trip", "replica", "replica_reach")),
    ("INSERT", ("read_sample", "shadow_sample", "shadow_read_sample", "decision", "incident")),
    ("INSERT, UPDATE", ("fallback",)),
    ("UPDATE (epoch)", ("switch",)),  # also what SELECT … FOR UPDATE needs
)
"""Every right and the tables it is given on; a test holds the shim's statements to it."""

FUNCTIONS = ("shadow_begin(text)", "shadow_unchanged(text, jsonb, int[], boolean)")
"""What the shim calls that not everybody may. It says whether rows changed, and shows none."""


def statements(role: str) -> list[sql.Composed]:
    """Return the statements that give *role* what the shim needs."""
    to = sql.Identifier(role)
    found = [sql.SQL("GRANT USAGE ON SCHEMA migrator TO {}").format(to)]
    for right, tables in RIGHTS:
        names = sql.SQL(", ").join(sql.Identifier("migrator", t) for t in tables)
        found.append(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(right), names, to))
    for function in FUNCTIONS:
        found.append(sql.SQL("GRANT EXECUTE ON FUNCTION migrator.{} TO {}").format(sql.SQL(function), to))
    return found


def reader_statements(conn: psycopg.Connection[Any], role: str) -> list[sql.Composed]:
    """Return the statements that let *role* see the tool's tables on *conn*'s side; no journals, which hold keys."""
    to = sql.Identifier(role)
    found = [sql.SQL("GRANT USAGE ON SCHEMA migrator TO {}").format(to)]
    names = [sql.Identifier("migrator", name) for (name,) in conn.execute(_SQL["readable"])]
    if names:
        found.append(sql.SQL("GRANT SELECT ON {} TO {}").format(sql.SQL(", ").join(names), to))
    return found


def actions(conn: psycopg.Connection[Any], role: str, given: Sequence[sql.Composed] | None = None) -> list[Action]:
    """Return what `grant` would do.

    Raises:
        UsageError: there is no such role.
    """
    _check(conn, role)
    return [
        Action(
            f"grant/{role}/{number}",
            statement.as_string(conn),
            f"REVOKE ALL ON ALL TABLES IN SCHEMA migrator FROM {sql.Identifier(role).as_string(conn)}",
            sql=statement.as_string(conn),
        )
        for number, statement in enumerate(statements(role) if given is None else given, 1)
    ]


def grant(conn: psycopg.Connection[Any], role: str, given: Sequence[sql.Composed] | None = None) -> None:
    """Give *role* the rights of the shim, or those *given*, in one transaction. Safe to run twice.

    Raises:
        UsageError: there is no such role.
    """
    with conn.transaction():
        only_one(conn)
        _check(conn, role)
        for statement in statements(role) if given is None else given:
            conn.execute(statement)


def only_one(conn: psycopg.Connection[Any]) -> None:
    """Let no one else grant until the caller's transaction ends: of two at once, PostgreSQL lets one fail."""
    conn.execute(_SQL["only_one"])


def serves_shims(conn: psycopg.Connection[Any]) -> bool:
    """Return whether PUBLIC may read the terminal route, where it exists: a shim that starts without classic does."""
    row = conn.execute(_SQL["serves_shims"]).fetchone()
    return bool(row and row[0])


_GRANTED = """
SELECT DISTINCT r.rolname FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee
 WHERE c.oid = 'migrator.process'::regclass AND a.privilege_type = 'INSERT' AND a.grantee <> c.relowner
 ORDER BY 1
"""


def granted(conn: psycopg.Connection[Any]) -> tuple[str, ...]:
    """Return the roles that were granted the use of the shim."""
    return tuple(str(role) for (role,) in conn.execute(_GRANTED))


def readers(conn: psycopg.Connection[Any]) -> tuple[str, ...]:
    """Return the roles that may read the tool's tables and use no shim."""
    return tuple(str(role) for (role,) in conn.execute(_SQL["readers"]))


def renew(conn: psycopg.Connection[Any]) -> None:
    """Give every role that may use the shim, or read, what it needs now; in the caller's transaction."""
    for role in granted(conn):
        for statement in statements(role):
            conn.execute(statement)
    for role in readers(conn):
        for statement in reader_statements(conn, role):
            conn.execute(statement)


def grant_again(conn: psycopg.Connection[Any], users: Sequence[str], reading: Sequence[str]) -> list[str]:
    """Give *users* the shim and *reading* the tables again, in the caller's transaction; return who is no role."""
    known = {str(name) for (name,) in conn.execute(_SQL["roles"])}
    wanted = [(role, statements(role)) for role in users if role in known]
    wanted += [(role, reader_statements(conn, role)) for role in reading if role in known]
    for _, todo in wanted:
        for statement in todo:
            conn.execute(statement)
    return [role for role in (*users, *reading) if role not in known]


def lacking(conn: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """Return what each role that was granted the use of the shim lacks of what the shim needs now; as text, by role."""
    found: dict[str, list[str]] = {}
    for (role,) in conn.execute(_GRANTED).fetchall():
        for right, tables in RIGHTS:
            rows = conn.execute(_SQL["lacking"], {"role": role, "right": right, "tables": list(tables)}).fetchall()
            for table, lacks in rows:
                found.setdefault(str(role), []).append(f"{lacks} on {table}")
        for (function,) in conn.execute(_SQL["not_callable"], {"role": role, "functions": list(FUNCTIONS)}).fetchall():
            found.setdefault(str(role), []).append(f"EXECUTE on {function}")
    return found


def _check(conn: psycopg.Connection[Any], role: str) -> None:
    known = [str(name) for (name,) in conn.execute(_SQL["roles"])]
    if role not in known:
        raise UsageError(unknown("role", [role], known), hint="Name the role it logs in with.")

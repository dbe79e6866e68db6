"""A setting that decides which rows are seen and that the role may not set is said before anything rests on it."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from migrator.db.connect import connect, unpinned
from tests.fixtures.roles import Roles

pytestmark = pytest.mark.pg


def test_what_the_role_may_not_set_is_named(classic_dsn: str, roles: Roles) -> None:
    """With the right to set it, or as a superuser, the tool sets it and nothing is to be said."""
    role = roles.on_classic("tool")
    with psycopg.connect(roles.classic_admin, autocommit=True) as admin:
        hostile = sql.SQL("ALTER ROLE {} SET session_replication_role = replica").format(sql.Identifier(role))
        admin.execute(hostile)
        with connect(roles.dsn(classic_dsn, "tool"), "test") as conn:
            before = unpinned(conn, "classic")
        grant = "GRANT SET ON PARAMETER session_replication_role TO {0}"
        admin.execute(sql.SQL(grant).format(sql.Identifier(role)))
        with connect(roles.dsn(classic_dsn, "tool"), "test") as conn:
            after = unpinned(conn, "classic")
        admin.execute(sql.SQL("REVOKE SET ON PARAMETER session_replication_role FROM {}").format(sql.Identifier(role)))

    assert len(before) == 1
    assert before[0].startswith(f"classic: session_replication_role = replica in sessions of {role}")
    assert after == []

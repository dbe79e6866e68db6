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


def test_what_makes_queries_slow_is_pinned(classic_dsn: str, roles: Roles) -> None:
    """A role may have any of it; `status` of 9,000 tenants must end all the same."""
    role = roles.on_classic("tool")
    slow = {
        "work_mem": "64kB", "hash_mem_multiplier": "1", "join_collapse_limit": "1", "from_collapse_limit": "1",
        "effective_cache_size": "8kB", "geqo_threshold": "2", "geqo": "off",
    }  # fmt: skip
    hostile = sql.SQL("ALTER ROLE {} SET {} = {}")
    with psycopg.connect(roles.classic_admin, autocommit=True) as admin:
        for name, value in slow.items():
            admin.execute(hostile.format(sql.Identifier(role), sql.Identifier(name), sql.Literal(value)))

    dsn = roles.dsn(classic_dsn, "tool")
    with psycopg.connect(dsn) as plain, connect(dsn, "test") as ours:
        for name, value in slow.items():
            before, now = (c.execute("SELECT current_setting(%s)", (name,)).fetchone() for c in (plain, ours))
            assert before == (value,) and now != (value,), name

"""What the audit knows of PostgreSQL's own functions is what the catalogs of its releases say."""

from __future__ import annotations

import psycopg
import pytest

from migrator.audit.shardkey.pull_up import SET_RETURNING, SYSTEM
from migrator.audit.shardkey.volatility import catalog_volatility
from tests.integration.builtin_functions import functions, merged

pytestmark = pytest.mark.pg


def test_the_audit_knows_the_functions_of_the_running_server(classic_dsn: str) -> None:
    """A new release brings new ones: write the file again with tests/integration/builtin_functions.py."""
    with psycopg.connect(classic_dsn) as conn:
        found = functions(conn)
    known = catalog_volatility()

    assert len(found) > 1500
    assert {name: known.get(name) for name in found} == found


def test_the_audit_knows_which_functions_of_the_running_server_return_sets(classic_dsn: str) -> None:
    with psycopg.connect(classic_dsn) as conn:
        rows = conn.execute(
            "SELECT DISTINCT proname FROM pg_proc WHERE proretset AND pronamespace = 'pg_catalog'::regnamespace"
        ).fetchall()

    assert len(rows) > 70  # 80 in PostgreSQL 15, more since
    assert {name for (name,) in rows if not name.startswith(SYSTEM)} <= SET_RETURNING


def test_of_overloads_and_releases_the_least_promise_counts() -> None:
    assert merged([{"a": "i", "b": "v"}, {"a": "s", "c": "i"}, {"a": "i", "b": "s"}]) == {"a": "s", "b": "v", "c": "i"}

"""The test servers themselves: fresh, separate, and breakable."""

from __future__ import annotations

import psycopg
import pytest
from temporalio.testing import WorkflowEnvironment

from tests.fixtures.postgres import Servers

pytestmark = pytest.mark.pg


def test_every_test_gets_empty_databases(classic_dsn: str, limitless_dsn: str) -> None:
    """Both sides are fresh, and they are two servers."""
    with psycopg.connect(classic_dsn) as classic, psycopg.connect(limitless_dsn) as limitless:
        for conn in (classic, limitless):
            assert conn.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
            conn.execute("CREATE TABLE t (id int PRIMARY KEY)")
        assert classic.info.port != limitless.info.port


def test_the_role_on_limitless_is_no_superuser(limitless_dsn: str) -> None:
    """What needs a superuser on the stand-in would not work on Aurora either."""
    with psycopg.connect(limitless_dsn) as conn:
        assert conn.execute("SELECT current_setting('is_superuser')").fetchone() == ("off",)


def test_a_killed_server_comes_back(servers: Servers) -> None:
    """What was committed before a crash is there after it."""
    with psycopg.connect(servers.classic_dsn) as conn:
        conn.execute("CREATE TABLE t (id int PRIMARY KEY)")
        conn.execute("INSERT INTO t VALUES (1)")

    servers.classic.kill()
    servers.classic.start()

    with psycopg.connect(servers.classic_dsn) as conn:
        assert conn.execute("SELECT id FROM t").fetchall() == [(1,)]


@pytest.mark.temporal
async def test_temporal_answers(temporal_env: WorkflowEnvironment, temporal_address: str) -> None:
    """The dev server is up and its address is known."""
    assert await temporal_env.client.service_client.check_health()
    assert ":" in temporal_address

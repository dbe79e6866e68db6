"""A database whose sessions do not wait for the disk, and a crash: nothing that was acted on is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql

from migrator.db.connect import connect
from migrator.traffic.incident.rollback import roll_back
from tests.fixtures.postgres import Servers
from tests.fixtures.shop import Shop, new_shop
from tests.fixtures.waiting import until

pytestmark = pytest.mark.pg

TIMEOUTS = ("statement_timeout", "transaction_timeout", "lock_timeout", "idle_in_transaction_session_timeout")


@pytest.fixture
def careless(servers: Servers) -> Iterator[Shop]:
    """The shop on a classic that flushes what nobody waits for after ten seconds."""
    with psycopg.connect(servers.classic_dsn, autocommit=True) as conn:
        conn.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        conn.execute("SELECT pg_reload_conf()")
        _set(conn, "synchronous_commit", "off")
    with new_shop(servers.classic_dsn, servers.limitless_dsn) as shop:
        yield shop
    with psycopg.connect(servers.classic_dsn, autocommit=True) as conn:
        conn.execute("ALTER SYSTEM RESET wal_writer_delay")


def _set(conn: psycopg.Connection[Any], name: str, value: str) -> None:
    conn.execute(
        sql.SQL("ALTER DATABASE {} SET {} = {}").format(
            sql.Identifier(conn.info.dbname), sql.Identifier(name), sql.Literal(value)
        )
    )


async def _wal_writer_sleeps(conn: psycopg.Connection[Any]) -> None:
    """Wait until the WAL writer has done what there was: from then on it rests for ten seconds."""
    conn.execute("CREATE TABLE IF NOT EXISTS public.waker (n int)")
    conn.execute("INSERT INTO public.waker VALUES (1)")
    row = conn.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
    assert row is not None

    async def flushed() -> bool:
        found = conn.execute("SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn", row).fetchone()
        return bool(found and found[0])

    await until(flushed, "the WAL writer has flushed")


async def test_what_a_copy_saw_survives_the_crash_or_is_on_neither_side(careless: Shop, servers: Servers) -> None:
    """A ghost row on Limitless would stay for ever: classic forgets the row, and its journal entry with it."""
    await careless.start()
    units = await asyncio.to_thread(careless.units)
    with psycopg.connect(servers.classic_dsn, autocommit=True) as application:
        await _wal_writer_sleeps(application)
        application.execute("INSERT INTO shop.purchase VALUES (77777, 1, 77777, 1, 'ok', NULL)")
        application.execute("UPDATE shop.purchase SET total = 77777 WHERE id = 3")
        for unit in units:
            await careless.copy(unit)
        servers.classic.kill()
    servers.classic.start()
    careless.classic.close()
    careless.classic = connect(servers.classic_dsn, "test")

    async with careless.mirrors():
        await careless.copy_all()
        await careless.caught_up()

    assert careless.differences() == {}


async def test_a_rollback_that_was_confirmed_is_not_forgotten(careless: Shop, servers: Servers) -> None:
    with psycopg.connect(servers.classic_dsn, autocommit=True) as application:
        await _wal_writer_sleeps(application)
        assert roll_back(careless.classic, all=True, who="test", reason="test").complete
        servers.classic.kill()
    servers.classic.start()

    with psycopg.connect(servers.classic_dsn) as conn:
        assert conn.execute("SELECT level FROM migrator.switch").fetchone() == ("classic",)


@pytest.mark.parametrize("name", TIMEOUTS)
def test_timeouts_of_the_database_end_no_work(classic_dsn: str, name: str) -> None:
    """A copy, a digest and an index take as long as they take."""
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        known = conn.execute("SELECT FROM pg_settings WHERE name = %s", (name,)).fetchone()
        if known is not None:
            _set(conn, name, "500ms")
    with connect(classic_dsn, "test") as tool, tool.transaction():
        assert tool.execute("SELECT pg_sleep(0.8)").fetchone() is not None
        assert tool.execute("SELECT current_setting(%s, true)", (name,)).fetchone() in [("0",), (None,)]


def test_a_reload_of_the_configuration_does_not_reach_sessions_that_run(servers: Servers) -> None:
    with connect(servers.classic_dsn, "test") as tool, psycopg.connect(servers.classic_dsn, autocommit=True) as dba:
        try:
            dba.execute("ALTER SYSTEM SET synchronous_commit = off")
            dba.execute("ALTER SYSTEM SET statement_timeout = '1h'")
            dba.execute("SELECT pg_reload_conf()")
            while dba.execute("SHOW statement_timeout").fetchone() != ("1h",):
                pass
            seen = tool.execute("SELECT current_setting('synchronous_commit'), current_setting('statement_timeout')")

            assert seen.fetchone() == ("on", "0")
        finally:
            dba.execute("ALTER SYSTEM RESET ALL")
            dba.execute("SELECT pg_reload_conf()")


def test_another_role_by_default_and_functions_in_disguise_change_nothing(classic_dsn: str) -> None:
    """Whoever may create a schema could otherwise have the tool run his functions with its rights."""
    database = str(conninfo.conninfo_to_dict(classic_dsn)["dbname"])
    name = f"nobody_{database}"
    role = sql.Identifier(name)
    with psycopg.connect(classic_dsn, autocommit=True) as dba:
        dba.execute(sql.SQL("CREATE ROLE {}").format(role))
        dba.execute("CREATE SCHEMA decoy")
        dba.execute(
            "CREATE FUNCTION decoy.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE EXCEPTION 'caught'; END $$"
        )
        try:
            _set(dba, "role", name)
            dba.execute(
                sql.SQL("ALTER DATABASE {} SET search_path = decoy, pg_catalog").format(sql.Identifier(database))
            )
            with connect(classic_dsn, "test") as tool:
                seen = tool.execute("SELECT current_user = session_user, current_setting('search_path')").fetchone()

            assert seen == (True, "pg_catalog")
        finally:
            dba.execute(sql.SQL("ALTER DATABASE {} RESET role").format(sql.Identifier(database)))
            dba.execute(sql.SQL("DROP ROLE {}").format(role))

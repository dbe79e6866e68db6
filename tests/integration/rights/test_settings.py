"""What a session gets although nobody set it for its role: by its database, or by how the server is configured."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from migrator.db.connect import connect
from tests.fixtures.postgres import Machines, with_parts
from tests.fixtures.waiting import TIMEOUT_S
from tests.integration.rights.conftest import Land

pytestmark = pytest.mark.pg

CONFIGURED = {
    "TimeZone": "Asia/Kathmandu",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "extra_float_digits": "-3",
    "bytea_output": "escape",
    "default_transaction_isolation": "repeatable read",
    "default_transaction_read_only": "on",
    "default_text_search_config": "pg_catalog.german",
    "lc_monetary": "C.UTF-8",
    "statement_timeout": "31s",
    "search_path": "app, public",
    "row_security": "off",
}


@contextlib.contextmanager
def configured(admin: str, settings: dict[str, str]) -> Iterator[None]:
    """A server whose configuration says so."""

    def say(words: str, seen: dict[str, str]) -> None:
        with psycopg.connect(admin, autocommit=True) as conn:
            for name, value in settings.items():
                given = sql.SQL(value) if name == "search_path" else sql.Literal(value)
                rest = sql.SQL(" = {}").format(given) if words == "SET" else sql.SQL("")
                conn.execute(sql.SQL("ALTER SYSTEM {} {}{}").format(sql.SQL(words), sql.Identifier(name), rest))
            conn.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + TIMEOUT_S
        while in_force(admin, settings) != seen:
            assert time.monotonic() < deadline, "the server did not read its configuration"

    before = in_force(admin, settings)
    try:
        say("SET", settings)
        yield
    finally:
        say("RESET", before)


def in_force(dsn: str, names: dict[str, str]) -> dict[str, str]:
    with psycopg.connect(dsn, autocommit=True) as conn:
        rows = conn.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY (%s)", (list(names),)
        ).fetchall()
    return {name: str(value) for name, value in rows}


def reconnect(land: Land) -> None:
    """Sessions begin with what is configured then."""
    for side, dsn in (("classic", land.classic_dsn), ("limitless", land.limitless_dsn)):
        getattr(land, side).close()
        setattr(land, side, connect(dsn, "test"))


def settings_of(found: list[str]) -> list[str]:
    return [line for line in found if "rights/settings/" in line or "/setting/" in line]


def test_what_the_server_is_configured_to_is_given_to_the_roles(land: Land, machines: Machines) -> None:
    """Each one is named with both values; a session there is then as one on classic."""
    land.roles.on_classic("web")
    land.roles.on_limitless("web")
    land.sql("GRANT USAGE ON SCHEMA app TO {web}", "GRANT SELECT ON app.tenant TO {web}")
    land.provision()
    assert settings_of(land.check()) == []

    with configured(machines.classic_admin, CONFIGURED):
        reconnect(land)
        found = settings_of(land.check())
        assert [line.rsplit("rights/settings/", 1)[1] for line in found] == sorted(f"{name})" for name in CONFIGURED)
        zone = next(line for line in found if "TimeZone" in line)
        assert "role web get TimeZone = Asia/Kathmandu on classic" in zone and "ALTER ROLE" in zone
        land.provision()
        assert settings_of(land.check()) == []
        sessions = (land.roles.dsn(dsn, "web") for dsn in (land.classic_dsn, land.limitless_dsn))
        here, there = (in_force(dsn, CONFIGURED) for dsn in sessions)
    reconnect(land)

    assert here == there
    # and back: what the roles were given stays, and is named, until somebody takes it away
    assert len(settings_of(land.check())) == len(CONFIGURED)


def test_what_limitless_is_configured_to_is_named_too(land: Land, machines: Machines) -> None:
    """For the roles that do not set it themselves, whatever words they use."""
    for role in ("web", "report"):
        land.roles.on_classic(role)
        land.roles.on_limitless(role)
    land.sql("GRANT USAGE ON SCHEMA app TO {web}, {report}", "GRANT SELECT ON app.tenant TO {web}, {report}")
    land.provision()
    land.there("ALTER ROLE {report} SET statement_timeout = '0s'")

    with configured(machines.limitless_admin, {"statement_timeout": "31s"}):
        reconnect(land)
        (found,) = settings_of(land.check())
    reconnect(land)

    assert found.startswith("sessions of role web get statement_timeout = 0 on classic, 31000 on Limitless")


def test_without_any_role_nothing_is_in_the_way(land: Land, machines: Machines) -> None:
    """Where only superusers log in, there is nobody whom ALTER ROLE could serve, and nothing for provisioning to do."""
    land.provision()

    with configured(machines.limitless_admin, {"DateStyle": "SQL, DMY"}):
        reconnect(land)
        found = settings_of(land.check())
    reconnect(land)

    assert found == []


@pytest.mark.parametrize("of_database", [False, True])
def test_what_the_tools_own_role_sets_is_nobody_elses(land: Land, machines: Machines, of_database: bool) -> None:
    """Then the database's word counts, if it says something."""
    database, tool = land.classic.info.dbname, land.classic.info.user
    land.roles.on_classic("web")
    land.roles.on_limitless("web")
    land.sql("GRANT USAGE ON SCHEMA app TO {web}", "GRANT SELECT ON app.tenant TO {web}")
    land.provision()
    with psycopg.connect(with_parts(machines.classic_admin, dbname=database), autocommit=True) as admin:
        role, here = sql.Identifier(tool), sql.Identifier(database)
        admin.execute(sql.SQL("ALTER ROLE {} IN DATABASE {} SET TimeZone = 'Asia/Tokyo'").format(role, here))
        if of_database:
            admin.execute(sql.SQL("ALTER DATABASE {} SET TimeZone = 'Asia/Kathmandu'").format(here))
    reconnect(land)

    found = settings_of(land.check())

    assert ["TimeZone = Asia/Kathmandu on classic" in line for line in found] == [True] * of_database

"""Whatever a database says about its sessions, the tool and the shim do the same: every setting, the whole path."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql

from migrator.consistency.run import validate
from migrator.dataplane.repair import repair
from migrator.model.tenant import TenantId
from migrator.shim import Settings, Shim
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.promote import promote_reads
from tests.fixtures.postgres import Machines, fresh_name, with_parts
from tests.fixtures.shop import Shop, new_shop
from tests.fixtures.waiting import TIMEOUT_S

pytestmark = pytest.mark.pg

CALM = Settings(staleness_s=60.0, poll_s=0.1, ack_wait_s=TIMEOUT_S, max_lag_s=TIMEOUT_S, read_timeout_s=60.0)

EXCLUDED = {
    "transaction_isolation": "belongs to one transaction, and the server does not keep it for a session",
    "transaction_read_only": "the same",
    "transaction_deferrable": "the same",
    "max_stack_depth": "a bound of the machine: what is right depends on its ulimit, and exceeding it is an error",
    "temp_buffers": "a bound of memory that its largest value exceeds; nothing of ours uses temporary tables",
    "backtrace_functions": "decides what the server's log says",
    "dynamic_library_path": "names files of the server",
    "extension_control_path": "names files of the server",
    "local_preload_libraries": "names files of the server",
    "output_plugin_libraries": "names files of the server",
    "session_preload_libraries": "names files of the server",
    "wal_consistency_checking": "for developers: checks what a standby does",
    "default_table_access_method": "no other is installed; the shop's tables are created where it is set",
    "default_tablespace": "no other exists here",
    "temp_tablespaces": "no other exists here",
    "application_name": "every connection names itself when it is made",
    "event_triggers": "switches the guard off, which capture's watch names, so that nothing goes on: see test_watch.py",
}
"""Settings of a session that are not tried, and why. Those that begin with log_ decide what the server's log says."""

OF_THE_STANDIN = ("session_replication_role",)
"""Not tried on Limitless: what stands in for it there is made of event triggers, which it switches off."""

# Milliseconds: with less, no session would live long enough to say what it wants.
SHORT = ("statement_timeout", "transaction_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout")
LEAST = {**dict.fromkeys(SHORT, "3000"), "tcp_user_timeout": "3000"}

WORDS = {
    "DateStyle": ["SQL, DMY", "German", "Postgres, MDY"],
    "TimeZone": ["Asia/Kathmandu", "America/St_Johns"],
    "client_encoding": ["LATIN1", "SQL_ASCII"],
    "createrole_self_grant": ["set, inherit"],
    "default_text_search_config": ["pg_catalog.german"],
    "lc_messages": ["C.UTF-8"],
    "lc_monetary": ["C.UTF-8"],
    "lc_numeric": ["C.UTF-8"],
    "lc_time": ["C.UTF-8"],
    "restrict_nonsystem_relation_kind": ["view, foreign-table", "view"],
    "search_path": ["decoy, pg_catalog", ""],
    "timezone_abbreviations": ["India", "Australia"],
}


@dataclass(frozen=True)
class Hostile:
    """A setting and the values that differ from what it has."""

    name: str
    values: tuple[str, ...]


def hostile_settings(conn: psycopg.Connection[Any]) -> list[Hostile]:
    """Return every setting of a session that this server knows, but those that are EXCLUDED."""
    found = []
    for name, kind, now, least, most, words in conn.execute(
        "SELECT name, vartype, setting, min_val, max_val, enumvals FROM pg_settings"
        " WHERE context IN ('user', 'superuser') AND name !~ '^log_|[.]' ORDER BY name"
    ):
        if name in EXCLUDED:
            continue
        values = {
            "bool": ["off" if now == "on" else "on"],
            "enum": words or [],
            "string": WORDS.get(name, []),
        }.get(kind, [LEAST.get(name, least), most])
        other = tuple(str(v) for v in values if str(v) != now)
        assert other or kind == "enum" or least == most, f"{name} ({kind}): no value to try, and no reason why not"
        if other:
            found.append(Hostile(name, other))
    return found


DECOY = """
CREATE SCHEMA decoy;
CREATE FUNCTION decoy.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS 'SELECT $2';
CREATE FUNCTION decoy.current_setting(text, boolean) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
CREATE FUNCTION decoy.pg_current_snapshot() RETURNS pg_snapshot LANGUAGE sql AS $$ SELECT pg_snapshot '1:1:' $$;
CREATE FUNCTION decoy.differ(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR decoy.= (LEFTARG = text, RIGHTARG = text, FUNCTION = decoy.differ);
GRANT USAGE ON SCHEMA decoy TO PUBLIC;
"""


def spoil(machines: Machines, classic: str, limitless: str, settings: dict[str, str]) -> None:
    """Set *settings* for both databases, which hold functions that pretend to be the system's."""
    for admin, dsn in ((machines.classic_admin, classic), (machines.limitless_admin, limitless)):
        database = str(conninfo.conninfo_to_dict(dsn)["dbname"])
        with psycopg.connect(with_parts(admin, dbname=database), autocommit=True) as conn:
            known = {n for (n,) in conn.execute("SELECT name FROM pg_settings")}
            known -= set(OF_THE_STANDIN if dsn == limitless else ())
            conn.execute(DECOY)
            for setting, value in settings.items():
                if setting in known:
                    # A list is given as it is written; quoted, it would be one name.
                    given = sql.SQL(value or "''") if setting == "search_path" else sql.Literal(value)
                    conn.execute(
                        sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                            sql.Identifier(database), sql.Identifier(setting), given
                        )
                    )


async def travel(shop: Shop) -> None:
    """Everything a migration does to a tenant's rows, there and back; equal at the end, row by row."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        with Shim(shop.classic_dsn, shop.limitless_dsn, "web", settings=CALM) as shim:
            assert (await validate(shop.classic_dsn, shop.limitless_dsn)).clean
            moved = await asyncio.to_thread(
                lambda: promote_reads(
                    shop.classic, tenants=[TenantId("1")], who="test", reason="test", timeout_s=TIMEOUT_S
                )
            )
            assert moved.done
            for number in (10_001, 10_002):
                await asyncio.to_thread(shim.run_write, "1", partial(_write_order, number=number))
                assert await asyncio.to_thread(shim.run_read, "1", partial(_orders, number=number)) == 1
            shop.limitless.execute("UPDATE shop.purchase SET total = 0, note = NULL WHERE tenant_id = 1 AND id = 3")
            assert (await validate(shop.classic_dsn, shop.limitless_dsn)).divergent_rows == 1
            await asyncio.to_thread(lambda: repair(shop.classic, "test"))
            await shop.caught_up()
            assert (await validate(shop.classic_dsn, shop.limitless_dsn)).clean
            back = await asyncio.to_thread(lambda: roll_back(shop.classic, all=True, who="test", reason="test"))
            assert back.complete
            await asyncio.to_thread(shim.run_write, "1", partial(_write_order, number=10_003))
        await shop.caught_up()
    assert shop.differences() == {}
    assert shop.fallbacks == []


def _write_order(write: Any, number: int) -> None:
    conn = write.connection
    conn.execute("INSERT INTO shop.purchase VALUES (%s, 1, %s, 9.99, 'happy', '{\"a\": [1, null]}')", (number, number))
    conn.execute("INSERT INTO shop.line VALUES (%s, %s, 'sku \\ '' \"', ARRAY['', 'null', NULL])", (number, number))
    conn.execute("UPDATE shop.purchase SET slot = NULL, total = NULL WHERE id = %s", (number,))


def _orders(read: Any, number: int) -> int:
    assert str(read.side) == "limitless"
    row = read.connection.execute(
        "SELECT count(*) FROM shop.purchase p JOIN shop.line l ON l.tenant_id = p.tenant_id AND l.purchase_id = p.id"
        " WHERE p.tenant_id = 1 AND p.id = %s",
        (number,),
    ).fetchone()
    return int(row[0])


def choice(settings: list[Hostile], turn: int) -> dict[str, str]:
    """Return one value of each: the first, the second, ..., and the last again where there are fewer."""
    return {s.name: s.values[min(turn, len(s.values) - 1)] for s in settings}


async def spoilt(machines: Machines, settings: dict[str, str]) -> None:
    """Travel between two databases with *settings*."""
    names = fresh_name("classic"), fresh_name("limitless")
    classic, limitless = machines.new_classic(names[0]), machines.new_limitless(names[1])
    try:
        spoil(machines, classic, limitless, settings)
        with new_shop(classic, limitless) as shop:
            await travel(shop)
    finally:
        machines.drop(*names)


TURNS = 9
"""With so many turns every value of every setting has had its turn: client_min_messages has the most."""

QUICK = (("machines", 0), ("full_machines", 1))


@pytest.mark.parametrize(
    ("which", "turn"),
    [
        pytest.param(which, turn, marks=() if (which, turn) in QUICK else pytest.mark.slow)
        for which in ("machines", "full_machines")
        for turn in range(TURNS)
    ],
)
async def test_no_settings_of_a_database_change_what_happens(
    request: pytest.FixtureRequest, which: str, turn: int
) -> None:
    """One hostile value of each at a time: they cannot hide one another, as every one of them is set by the tool.

    On the servers of the run, and on older ones.
    """
    machines: Machines = request.getfixturevalue(which)
    with psycopg.connect(machines.classic_admin) as conn:
        settings = hostile_settings(conn)
    assert max(len(s.values) for s in settings) <= TURNS

    await spoilt(machines, choice(settings, turn))


def test_what_is_not_tried_exists(machines: Machines) -> None:
    """An exclusion that no server knows would be a misspelt one."""
    with psycopg.connect(machines.classic_admin) as conn:
        known = {name for (name,) in conn.execute("SELECT name FROM pg_settings")}
    newer = {"event_triggers", "extension_control_path", "output_plugin_libraries"}

    assert set(EXCLUDED) - known <= newer

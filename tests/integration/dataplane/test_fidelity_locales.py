"""xml, collations and locales: what the embedded PostgreSQL lacks, on servers that have it."""

# ruff: noqa: E501 - statements of this file, one a line

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from migrator.dataplane.capture.install import mark_dirty
from migrator.db.connect import connect
from migrator.errors import PlanInvalid
from migrator.plan.tables import resolve_tables
from tests.fixtures.postgres import Machines, fresh_name, with_parts
from tests.fixtures.world import PARTS, World, plan_of

pytestmark = [pytest.mark.pg]

COLLATIONS = """
CREATE SCHEMA loc;
CREATE COLLATION loc.blind (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
CREATE COLLATION loc.german (provider = icu, locale = 'de-u-co-phonebk');
"""
SCHEMA = """
CREATE DOMAIN loc.label AS text COLLATE loc.blind;
CREATE TABLE loc.doc (tenant_id bigint NOT NULL, id int, x xml, xs xml[], PRIMARY KEY (tenant_id, id));
CREATE TABLE loc.word (tenant_id bigint NOT NULL, k text COLLATE loc.blind, v text COLLATE loc.german, n int, PRIMARY KEY (tenant_id, k));
CREATE TABLE loc.person (id int PRIMARY KEY, tenant_id bigint NOT NULL, mail text COLLATE loc.blind, UNIQUE (tenant_id, mail));
CREATE TABLE loc.tag (tenant_id bigint NOT NULL, k loc.label, n int, PRIMARY KEY (tenant_id, k));
CREATE TABLE loc.grove (tenant_id bigint NOT NULL, name text COLLATE loc.blind, PRIMARY KEY (name));
CREATE TABLE loc.tree (id int PRIMARY KEY, grove text COLLATE loc.blind REFERENCES loc.grove ON UPDATE CASCADE, note text);
CREATE TABLE loc.price (tenant_id bigint NOT NULL, id int, m money, ms money[], PRIMARY KEY (tenant_id, id));
"""

XML = [
    "'<a  b=\"1\" >  <!-- c --> <![CDATA[ <x> ]]></a >'",
    '\'<?xml version="1.0" encoding="ISO-8859-1"?><a>\u00e9</a>\'',
    '\'<?xml version="1.0" standalone="yes"?>\n<!DOCTYPE a [<!ENTITY e "v">]><a>&e;</a>\'',
    "xmlparse(content 'text <b/> and <c/> more')",
    "xmlparse(content '')",
    "xmlparse(content '  ')",
]
WORDS = ["'Stra\u00dfe'", "'caf\u00e9'", "'e\u0301cole'", "''", "'\U0001f600'"]


@contextlib.contextmanager
def locales(classic_dsn: str, limitless_dsn: str) -> Iterator[World]:
    plan = plan_of("loc", tables={"loc.tree": {"kind": "sharded", "via": "grove -> loc.grove.name"}})
    with World.made(classic_dsn, limitless_dsn, plan, COLLATIONS + SCHEMA) as made:
        yield made


@pytest.fixture
def loc(full_dsns: tuple[str, str]) -> Iterator[World]:
    with locales(*full_dsns) as made:
        yield made


def sides(loc: World) -> dict[str, tuple[list[str], list[str]]]:
    """Rows that differ, by table: the bytes of every value's text."""
    found = {}
    with psycopg.connect(loc.classic_dsn) as here, psycopg.connect(loc.limitless_dsn) as there:
        for table in loc.tables:
            columns = sorted(c.name for c in table.columns)
            query = sql.SQL('SELECT ROW({})::text COLLATE "C" FROM {} ORDER BY 1').format(
                sql.SQL(", ").join(sql.SQL("convert_to({}::text, 'UTF8')").format(sql.Identifier(c)) for c in columns),
                sql.Identifier(table.schema, table.name),
            )
            texts = [[str(t) for (t,) in conn.execute(query)] for conn in (here, there)]
            if texts[0] != texts[1]:
                found[table.qualified] = (texts[0], texts[1])
    return found


def write(conn: psycopg.Connection, tenant: int) -> None:
    for n, value in enumerate(XML):
        conn.execute(f"INSERT INTO loc.doc VALUES ({tenant}, {n}, {value}, ARRAY[{value}::xml, NULL])")
    for n, value in enumerate(WORDS):
        conn.execute(f"INSERT INTO loc.word VALUES ({tenant}, {value}, {value}, {n})")
        conn.execute(f"INSERT INTO loc.tag VALUES ({tenant}, {value}, {n})")
        conn.execute(f"INSERT INTO loc.person VALUES ({tenant * 100 + n}, {tenant}, {value})")
        conn.execute(f"INSERT INTO loc.grove VALUES ({tenant}, {value} || {tenant})")
        conn.execute(f"INSERT INTO loc.tree VALUES ({tenant * 100 + n}, upper({value} || {tenant}), 'n')")
    conn.execute(
        f"INSERT INTO loc.price VALUES ({tenant}, 1, 1234.56::numeric::money, ARRAY[1::money, NULL, (-0.01)::numeric::money])"
    )


CHANGES = [
    "UPDATE loc.doc SET x = xmlconcat(x, xmlparse(content '<more/>')) WHERE id = 3",
    "UPDATE loc.word SET k = upper(k)",  # equal as a key, and looks different
    "UPDATE loc.tag SET k = lower(k)",
    "UPDATE loc.person SET mail = upper(mail)",
    "UPDATE loc.person p SET mail = q.mail FROM loc.person q WHERE p.id / 2 = q.id / 2 AND p.id <> q.id AND p.id < 1 + 0",
    "UPDATE loc.grove SET name = upper(name)",
    "UPDATE loc.grove SET tenant_id = 4 - tenant_id WHERE name LIKE 'CAF%' COLLATE \"C\"",
    "UPDATE loc.tree SET note = 'touched'",
    "DELETE FROM loc.word WHERE k = 'CAFE'",  # blind to accents too
    "INSERT INTO loc.word VALUES (1, 'Caf\u00e9', 'again', 7)",
    "DELETE FROM loc.tag WHERE n = 1",
]


async def everything(loc: World) -> None:
    """Copied, mirrored, changed, repaired: the same after each."""
    write(loc.classic, 1)
    await loc.start()
    async with loc.mirrors():
        await loc.copy_all()
        assert sides(loc) == {}, "copied"
        with psycopg.connect(loc.classic_dsn, autocommit=True) as conn:
            conn.execute("SET xmloption = document")
            write(conn, 3)
            await loc.copy_all()
            await loc.caught_up()
            assert sides(loc) == {}, "mirrored"
            for change in CHANGES:
                await asyncio.to_thread(conn.execute, change)
                await loc.caught_up()
                assert sides(loc) == {}, change
        for table in loc.tables:
            loc.limitless.execute(f"DELETE FROM {table.qualified}")
            owner = "loc.tree t JOIN loc.grove g ON g.name = t.grove" if table.derived else f"{table.qualified} t"
            keys = ", ".join(f"t.{c}::text" for c in table.key)
            marked = loc.classic.execute(f"SELECT tenant_id::text, {keys} FROM {owner}").fetchall()
            mark_dirty(loc.classic, table, marked, PARTS)
        await loc.caught_up()
        assert sides(loc) == {}, "repaired"


async def test_xml_and_collations(loc: World) -> None:
    """xml with its spaces and declarations; keys and links under a collation that calls different texts equal."""
    await everything(loc)


@pytest.mark.slow
async def test_databases_of_different_locales(full_machines: Machines) -> None:
    """Classic sorts as ICU says, Limitless by bytes; values and keys do not care."""
    names = fresh_name("classic"), fresh_name("limitless")
    with psycopg.connect(full_machines.classic_admin, autocommit=True) as admin:
        admin.execute(
            f"CREATE DATABASE {names[0]} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.utf8'"
            " LOCALE_PROVIDER icu ICU_LOCALE 'de-AT-u-co-phonebk'"
        )
    limitless_dsn = full_machines.new_limitless(names[1])
    try:
        with locales(with_parts(full_machines.classic_admin, dbname=names[0]), limitless_dsn) as loc:
            await everything(loc)
    finally:
        full_machines.drop(*names)


async def test_money_under_another_locale(loc: World) -> None:
    """Whatever lc_monetary says in the writer's session, its database and its role."""
    with psycopg.connect(loc.classic_dsn, autocommit=True) as conn:
        foreign = None
        for name in ("de_DE.utf8", "fr_FR.utf8", "ja_JP.utf8", "en_GB.utf8", "de_DE.UTF-8", "en_US.utf8"):
            with contextlib.suppress(psycopg.errors.InvalidParameterValue):
                conn.execute(f"SET lc_monetary = '{name}'")
                foreign = name
                break
        if foreign is None:
            pytest.skip(
                "the system has no locale but C: install some (apt-get install locales-all, or localedef) to test"
                " money under another lc_monetary"
            )
        conn.execute(f"ALTER DATABASE {conn.info.dbname} SET lc_monetary = '{foreign}'")
        await loc.start()
        async with loc.mirrors():
            conn.execute("INSERT INTO loc.price VALUES (1, 1, 1234567.89::numeric::money, NULL)")
            await loc.copy_all()
            conn.execute(
                "INSERT INTO loc.price VALUES (1, 2, (-1234567.89)::numeric::money, ARRAY[1.5::numeric::money])"
            )
            await loc.caught_up()
    query = "SELECT id, m::numeric, ms::numeric[] FROM loc.price ORDER BY 1"
    with connect(loc.classic_dsn, "test") as here, connect(loc.limitless_dsn, "test") as there:
        assert here.execute(query).fetchall() == there.execute(query).fetchall()


async def test_a_tenant_under_a_blind_collation_is_refused_with_advice(loc: World) -> None:
    """Tenants that are equal and look different cannot be told apart."""
    loc.classic.execute("CREATE TABLE loc.bad (tenant_id text COLLATE loc.blind NOT NULL, id int PRIMARY KEY)")
    with pytest.raises(PlanInvalid) as refused:
        resolve_tables(loc.classic, loc.plan.tables)

    assert "nondeterministic" in str(refused.value)

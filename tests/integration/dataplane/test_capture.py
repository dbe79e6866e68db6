"""Capture names every key a statement leaves or takes, whatever changed it and whatever the session has set."""

# ruff: noqa: E501 - statements of this file, one a line

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from migrator.control.install import install
from migrator.dataplane.capture import install as capture
from migrator.dataplane.capture import watch
from migrator.db.connect import connect
from migrator.plan.tables import resolve_tables
from tests.fixtures.shop import Shop
from tests.fixtures.world import plan_of

pytestmark = [pytest.mark.pg]

PARTS = 4
SCHEMA = """
CREATE SCHEMA k;
CREATE TABLE k.item (tenant_id bigint NOT NULL, a numeric NOT NULL, "b c" text NOT NULL, note text, PRIMARY KEY (a, "b c"));
CREATE TABLE k.rate (code text PRIMARY KEY, value int);
INSERT INTO k.item SELECT 1 + g % 3, g, 'x', 'note' FROM generate_series(1, 20) g;
INSERT INTO k.rate VALUES ('EUR', 1);
CREATE FUNCTION k.moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NEW.note = 'move me' THEN NEW.a := NEW.a + 1000; END IF; RETURN NEW; END $$;
"""
BEFORE = "CREATE TRIGGER before_us BEFORE UPDATE ON k.item FOR EACH ROW EXECUTE FUNCTION k.moved()"


@pytest.fixture
def classic(classic_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(classic_dsn, "test") as conn:
        conn.execute(SCHEMA)
        yield conn


def captured(classic: psycopg.Connection[Any]) -> None:
    plan = plan_of("k", tables={"k.rate": {"kind": "reference"}})
    install(classic, plan.name, "digest", {}, {})
    capture.install(classic, resolve_tables(classic, plan.tables), PARTS, 3)


def value(conn: psycopg.Connection[Any], query: str) -> Any:
    row = conn.execute(query).fetchone()
    assert row is not None
    return row[0]


def journalled(classic: psycopg.Connection[Any]) -> set[tuple[str, str, str]]:
    """Tenant and key of every entry, which are taken away."""
    number = value(classic, "SELECT table_id FROM migrator.captured_table WHERE qualified = 'k.item'")
    found = classic.execute(f"SELECT tenant_id::text, k0::text, k1 FROM migrator.journal_{number}").fetchall()
    classic.execute(f"TRUNCATE migrator.journal_{number}")
    return set(found)


KEYS = {
    "UPDATE k.item SET note = 'n' WHERE a = 1": {("2", "1", "x")},
    "UPDATE k.item SET a = a, tenant_id = tenant_id, note = 'o' WHERE a = 1": {("2", "1", "x")},
    "UPDATE k.item SET a = 101 WHERE a = 1": {("2", "1", "x"), ("2", "101", "x")},
    "UPDATE k.item SET a = 2.0 WHERE a = 2": {("3", "2", "x"), ("3", "2.0", "x")},
    "UPDATE k.item SET tenant_id = 9 WHERE a = 3": {("1", "3", "x"), ("9", "3", "x")},
    "UPDATE k.item SET \"b c\" = 'y' WHERE a = 4": {("2", "4", "x"), ("2", "4", "y")},
    "INSERT INTO k.item VALUES (5, 5, 'x') ON CONFLICT (a, \"b c\") DO UPDATE SET a = 105, tenant_id = 7": {
        ("3", "5", "x"),
        ("7", "105", "x"),
    },
    "MERGE INTO k.item USING (VALUES (6), (206)) v (a) ON item.a = v.a"
    " WHEN MATCHED THEN UPDATE SET a = 106 WHEN NOT MATCHED THEN INSERT VALUES (8, v.a, 'z')": {
        ("1", "6", "x"),
        ("1", "106", "x"),
        ("8", "206", "z"),
    },
    "DELETE FROM k.item WHERE a = 7": {("2", "7", "x")},
    "WITH gone AS (DELETE FROM k.item WHERE a = 8 RETURNING *) UPDATE k.item SET a = gone.a FROM gone WHERE item.a = 9": {
        ("3", "8", "x"),
        ("1", "9", "x"),
        ("1", "8", "x"),
    },
    "UPDATE k.item SET note = 'nobody' WHERE false": set(),
}


def test_an_update_names_the_old_key_where_it_changes(classic: psycopg.Connection[Any]) -> None:
    """By the image of the value, not by what its type calls equal; and nothing else is named."""
    captured(classic)
    for statement, keys in KEYS.items():
        classic.execute(statement)
        assert journalled(classic) == keys, statement


@pytest.mark.parametrize("when", ["before", "disabled", "after"])
def test_a_trigger_that_changes_the_key_is_followed(classic: psycopg.Connection[Any], when: str) -> None:
    """The statement does not name the column; the trigger was there, slept, or comes while capture is on."""
    if when == "after":
        captured(classic)
        classic.execute(BEFORE)
    else:
        classic.execute(BEFORE)
        if when == "disabled":
            classic.execute("ALTER TABLE k.item DISABLE TRIGGER before_us")
        captured(classic)
        classic.execute("SELECT set_config('migrator.ddl', 'allowed', false)")
        classic.execute("ALTER TABLE k.item ENABLE TRIGGER before_us")
    classic.execute("UPDATE k.item SET note = 'move me' WHERE a = 3")
    assert journalled(classic) == {("1", "3", "x"), ("1", "1003", "x")}
    classic.execute("SET session_replication_role = replica")
    classic.execute("UPDATE k.item SET a = 4444 WHERE a = 4")
    assert journalled(classic) == {("2", "4", "x"), ("2", "4444", "x")}


def test_a_trigger_that_came_past_the_guard_is_noticed(classic: psycopg.Connection[Any]) -> None:
    """It may change a key that the statement does not name, and the row trigger would not look."""
    captured(classic)
    classic.execute("ALTER EVENT TRIGGER migrator_guard_ddl DISABLE")
    classic.execute(BEFORE)

    assert any("k.item: a BEFORE UPDATE trigger that the DDL guard did not see" in p for p in watch.problems(classic))


TRAPS = """
CREATE SCHEMA trap;
CREATE TABLE trap.sprung (what text);
GRANT ALL ON SCHEMA trap TO PUBLIC;
GRANT INSERT ON trap.sprung TO PUBLIC;
CREATE FUNCTION trap.spring(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO trap.sprung VALUES (current_user); RETURN true; END $$;
CREATE FUNCTION trap.spring(text, text) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO trap.sprung VALUES (current_user); RETURN true; END $$;
CREATE OPERATOR trap.= (FUNCTION = trap.spring, LEFTARG = bigint, RIGHTARG = bigint);
CREATE OPERATOR trap.<> (FUNCTION = trap.spring, LEFTARG = bigint, RIGHTARG = bigint);
CREATE OPERATOR trap.= (FUNCTION = trap.spring, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR trap.<> (FUNCTION = trap.spring, LEFTARG = text, RIGHTARG = text);
CREATE FUNCTION trap.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT 1 / 0 || '' $$;
CREATE FUNCTION trap.current_setting(text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT 1 / 0 || '' $$;
CREATE FUNCTION trap.mod(bigint, bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT 1 / 0 $$;
CREATE FUNCTION trap.pg_current_xact_id() RETURNS xid8 LANGUAGE sql AS $$ SELECT '3'::xid8 $$;
CREATE FUNCTION trap.pg_sequence_last_value(regclass) RETURNS bigint LANGUAGE sql AS $$ SELECT 1 / 0 $$;
CREATE DOMAIN trap.text AS varchar CHECK (false);
CREATE DOMAIN trap.int8 AS bigint CHECK (false);
CREATE DOMAIN trap.int4 AS integer CHECK (false);
CREATE DOMAIN trap.record AS text CHECK (false);
CREATE TABLE trap.new_rows (tenant_id bigint, a numeric, "b c" text);
"""


def test_no_name_of_a_session_is_trusted(classic: psycopg.Connection[Any], classic_dsn: str) -> None:
    """The functions run with the tool's rights: what they call must not be chosen by the caller's search_path."""
    captured(classic)
    classic.execute(TRAPS)
    with psycopg.connect(classic_dsn, autocommit=True, options="-c search_path=trap,pg_catalog") as conn:
        conn.execute("INSERT INTO k.item VALUES (4, 50, 'x')")
        conn.execute("UPDATE k.item SET a = 51 WHERE pg_catalog.numeric_eq(a, 50)")
        conn.execute("DELETE FROM k.item WHERE pg_catalog.numeric_eq(a, 51)")

    assert journalled(classic) == {("4", "50", "x"), ("4", "51", "x")}
    assert classic.execute("SELECT count(*) FROM trap.sprung").fetchone() == (0,)


def touched(conn: psycopg.Connection[Any]) -> set[int]:
    mask = value(conn, "SELECT current_setting('migrator.parts', true)")
    return {part for part in range(62) if int(str(mask or 0)) >> part & 1}


def test_a_transaction_knows_which_partitions_it_touched(classic: psycopg.Connection[Any], classic_dsn: str) -> None:
    """Those of its rows and of reference tables, none of a savepoint rolled back, none of an earlier transaction."""
    captured(classic)
    parts: dict[int, int] = dict(
        classic.execute(
            'SELECT t, 1 + mod(hashtextextended(t::text COLLATE "C", 0) & 9223372036854775807, 4)::int'
            " FROM generate_series(1, 9) t"
        ).fetchall()
    )
    one = 1
    other = next(t for t in parts if parts[t] != parts[one])
    with psycopg.connect(classic_dsn, autocommit=True) as conn:
        with conn.transaction():
            conn.execute("UPDATE k.item SET note = 'n' WHERE false")
            assert touched(conn) == set()
            conn.execute("UPDATE k.item SET note = 'n' WHERE tenant_id = %s", (one,))
            assert touched(conn) == {parts[one]}
            with pytest.raises(ZeroDivisionError), conn.transaction():
                conn.execute("INSERT INTO k.item VALUES (%s, 99, 'x')", (other,))
                assert touched(conn) == {parts[one], parts[other]}
                raise ZeroDivisionError
            assert touched(conn) == {parts[one]}
            conn.execute("UPDATE k.rate SET value = 2")
            assert touched(conn) == {0, parts[one]}
            conn.execute("UPDATE k.item SET tenant_id = %s WHERE a = 3", (other,))
            assert touched(conn) == {0, parts[one], parts[other]}
        with conn.transaction():
            conn.execute("UPDATE k.rate SET value = 3")
            assert touched(conn) == {0}


MOVES = [
    "UPDATE shop.line SET id = id + 100000 WHERE id < 20 AND id NOT IN (SELECT line_id FROM shop.remark)",
    "UPDATE shop.line SET purchase_id = (SELECT max(id) FROM shop.purchase) WHERE id BETWEEN 10 AND 20",
    "UPDATE shop.line SET purchase_id = 1, id = id + 200000 WHERE id BETWEEN 21 AND 29"
    " AND id NOT IN (SELECT line_id FROM shop.remark)",
    "UPDATE shop.remark SET number = number + 50 WHERE line_id > 30",
    "UPDATE shop.remark SET line_id = (SELECT max(id) FROM shop.line), number = number + 10 * line_id"
    " WHERE line_id BETWEEN 31 AND 33",
    "UPDATE shop.purchase SET note = '{}' WHERE id < 9",
    "UPDATE shop.purchase SET id = id + 300000 WHERE id NOT IN (SELECT purchase_id FROM shop.line)",
    "UPDATE shop.purchase SET tenant_id = 1, slot = -id WHERE id BETWEEN 10 AND 20",
    "UPDATE shop.line SET purchase_id = NULL WHERE id BETWEEN 40 AND 45",
]


@pytest.mark.parametrize("isolation", ["read committed", pytest.param("repeatable read", marks=pytest.mark.slow)])
async def test_a_row_that_hangs_on_another_is_followed(shop: Shop, isolation: str) -> None:
    """Its key, its parent or its parent's tenant changes; one by one, and all of it in one transaction."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        for statement in MOVES:
            shop.classic.execute(statement)
            await shop.caught_up()
            assert shop.differences() == {}, statement
        with psycopg.connect(shop.classic_dsn, autocommit=True) as conn:
            conn.execute(f"BEGIN ISOLATION LEVEL {isolation}")
            for statement in reversed(MOVES):
                conn.execute(statement.replace("number + 50", "number + 70"))
            conn.execute("COMMIT")
        await shop.caught_up()

    assert shop.differences() == {}

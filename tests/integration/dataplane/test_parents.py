"""Children follow their parent to another tenant, whatever their foreign key does, and however the parent got there.

None of them is written then, so nothing but the parent's own statement can name them. Every shape of key has tables of
its own: parent, child, and a grandchild below. The comparison is SQL of this test.
"""

# ruff: noqa: E501 - statements of this file, one a line

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

import psycopg
import pytest

from migrator.db.connect import connect
from tests.fixtures.shop import rows
from tests.fixtures.world import World, plan_of, provisioned

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

TENANTS = 10

# What follows REFERENCES; None: no foreign key. Those in CHECKED_LATE let a parent be away between two statements.
KEYS: dict[str, str | None] = {
    "no_action": "ON DELETE NO ACTION ON UPDATE NO ACTION",
    "restrict": "ON DELETE RESTRICT ON UPDATE RESTRICT",
    "cascade": "ON DELETE CASCADE ON UPDATE CASCADE",
    "set_null": "ON DELETE SET NULL ON UPDATE SET NULL",
    "set_default": "ON DELETE SET DEFAULT ON UPDATE SET DEFAULT",
    "deferrable": "DEFERRABLE INITIALLY IMMEDIATE",
    "deferred": "DEFERRABLE INITIALLY DEFERRED",
    "later_cascade": "ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED",
    "not_valid": "NOT VALID",
    "disabled": "ON DELETE NO ACTION",
    "none": None,
}
CHECKED_LATE = ("deferrable", "deferred", "later_cascade", "disabled", "none")


WITH_GRANDCHILDREN = ("no_action", "cascade", "deferred")


def schema(conn: psycopg.Connection, keys: dict[str, str | None]) -> None:
    conn.execute("CREATE SCHEMA f")
    for name, action in keys.items():
        conn.execute(f"CREATE TABLE f.{name}_p (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, code text, v text)")
        conn.execute(f"CREATE TABLE f.{name}_c (id bigint PRIMARY KEY, p bigint DEFAULT 1, v text)")
        levels = (("c", "p", "p"), ("g", "c", "c")) if name in WITH_GRANDCHILDREN else (("c", "p", "p"),)
        if name in WITH_GRANDCHILDREN:
            conn.execute(f"CREATE TABLE f.{name}_g (id bigint PRIMARY KEY, c bigint DEFAULT 1, v text)")
            conn.execute(f"INSERT INTO f.{name}_g SELECT g, 1 + g % 120, 'v' FROM generate_series(1, 240) g")
        conn.execute(f"INSERT INTO f.{name}_p SELECT g, g % {TENANTS}, 'code ' || g, 'v' FROM generate_series(1, 60) g")
        conn.execute(f"INSERT INTO f.{name}_c SELECT g, 1 + g % 60, 'v' FROM generate_series(1, 120) g")
        for below, column, above in levels:
            conn.execute(f"CREATE INDEX ON f.{name}_{below} ({column})")
            if action is not None:
                conn.execute(
                    f"ALTER TABLE f.{name}_{below} ADD FOREIGN KEY ({column}) REFERENCES f.{name}_{above} {action}"
                )
        if name == "disabled":
            for level in "pc":
                conn.execute(f"ALTER TABLE f.{name}_{level} DISABLE TRIGGER ALL")


def by_code(conn: psycopg.Connection) -> None:
    """A child that refers to something else than the primary key."""
    conn.execute("CREATE TABLE f.code_p (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, code text UNIQUE, v text)")
    conn.execute("CREATE TABLE f.code_c (id bigint PRIMARY KEY, p text REFERENCES f.code_p (code), v text)")
    conn.execute(f"INSERT INTO f.code_p SELECT g, g % {TENANTS}, 'code ' || g, 'v' FROM generate_series(1, 60) g")
    conn.execute("INSERT INTO f.code_c SELECT g, 'code ' || 1 + g % 60, 'v' FROM generate_series(1, 120) g")


@contextlib.contextmanager
def family(classic_dsn: str, limitless_dsn: str, names: Sequence[str]) -> Iterator[World]:
    """Parents and children of these shapes, provisioned."""
    with connect(classic_dsn, "test") as classic, connect(limitless_dsn, "test") as limitless:
        keys = {name: action for name, action in KEYS.items() if name in names}
        if classic.info.server_version >= 180000 and "code" in names:
            keys["not_enforced"] = "NOT ENFORCED"
        schema(classic, keys)
        if "code" in names:
            by_code(classic)
        found = classic.execute("SELECT relname FROM pg_class WHERE relnamespace = 'f'::regnamespace AND relkind = 'r'")
        derived = {
            f"f.{name}": {"kind": "sharded", "via": via}
            for (name,) in found
            for level, via in (("c", f"p -> f.{name[:-2]}_p.id"), ("g", f"c -> f.{name[:-2]}_c.id"))
            if name[-1] == level
        }
        if "code" in names:
            derived["f.code_c"]["via"] = "p -> f.code_p.code"
        plan = plan_of("f", tables=derived, gates={"acknowledged": ["unique/f.code_p.code_p_code_key"]})
        tables = provisioned(classic, limitless, plan)
        yield World(classic_dsn, limitless_dsn, classic, limitless, tables, plan)


def families(f: World) -> list[str]:
    return [t.name[:-2] for t in f.tables if t.name.endswith("_p")]


def differences(f: World) -> list[tuple[str, str]]:
    """Rows on one side only, by whose they are."""
    found = []
    for table in f.tables:
        name = table.name[:-2]
        up = "f.code_p.code" if name == "code" else f"f.{name}_p.id"
        owner = {
            "p": f"SELECT * FROM f.{name}_p",
            "c": f"SELECT tenant_id, c.* FROM f.{name}_c c JOIN f.{name}_p ON {up} = c.p",
            "g": f"SELECT tenant_id, g.* FROM f.{name}_g g JOIN f.{name}_c c ON c.id = g.c JOIN f.{name}_p ON {up} = c.p",
        }[table.name[-1]]
        columns = "*" if not table.derived else ", ".join(("tenant_id", *(c.name for c in table.columns)))
        here, there = set(rows(f.classic, owner)), set(rows(f.limitless, f"SELECT {columns} FROM {table.qualified}"))
        found += [(f"classic {table.name}", r) for r in sorted(here - there)]
        found += [(f"limitless {table.name}", r) for r in sorted(there - here)]
    return found[:10]


# One transaction each, for every family; \n separates statements. A family may refuse: its key protects the children.
WAYS = {
    "a row put back": "WITH d AS (DELETE FROM f.{k}_p WHERE id <= 6 RETURNING *)"
    " INSERT INTO f.{k}_p SELECT id, (tenant_id + 1) % 10, code, 'back' FROM d",
    "put back for the same tenant": "WITH d AS (DELETE FROM f.{k}_p WHERE id = 7 RETURNING *) INSERT INTO f.{k}_p SELECT * FROM d",
    "by another row that took its key": "WITH u AS (UPDATE f.{k}_p SET id = id + 1000, code = code || '?' WHERE id IN (8, 9) RETURNING *)"
    " INSERT INTO f.{k}_p SELECT id - 1000, (tenant_id + 3) % 10, rtrim(code, '?'), 'took over' FROM u",
    "by a row that gets the key": "WITH d AS (DELETE FROM f.{k}_p WHERE id = 10 RETURNING *)"
    " UPDATE f.{k}_p p SET id = d.id, code = d.code FROM d WHERE p.id = 11 AND EXISTS (SELECT FROM d)",
    "merge": "MERGE INTO f.{k}_p p USING (VALUES (12, true), (12, false)) s (id, out) ON p.id = s.id AND s.out"
    " WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (12, 5, 'code 12', 'merged')",
    "the insert ends first": "WITH d AS (DELETE FROM f.{k}_p WHERE id BETWEEN 13 AND 15 RETURNING *)"
    " INSERT INTO f.{k}_p SELECT id, (tenant_id + 4) % 10, code, 'limited' FROM d LIMIT 3",
    "only some come back": "WITH d AS (DELETE FROM f.{k}_p WHERE id BETWEEN 16 AND 18 RETURNING *)"
    " INSERT INTO f.{k}_p SELECT id, (tenant_id + 5) % 10, code, 'some' FROM d WHERE id <> 17",
    "in the middle": "WITH d AS (DELETE FROM f.{k}_c WHERE id BETWEEN 20 AND 25 RETURNING *)"
    " INSERT INTO f.{k}_c SELECT id, 30 + id % 7, 'moved' FROM d",
    "both levels at once": "WITH d AS (DELETE FROM f.{k}_p WHERE id = 26 RETURNING *), i AS (INSERT INTO f.{k}_p SELECT id, (tenant_id + 1) % 10, code, 'both' FROM d),"
    " e AS (DELETE FROM f.{k}_c WHERE id = 27 RETURNING *) INSERT INTO f.{k}_c SELECT id, p, 'both' FROM e",
    "an update": "UPDATE f.{k}_p SET tenant_id = (tenant_id + 1) % 10 WHERE id BETWEEN 28 AND 33",
    "a key": "UPDATE f.{k}_p SET id = id + 2000 WHERE id = 34",
    "a key and the tenant, with its children": "WITH u AS (UPDATE f.{k}_p SET id = 3000, tenant_id = 4 WHERE id = 35)"
    " UPDATE f.{k}_c SET v = 'meanwhile' WHERE id BETWEEN 30 AND 36",
    "in a later statement": "SET CONSTRAINTS ALL DEFERRED\nDELETE FROM f.{k}_p WHERE id IN (36, 37)"
    "\nINSERT INTO f.{k}_p VALUES (36, 8, 'code 36', 'later'), (37, 9, 'code 37', 'later')",
    "in a later statement, by COPY": "SET CONSTRAINTS ALL DEFERRED\nDELETE FROM f.{k}_p WHERE id = 38\nCOPY f.{k}_p FROM STDIN",
    "by an upsert": "SET CONSTRAINTS ALL DEFERRED\nDELETE FROM f.{k}_p WHERE id = 39"
    "\nINSERT INTO f.{k}_p VALUES (39, 2, 'code 39', 'a'), (40, 3, 'code 40', 'b') ON CONFLICT (id) DO UPDATE SET tenant_id = EXCLUDED.tenant_id",
    "in a function": "SELECT f.move('{k}', 41, 6)",
    "taken back in part": "SAVEPOINT a\nWITH d AS (DELETE FROM f.{k}_p WHERE id = 42 RETURNING *) INSERT INTO f.{k}_p SELECT id, 1, code, 'no' FROM d"
    "\nROLLBACK TO a\nWITH d AS (DELETE FROM f.{k}_p WHERE id = 43 RETURNING *) INSERT INTO f.{k}_p SELECT id, 1, code, 'yes' FROM d",
    "by a trigger": "DELETE FROM f.{k}_p WHERE id = 44",
    "in repeatable read": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ\nWITH d AS (DELETE FROM f.{k}_p WHERE id = 45 RETURNING *)"
    " INSERT INTO f.{k}_p SELECT id, (tenant_id + 2) % 10, code, 'frozen' FROM d",
    "away for a while": "SET LOCAL session_replication_role = replica\nDELETE FROM f.{k}_p WHERE id IN (46, 47)\nDELETE FROM f.{k}_c WHERE id = 100",
    "and back": "INSERT INTO f.{k}_p VALUES (46, 7, 'code 46', 'back'), (47, 6, 'code 47', 'back')\nINSERT INTO f.{k}_c (id, v) VALUES (100, 'back')",
    "a child that waits for its parent": "SET LOCAL session_replication_role = replica\nINSERT INTO f.{k}_c SELECT 5000, p, 'waits' FROM f.{k}_c LIMIT 0"
    "\nINSERT INTO f.{k}_g VALUES (5000, 5001, 'waits')",
    "which comes": "INSERT INTO f.{k}_c (id, v) VALUES (5001, 'comes')",
}
FUNCTION = """
CREATE FUNCTION f.move(k text, which bigint, t bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    EXECUTE format('WITH d AS (DELETE FROM f.%I WHERE id = %s RETURNING *) INSERT INTO f.%I SELECT id, %s, code, v FROM d',
                   k || '_p', which, k || '_p', t);
END $$;
CREATE FUNCTION f.again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF OLD.id = 44 THEN EXECUTE format('INSERT INTO f.%I VALUES (44, 3, ''code 44'', ''again'')', TG_TABLE_NAME); END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION f.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'UPDATE' AND NEW.p IS NOT DISTINCT FROM OLD.p THEN RETURN NEW; END IF; RETURN NULL;
END $$;
"""


def run(f: World, text: str) -> bool:
    """One transaction of an application; False when it was refused."""
    try:
        with f.classic.transaction():
            for statement in text.split("\n"):
                if statement.startswith("COPY"):
                    with f.classic.cursor().copy(statement) as data:
                        data.write("38\t5\tcode 38\tcopied\n")
                else:
                    f.classic.execute(statement)
    except psycopg.errors.IntegrityError:
        return False
    return True


async def test_children_follow_their_parent(classic_dsn: str, limitless_dsn: str) -> None:
    """Way by way, each mirrored before the next; nothing is looked at that the journal did not name."""
    with family(classic_dsn, limitless_dsn, [*KEYS, "code"]) as f:
        f.classic.execute(FUNCTION)
        for name in families(f):
            # Its name sorts before those of the foreign keys' own triggers, so that it comes first.
            f.classic.execute(
                f'CREATE TRIGGER "AAA" AFTER DELETE ON f.{name}_p FOR EACH ROW EXECUTE FUNCTION f.again()'
            )
        await f.start()
        done: dict[str, set[str]] = {way: set() for way in WAYS}
        captured = {t.qualified for t in f.tables}
        async with f.mirrors():
            await f.copy_all()
            await f.caught_up()
            assert differences(f) == []
            for way, text in WAYS.items():
                for name in families(f):
                    if (name == "code" and "_c" in text) or ("_g" in text and f"f.{name}_g" not in captured):
                        continue
                    if await asyncio.to_thread(run, f, text.replace("{k}", name)):
                        done[way].add(name)
                await f.caught_up()
                assert differences(f) == [], way

    assert {"no_action", "deferred", "none", "code", "cascade"} <= done["a row put back"]
    assert "restrict" not in done["a row put back"], "the one action that keeps a parent in place"
    assert set(CHECKED_LATE) <= done["in a later statement"]
    assert "no_action" in done["by a trigger"]


async def test_a_cascade_that_a_trigger_prevents(classic_dsn: str, limitless_dsn: str) -> None:
    """The children stay without a parent, and are no tenant's; the next parent of that key gets them."""
    names = ("cascade", "set_null")
    with family(classic_dsn, limitless_dsn, names) as f:
        f.classic.execute(FUNCTION)
        for name in names:
            f.classic.execute(
                f"CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON f.{name}_c FOR EACH ROW EXECUTE FUNCTION f.keep()"
            )
        await f.start()
        async with f.mirrors():
            await f.copy_all()
            for step in (
                "DELETE FROM f.{k}_p WHERE id IN (50, 51)",
                "UPDATE f.{k}_p SET id = 7000 WHERE id = 52",
                "INSERT INTO f.{k}_p VALUES (50, 9, 'code 50', 'new'), (52, 8, 'new code 52', 'new')",
            ):
                for name in names:
                    assert run(f, step.replace("{k}", name))
                await f.caught_up()
                assert differences(f) == [], step


@pytest.mark.parametrize("looked", [False, True], ids=["before-capture", "while-captured"])
async def test_children_that_have_no_parent(classic_dsn: str, limitless_dsn: str, looked: bool) -> None:
    """Rows loaded past the foreign key, as restores and replication tools do: a parent that comes takes them over."""

    def load(f: World) -> None:
        with f.classic.transaction():
            f.classic.execute("SET LOCAL session_replication_role = replica")
            f.classic.execute("INSERT INTO f.no_action_c VALUES (8000, 8000, 'orphan')")

    with family(classic_dsn, limitless_dsn, ["no_action"]) as f:
        if not looked:
            load(f)
        await f.start()
        checked = "SELECT pg_sequence_last_value('migrator.orphans_checked')"
        async with f.mirrors():
            await f.copy_all()
            assert f.classic.execute(checked).fetchone() == (int(looked),)
            if looked:
                load(f)
                await f.caught_up()
            assert run(f, "INSERT INTO f.no_action_p VALUES (8000, 4, 'late', 'late')")
            await f.caught_up()
        assert differences(f) == []

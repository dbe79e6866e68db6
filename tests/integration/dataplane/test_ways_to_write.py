"""Whatever statement an application uses, and whatever its tables are made of, the keys it touched are journalled."""

# ruff: noqa: E501 - statements of this file, one a line

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from migrator.dataplane.capture import install as capture
from migrator.errors import PlanInvalid, PreconditionFailed
from migrator.plan.tables import resolve_tables
from tests.fixtures.postgres import Machines
from tests.fixtures.shop import rows
from tests.fixtures.world import PARTS, World, build, plan_of

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

SCHEMA = """
CREATE SCHEMA w;
CREATE TABLE w.item (
    tenant_id bigint NOT NULL, id bigint PRIMARY KEY, name text, touched int DEFAULT 0, parent bigint,
    UNIQUE (tenant_id, name) DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE w.item ADD FOREIGN KEY (parent) REFERENCES w.item ON DELETE SET NULL ON UPDATE CASCADE
    DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE w.event (tenant_id bigint NOT NULL, id bigint, at date NOT NULL, note text, PRIMARY KEY (id, at))
    PARTITION BY RANGE (at);
CREATE TABLE w.event_24 PARTITION OF w.event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE w.event_25 PARTITION OF w.event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')
    PARTITION BY RANGE (id);
CREATE TABLE w.event_25_1 PARTITION OF w.event_25 FOR VALUES FROM (1) TO (80);
CREATE TABLE w.event_25_n PARTITION OF w.event_25 DEFAULT;
CREATE VIEW w.named AS SELECT tenant_id, id, name FROM w.item WHERE name IS NOT NULL;
CREATE FUNCTION w.again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.touched = 5 THEN UPDATE w.item SET touched = 6 WHERE id = NEW.id; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER zz_again AFTER UPDATE ON w.item FOR EACH ROW EXECUTE FUNCTION w.again();
CREATE FUNCTION w.before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.touched := coalesce(NEW.touched, 0) + 0; RETURN NEW; END $$;
CREATE TRIGGER aa_before BEFORE INSERT OR UPDATE ON w.item FOR EACH ROW EXECUTE FUNCTION w.before();
CREATE FUNCTION w.rename(which bigint) RETURNS bigint LANGUAGE sql AS $$
    UPDATE w.item SET name = 'renamed ' || which WHERE id = which RETURNING id $$;
CREATE FUNCTION w.retain(schema text, leaf text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN EXECUTE format('DROP TABLE IF EXISTS %I.%I CASCADE', schema, leaf); END $$;
INSERT INTO w.item SELECT 1 + g % 3, g, 'name ' || g, g, nullif(g / 10, 0) FROM generate_series(1, 100) g;
INSERT INTO w.event SELECT 1 + g % 3, g, date '2024-01-01' + g * 7, 'note' FROM generate_series(1, 100) g;
"""


@pytest.fixture
def w(machines: Machines) -> Iterator[World]:
    plan = plan_of("w")
    dsns = machines.new_pair("ways to write", lambda classic, limitless: build(classic, limitless, plan, SCHEMA))
    with World.opened(*dsns, plan) as made:
        yield made
    machines.drop_pair(dsns)


def differences(w: World) -> list[tuple[str, str]]:
    """Rows on one side only."""
    found = []
    for table in ("item", "event"):
        here, there = (set(rows(c, f"SELECT * FROM w.{table}")) for c in (w.classic, w.limitless))
        found += [("classic", r) for r in sorted(here - there)] + [("limitless", r) for r in sorted(there - here)]
    return found[:10]


# One transaction each; \n separates statements.
WAYS = {
    "on conflict": "INSERT INTO w.item VALUES (1, 1, 'x'), (2, 500, 'y') ON CONFLICT (id) DO UPDATE SET name = 'z', tenant_id = 3",
    "key": "UPDATE w.item SET id = id + 1000 WHERE id % 5 = 0",
    "tenant": "UPDATE w.item SET tenant_id = 4 - tenant_id WHERE id < 50",
    "using": "DELETE FROM w.item i USING w.item j WHERE j.parent = i.id AND j.id % 2 = 0",
    "merge": "MERGE INTO w.item i USING generate_series(90, 110) g ON i.id = g WHEN MATCHED AND g < 95 THEN DELETE"
    " WHEN MATCHED THEN UPDATE SET name = 'm' || g WHEN NOT MATCHED THEN INSERT (tenant_id, id, name) VALUES (2, g, 'n' || g)",
    "cte": "WITH d AS (DELETE FROM w.item WHERE id BETWEEN 60 AND 65 RETURNING *)"
    " INSERT INTO w.item SELECT tenant_id, id + 2000, name || '!', touched FROM d",
    "function": "SELECT w.rename(id) FROM w.item WHERE id BETWEEN 20 AND 25",
    "view": "UPDATE w.named SET name = name || ' seen' WHERE id > 80\nDELETE FROM w.named WHERE id = 99",
    "savepoints": "UPDATE w.item SET touched = 1 WHERE id = 7\nSAVEPOINT a\nDELETE FROM w.item WHERE id > 30\nROLLBACK TO a"
    "\nSAVEPOINT b\nUPDATE w.item SET touched = 2 WHERE id = 8\nRELEASE b",
    "block": "DO $$ BEGIN UPDATE w.item SET touched = 3 WHERE id = 9; BEGIN DELETE FROM w.item; RAISE 'no';"
    " EXCEPTION WHEN raise_exception THEN NULL; END; END $$",
    "again": "UPDATE w.item SET touched = 5 WHERE id < 10",
    "swap": "UPDATE w.item SET name = CASE id WHEN 10 THEN 'name 40' ELSE 'name 10' END WHERE id IN (10, 40)",
    "deferred swap": "UPDATE w.item SET name = 'name 12' WHERE id = 42\nUPDATE w.item SET name = 'name 42' WHERE id = 12",
    "cascade": "DELETE FROM w.item WHERE id = 3\nUPDATE w.item SET id = 7000 WHERE id = 4",
    "prepared": "UPDATE w.item SET touched = 77 WHERE id = 11\nPREPARE TRANSACTION 'p1'",
    "replica": "SET LOCAL session_replication_role = replica\nDELETE FROM w.item WHERE id = 12",
    "root": "UPDATE w.event SET at = at + 300 WHERE id < 20\nDELETE FROM w.event WHERE id = 30",
    "leaf": "UPDATE w.event_25_1 SET note = 'leaf'\nINSERT INTO w.event_24 VALUES (2, 900, '2024-05-05', 'leaf')",
    "middle": "DELETE FROM w.event_25 WHERE id % 3 = 0",
    "copy": "COPY w.event FROM STDIN",
    "new leaf": "CREATE TABLE w.event_26 PARTITION OF w.event FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')"
    "\nINSERT INTO w.event_26 VALUES (1, 901, '2026-01-01', 'new')",
    "attach": "CREATE TABLE w.later (tenant_id bigint NOT NULL, id bigint, at date NOT NULL, note text, PRIMARY KEY (id, at))"
    "\nINSERT INTO w.later VALUES (2, 902, '2027-01-01', 'came with it')"
    "\nALTER TABLE w.event ATTACH PARTITION w.later FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')"
    "\nUPDATE w.later SET note = 'and written'",
    "retention": "CREATE TABLE w.\"Event 28\" PARTITION OF w.event FOR VALUES FROM ('2028-01-01') TO ('2029-01-01')"
    "\nINSERT INTO w.event VALUES (1, 903, '2028-01-01', 'old soon'), (3, 904, '2028-02-02', 'too')\nSELECT w.retain('w', 'Event 28')",
    "drop": "SET LOCAL search_path = w\nDELETE FROM event_26 WHERE id = 1"
    '\nDROP TABLE IF EXISTS never_was, /* old, */ event_26, w . "later" RESTRICT',
    "drop a tree": "INSERT INTO w.event VALUES (1, 905, '2025-03-03', 'in a tree')\nSAVEPOINT a\nDROP TABLE w.event_25"
    "\nROLLBACK TO a\nDROP TABLE w.event_25_n",
    "detach": "ALTER TABLE w.event DETACH PARTITION w.event_24\nUPDATE w.event_24 SET note = 'nobody cares'\nDROP TABLE w.event_24",
    "detach a tree": "ALTER TABLE w.event DETACH PARTITION w.event_25",
}


def run(w: World, text: str) -> None:
    """One transaction of an application."""
    with psycopg.connect(w.classic_dsn, autocommit=True, options="-c lock_timeout=120s") as conn:
        conn.execute("BEGIN")
        for statement in text.split("\n"):
            if statement.startswith("COPY"):
                with conn.cursor().copy(statement) as data:
                    data.write("1\t903\t2024-02-02\tcopied\n3\t904\t2025-02-02\t\\N\n")
            else:
                conn.execute(statement)
        if "PREPARE TRANSACTION" not in text:
            conn.execute("COMMIT")


async def test_every_way_to_write(w: World) -> None:
    """Statement by statement, each mirrored before the next."""
    await w.start()
    async with w.mirrors():
        await w.copy_all()
        for name, text in WAYS.items():
            await asyncio.to_thread(run, w, text)
            if name == "prepared":
                await w.caught_up()
                w.classic.execute("COMMIT PREPARED 'p1'")
            await w.copy_all()
            await w.caught_up()
            assert differences(w) == [], name


REFUSED = [
    ("TRUNCATE w.item", "MG002"),
    ("ALTER TABLE w.item ADD extra int", "MG003"),
    ("ALTER TABLE w.event_24 DISABLE TRIGGER ALL", "MG003"),
    ("DROP TRIGGER migrator_capture_insert ON w.item", "MG003"),
    ("DROP TABLE w.event_24, w.item CASCADE", "MG003"),
    ("DROP TABLE w.event", "MG003"),
    ("DROP TABLE w.item CASCADE", "MG003"),
    ("DROP SCHEMA w CASCADE", "MG003"),
    ("ALTER TRIGGER migrator_capture_insert ON w.item RENAME TO something", "MG003"),
    (
        "CREATE OR REPLACE TRIGGER migrator_capture_insert AFTER INSERT ON w.item"
        " EXECUTE FUNCTION tsvector_update_trigger()",
        "MG003",
    ),
    ("CREATE TABLE w.heir () INHERITS (w.item)", "MG003"),
    ("ALTER TABLE w.whole ATTACH PARTITION w.item DEFAULT", "MG003"),
    ("ALTER TABLE w.event DETACH PARTITION w.event_24 CONCURRENTLY", "MG003"),
    ('/* ours? */ ALTER TABLE ONLY "w"."event"\nDETACH PARTITION w.event_24 CONCURRENTLY', "MG003"),
]


@pytest.mark.parametrize(("statement", "state"), REFUSED)
async def test_what_would_slip_past_the_journal_is_refused_with_advice(w: World, statement: str, state: str) -> None:
    """And nothing of it happened."""
    w.classic.execute("CREATE TABLE w.whole (LIKE w.item INCLUDING GENERATED) PARTITION BY LIST (tenant_id)")
    capture.install(w.classic, w.tables, PARTS, 3)
    with pytest.raises(psycopg.Error) as refused:
        w.classic.execute(statement)

    assert (refused.value.sqlstate, bool(refused.value.diag.message_hint)) == (state, True)
    assert w.classic.execute("SELECT count(*) FROM w.event_24, pg_attribute WHERE attname = 'extra'").fetchone() == (0,)


async def test_a_table_without_a_key_is_refused_with_advice(w: World) -> None:
    """At the plan, before anything is touched."""
    w.classic.execute("CREATE TABLE w.log (tenant_id bigint, line text, n int, UNIQUE (n))")
    with pytest.raises(PlanInvalid) as refused:
        resolve_tables(w.classic, w.plan.tables)

    assert "add a primary key" in str(refused.value)


async def test_a_table_that_a_subscription_feeds_is_refused_with_advice(w: World) -> None:
    """Its rows would arrive without a statement."""
    w.classic.execute("CREATE SUBSCRIPTION s CONNECTION 'dbname=none' PUBLICATION p WITH (connect = false)")
    w.classic.execute(
        "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate)"
        " SELECT oid, 'w.event_24'::regclass, 'i' FROM pg_subscription WHERE subname = 's'"
    )
    try:
        with pytest.raises(PreconditionFailed) as refused:
            capture.install(w.classic, w.tables, PARTS, 3)
    finally:
        w.classic.execute("ALTER SUBSCRIPTION s SET (slot_name = NONE)")
        w.classic.execute("DROP SUBSCRIPTION s")

    assert "w.event_24" in str(refused.value)

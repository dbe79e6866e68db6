"""Statements of one file that rest on one another: in names, in what goes with a column, in views over what is new."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from migrator.consistency.run import validate
from migrator.control.tables import captured_tables
from migrator.control.watch import problems
from migrator.dataplane.change.progress import Moment
from migrator.errors import NoGo
from migrator.inventory.look import look
from migrator.provision.apply import verify
from tests.fixtures.postgres import Machines, fresh_name
from tests.fixtures.world import World, plan_of
from tests.integration.dataplane.change.helpers import applied
from tests.integration.dataplane.change.kills import Killed, Kills

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

BEFORE = """
CREATE SCHEMA shop; CREATE SCHEMA "Más Cosas";
CREATE TABLE shop.tenant (tenant_id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE shop.item (
    id bigint PRIMARY KEY, tenant_id bigint NOT NULL REFERENCES shop.tenant, parent bigint CHECK (parent > 0), rank int,
    note text, UNIQUE (tenant_id, id), UNIQUE (tenant_id, rank),
    FOREIGN KEY (tenant_id, parent) REFERENCES shop.item (tenant_id, id), CHECK (rank > parent OR note <> ''));
CREATE INDEX ON shop.item (lower(note)) WHERE rank > 3;
CREATE TABLE shop.part (id bigint PRIMARY KEY, item_id bigint NOT NULL REFERENCES shop.item, code text);
CREATE TABLE "Más Cosas"."Order Lines" (
    "Id é" bigint PRIMARY KEY, tenant_id bigint NOT NULL REFERENCES shop.tenant, "From" varchar(10));
CREATE TABLE shop.event (id bigint, tenant_id bigint NOT NULL, at date NOT NULL, body text, PRIMARY KEY (id, at))
    PARTITION BY RANGE (at);
CREATE TABLE shop.event_1 PARTITION OF shop.event FOR VALUES FROM ('2020-01-01') TO ('2022-01-01');
INSERT INTO shop.tenant SELECT g, 'tenant ' || g FROM generate_series(1, 5) g;
INSERT INTO shop.item SELECT g, 1 + g % 5, NULL, 100 + g, 'x' FROM generate_series(1, 50) g;
INSERT INTO shop.part SELECT g, g, 'c' FROM generate_series(1, 50) g;
INSERT INTO "Más Cosas"."Order Lines" SELECT g, 1 + g % 5, 'x' || g FROM generate_series(1, 50) g;
INSERT INTO shop.event SELECT g, 1 + g % 5, '2020-06-01'::date + g, 'b' FROM generate_series(1, 300) g;
"""

CATALOG = """
SELECT 'index', schemaname, tablename, indexname FROM pg_indexes WHERE schemaname = ANY (%(schemas)s)
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
 WHERE connamespace::regnamespace::text = ANY (%(quoted)s) AND contype <> 'n'
UNION ALL
SELECT 'view', schemaname, viewname, definition FROM pg_views WHERE schemaname = ANY (%(schemas)s)
UNION ALL
SELECT 'column', table_schema, table_name, column_name FROM information_schema.columns
 WHERE table_schema = ANY (%(schemas)s)
UNION ALL
SELECT 'function', pronamespace::regnamespace::text, proname, pg_get_functiondef(oid) FROM pg_proc
 WHERE pronamespace::regnamespace::text = ANY (%(quoted)s)
"""
SCHEMAS = {"schemas": ["shop", "Más Cosas"], "quoted": ["shop", '"Más Cosas"']}


@contextmanager
def world(machines: Machines) -> Iterator[World]:
    plan = plan_of(
        "one", schemas=SCHEMAS["schemas"], tables={"shop.part": {"kind": "sharded", "via": "item_id -> shop.item.id"}}
    )
    with World.made(*machines.new_pair("nothing", lambda classic, limitless: None), plan, BEFORE) as made:
        yield made


def catalog(conn: psycopg.Connection[Any]) -> set[tuple[str, ...]]:
    return set(conn.execute(CATALOG, SCHEMAS).fetchall())


def assert_equal(world: World, machines: Machines, *files: str) -> None:
    """Classic is as plain PostgreSQL is after *files*, Limitless as provisioning would make it, capture is whole."""
    with psycopg.connect(machines.new_classic(fresh_name("plain")), autocommit=True) as plain:
        for text in (BEFORE, *files):
            plain.execute(text.encode())
        plain.execute("RESET search_path")
        assert catalog(world.classic) ^ catalog(plain) == set()
    assert problems(world.classic) == []
    assert look(world.classic) == look(world.classic, world.limitless) == ()
    tables = list(captured_tables(world.classic).values())
    assert verify(world.classic, world.limitless, tables, world.plan).blockers == ()
    views = "SELECT schemaname, viewname, definition FROM pg_views WHERE schemaname = ANY (%(schemas)s) ORDER BY 1, 2"
    assert world.classic.execute(views, SCHEMAS).fetchall() == world.limitless.execute(views, SCHEMAS).fetchall()


REFUSED = """
SET search_path = shop;
CREATE TABLE shelf (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, state no_such_state);
CREATE INDEX shelf_state ON shelf (state);
CREATE INDEX ON shelf (tenant_id, state);
ALTER TABLE shelf ADD COLUMN z int, ADD CONSTRAINT zz CHECK (z > 1);
CREATE VIEW shelves AS SELECT * FROM shelf;
GRANT SELECT ON shelves TO PUBLIC;
ALTER TABLE item ADD COLUMN "Stück" no_such_type;
ALTER TABLE item ALTER "Stück" SET DEFAULT 1, ALTER "Stück" SET NOT NULL;
CREATE INDEX pieces ON item ("Stück");
DROP INDEX pieces;
ALTER TABLE item RENAME TO article;
ALTER TABLE article ADD COLUMN w int;
ALTER TABLE part ADD COLUMN tenant_id bigint REFERENCES tenant;
ALTER TABLE nothing ADD COLUMN w int;
ALTER TABLE event ADD COLUMN w int;
CREATE VIEW bad AS SELECT no_such_column FROM event;
ALTER TABLE item DROP COLUMN id, DROP COLUMN tenant_id;
"""


async def test_what_follows_from_a_refusal_is_left_out(machines: Machines) -> None:
    """Every problem is said once, and which statements were not checked for it."""
    with world(machines) as w:
        await w.start()
        before = catalog(w.classic), catalog(w.limitless)
        with pytest.raises(NoGo) as refusal:
            await applied(w, REFUSED)
        assert (catalog(w.classic), catalog(w.limitless)) == before

    lines = [(int(b.split(":")[0].removeprefix("statement ")), b) for b in refusal.value.blockers]
    assert [number for number, _ in lines] == [2, 8, 12, 14, 15, 17, 18, 18]
    said = dict(lines)
    assert "Not checked without it: statements 3, 4, 5, 6, 7" in said[2]
    assert "Not checked without it: statements 9, 10, 11" in said[8]
    assert "Not checked without it: statement 13" in said[12]
    assert "rows of shop.part get their tenant from shop.item" in said[14]
    assert "nothing is not captured" in said[15]
    assert "no_such_column" in said[17]


UNNAMED = """
SET search_path = shop;
CREATE INDEX ON item (rank);
CREATE INDEX ON item (rank);
CREATE INDEX ON item (lower(note), (rank + 1), id) INCLUDE (tenant_id);
CREATE UNIQUE INDEX ON item (tenant_id, note, id);
ALTER TABLE item ADD UNIQUE (tenant_id, note, id), ADD CHECK (rank > 0), ADD CHECK (rank > id), ADD CHECK (true);
CREATE INDEX ON "Más Cosas"."Order Lines" ("From");
CREATE INDEX ON "Más Cosas"."Order Lines" (("From" || 'x'), lower("From")) WHERE "From" > 'x';
ALTER TABLE item ADD COLUMN a_name_that_is_as_long_as_forty_bytes_1 int,
    ADD COLUMN "Länge mit Größe, so lang wie möglich" int;
CREATE INDEX ON item (a_name_that_is_as_long_as_forty_bytes_1, "Länge mit Größe, so lang wie möglich");
ALTER TABLE item
    ADD UNIQUE (tenant_id, a_name_that_is_as_long_as_forty_bytes_1, "Länge mit Größe, so lang wie möglich");
CREATE TABLE shelf (id bigint PRIMARY KEY, tenant_id bigint NOT NULL REFERENCES tenant, n int);
CREATE INDEX ON shelf (n, tenant_id);
DROP INDEX item_rank_idx;
CREATE INDEX ON item (rank);
"""


async def test_what_has_no_name_gets_the_name_that_postgresql_gives(machines: Machines) -> None:
    with world(machines) as w:
        await w.start()
        async with w.mirrors():
            await w.copy_all()
            await applied(w, UNNAMED, timeout_s=60)
            assert (await applied(w, UNNAMED, timeout_s=60)).finished == ()
            await w.caught_up()
        assert_equal(w, machines, UNNAMED)
        names = [{n for kind, _, _, n in catalog(c) if kind == "index"} for c in (w.classic, w.limitless)]
        # A partition is none there, and (tenant_id, id) is the primary key.
        assert names[0] - {"event_1_pkey", "item_tenant_id_id_key"} <= names[1]


GONE = """
SET search_path = shop;
ALTER TABLE item DROP COLUMN rank, DROP COLUMN parent;
ALTER TABLE event ADD CHECK (body > 'a');
ALTER TABLE event DROP COLUMN body;
ALTER TABLE tenant ADD COLUMN level int;
CREATE INDEX level_of ON tenant (level);
ALTER TABLE tenant ADD CONSTRAINT "Level > 0" CHECK (level > 0);
ALTER TABLE tenant DROP COLUMN level;
"""


async def test_a_column_goes_with_its_indexes_and_constraints_also_when_killed(machines: Machines) -> None:
    """Killed before, in and after every step, until there is no step left."""
    kills = Kills()
    with world(machines) as w:
        await w.start()
        async with w.mirrors():
            await w.copy_all()
            await kills.through(lambda: applied(w, GONE, watch=kills.watch, timeout_s=60))
            assert (await applied(w, GONE, timeout_s=60)).finished == ()
            await w.caught_up()
            report = await validate(w.classic_dsn, w.limitless_dsn)
        assert report.divergent_rows == 0
        assert ("release_on_classic", "acted") in kills.visited
        assert ("drop_on_limitless", "acted") in kills.visited
        assert_equal(w, machines, GONE)
        with pytest.raises(NoGo) as refusal:
            await applied(w, "CREATE VIEW shop.v AS SELECT note FROM shop.item; ALTER TABLE shop.item DROP note")
        assert "shop.v needs it: drop that first" in refusal.value.blockers[0]


VIEWS = """
SET search_path = shop;
CREATE VIEW notes AS SELECT id, note FROM item;
CREATE TYPE mood AS ENUM ('sad');
CREATE TABLE shelf (id bigint PRIMARY KEY, tenant_id bigint NOT NULL REFERENCES tenant, n int);
ALTER TABLE shelf ADD COLUMN m mood;
CREATE VIEW shelves AS SELECT * FROM shelf;
ALTER TABLE event ADD COLUMN size int DEFAULT 3, ADD COLUMN "Ü x" text;
CREATE VIEW events AS SELECT * FROM event;
CREATE VIEW bigger AS SELECT e.*, t.name FROM events e JOIN tenant t USING (tenant_id) WHERE size > 1;
GRANT SELECT ON events, bigger TO PUBLIC;
COMMENT ON VIEW events IS 'all of them';
CREATE FUNCTION sizes(t bigint) RETURNS int LANGUAGE sql STABLE
    AS 'SELECT max(size) FROM shop.event e WHERE e.tenant_id = t';
CREATE POLICY seen ON event USING (size > 1);
CREATE VIEW "Más Cosas"."V" AS
    WITH event AS (SELECT o.*, 1 AS one FROM "Más Cosas"."Order Lines" o) SELECT event."From", one, e2.size
      FROM event, shop.event e2;
CREATE VIEW named AS SELECT shop.event."Ü x" FROM shop.event;
"""
AGAIN = """
SET search_path = shop;
DROP VIEW notes;
ALTER TABLE item DROP COLUMN note;
CREATE VIEW notes AS SELECT id FROM item;
DROP FUNCTION sizes(bigint);
CREATE FUNCTION sizes(t bigint) RETURNS text LANGUAGE sql STABLE AS 'SELECT max(size)::text FROM shop.event';
ALTER TABLE shelf ADD COLUMN last int;
CREATE OR REPLACE VIEW shelves AS SELECT * FROM shelf;
"""


async def test_views_and_functions_over_what_the_same_file_makes(machines: Machines) -> None:
    """They come to Limitless with the columns that they have on classic, also when killed between."""
    killed: set[tuple[str, Moment]] = set()

    def watch(step: str, moment: Moment) -> None:
        if step == "first_on_limitless" and (step, moment) not in killed:
            killed.add((step, moment))
            raise Killed

    with world(machines) as w:
        await w.start()
        async with w.mirrors():
            await w.copy_all()
            for text in (VIEWS, AGAIN):
                killed.clear()
                for _ in range(3):
                    with pytest.raises(Killed):
                        await applied(w, text, watch=watch, timeout_s=60)
                await applied(w, text, watch=watch, timeout_s=60)
                assert (await applied(w, text, timeout_s=60)).finished == ()
            await w.caught_up()
        assert_equal(w, machines, VIEWS, AGAIN)


RENAMED = """
SET search_path = shop;
ALTER TABLE item RENAME CONSTRAINT item_pkey TO "Item PK";
ALTER TABLE item RENAME CONSTRAINT item_tenant_id_rank_key TO ranks;
ALTER TABLE item RENAME CONSTRAINT item_parent_check TO "parent > 0";
ALTER TABLE item RENAME CONSTRAINT item_tenant_id_parent_fkey TO parent_of;
ALTER INDEX item_lower_idx RENAME TO "Lower é";
ALTER INDEX IF EXISTS no_such_index RENAME TO nothing;
ALTER TABLE "Más Cosas"."Order Lines" RENAME CONSTRAINT "Order Lines_pkey" TO lines_pk;
ALTER TABLE event ADD CONSTRAINT long CHECK (body <> 'long');
ALTER TABLE event RENAME CONSTRAINT long TO "not long";
ALTER INDEX event_pkey RENAME TO event_key;
CREATE INDEX lower ON item (note);
ALTER INDEX lower RENAME TO upper;
CREATE INDEX lower ON item (note, id);
ALTER INDEX item_tenant_id_id_key RENAME TO whole;
CREATE FUNCTION f(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n';
ALTER FUNCTION f(int) RENAME TO g;
"""
NOT_RENAMED = """
ALTER INDEX shop.item_pkey RENAME TO part_pkey;
ALTER TABLE shop.item RENAME CONSTRAINT nothing TO something;
ALTER TABLE shop.item RENAME CONSTRAINT item_parent_check TO item_check;
"""


async def test_indexes_and_constraints_are_renamed_on_both_sides(machines: Machines) -> None:
    """Those of primary keys, partitions and what the file makes too, killed before, in and after each step."""
    kills = Kills(among="limitless")
    with world(machines) as w:
        await w.start()
        async with w.mirrors():
            await w.copy_all()
            with pytest.raises(NoGo) as refusal:
                await applied(w, NOT_RENAMED)
            assert len(refusal.value.blockers) == 3
            await kills.through(lambda: applied(w, RENAMED, watch=kills.watch, timeout_s=60))
            assert (await applied(w, RENAMED, timeout_s=60)).finished == ()
            w.classic.execute("UPDATE shop.item SET note = 'later' WHERE id < 9")
            await w.caught_up()
            report = await validate(w.classic_dsn, w.limitless_dsn)
        assert report.divergent_rows == 0
        assert_equal(w, machines, RENAMED)
        there = {name for _, _, *names in catalog(w.limitless) for name in names}
        assert {"Item PK", "ranks", "parent > 0", "Lower é", "lines_pk", "upper", "lower", "not long"} <= there
        assert not {"item_pkey", "item_parent_check", "item_lower_idx", "long"} & there

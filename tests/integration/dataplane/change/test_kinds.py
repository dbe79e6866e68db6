"""Every kind of statement that migrations hold reaches both sides while rows are written and mirrored."""

from __future__ import annotations

import asyncio

import pytest

from migrator.consistency.run import validate
from migrator.control.tables import captured_tables
from migrator.control.watch import problems
from migrator.inventory.look import look
from migrator.provision.apply import verify
from tests.fixtures.postgres import Machines
from tests.fixtures.shop import Shop
from tests.fixtures.world import World, plan_of
from tests.integration.dataplane.change.helpers import applied, differences
from tests.integration.dataplane.test_equality import Writers

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

MIGRATIONS = """
BEGIN;
SET lock_timeout = '5s';
CREATE TABLE shop.shelf (
    id bigint PRIMARY KEY, tenant_id bigint NOT NULL, room varchar(10) DEFAULT 'a', weight numeric(5, 2));
CREATE INDEX shelf_room ON shop.shelf (tenant_id, room);
COMMIT;
ALTER TABLE shop.shelf ADD CONSTRAINT shelf_tenant
    FOREIGN KEY (tenant_id) REFERENCES shop.tenant ON DELETE CASCADE ON UPDATE CASCADE;
INSERT INTO shop.shelf (id, tenant_id, weight)
    SELECT p.id, p.tenant_id, 1 FROM shop.purchase p JOIN shop.tenant t USING (tenant_id) FOR KEY SHARE OF t;
ALTER TABLE shop.shelf ALTER COLUMN room TYPE varchar(40),
    ALTER COLUMN weight SET DATA TYPE numeric(9, 2) USING weight::numeric(9, 2);
ALTER TABLE shop.shelf ADD UNIQUE (tenant_id, id, room);
ALTER TABLE shop.purchase ADD COLUMN parent bigint REFERENCES shop.tenant (tenant_id),
    ADD COLUMN code text CHECK (code <> '');
ALTER TABLE shop.purchase ADD CONSTRAINT total_small CHECK (total < 100000000) NOT VALID;
ALTER TABLE shop.purchase VALIDATE CONSTRAINT total_small;
UPDATE shop.purchase SET code = 'none' WHERE code IS NULL;
ALTER TABLE shop.purchase ALTER COLUMN code SET DEFAULT 'none', ALTER COLUMN total SET DEFAULT 0;
ALTER TABLE shop.line ALTER COLUMN sku SET DEFAULT 'x';
ALTER TABLE shop.line ALTER COLUMN sku DROP DEFAULT;
ALTER TABLE shop.tenant ALTER COLUMN name DROP NOT NULL;
CREATE FUNCTION shop.doubled(n numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
CREATE OR REPLACE FUNCTION shop.doubled(n numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT n + n';
CREATE VIEW shop.lines AS SELECT l.*, shop.doubled(1) AS two FROM shop.line l;
DROP VIEW shop.lines;
DROP FUNCTION shop.doubled(numeric);
COMMENT ON TABLE shop.purchase IS 'what was bought';
ALTER TABLE shop.purchase SET (fillfactor = 90);
GRANT SELECT ON shop.shelf TO PUBLIC;
CREATE POLICY seen ON shop.shelf USING (true);
-- migrator: side = classic
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
-- migrator: side = classic
CREATE TRIGGER touch BEFORE INSERT ON shop.shelf FOR EACH ROW EXECUTE FUNCTION shop.touch();
DROP TRIGGER touch ON shop.shelf;
ALTER TABLE shop.purchase DROP CONSTRAINT total_small;
ANALYZE shop.shelf;
"""


async def test_a_file_of_every_kind_under_traffic(shop: Shop) -> None:
    await shop.start()
    with Writers(shop.classic_dsn, 5, 1) as writers:
        async with shop.mirrors():
            await shop.copy_all()
            await applied(shop, MIGRATIONS, timeout_s=60)
            again = await applied(shop, MIGRATIONS, timeout_s=60)
            writers.stop.set()
            for thread in writers.threads:
                await asyncio.to_thread(thread.join)
            await shop.caught_up()
            report = await validate(shop.classic_dsn, shop.limitless_dsn)

    assert again.finished == ()
    assert report.divergent_rows == 0
    assert differences(shop) == {}
    assert problems(shop.classic) == []
    assert look(shop.classic) == look(shop.classic, shop.limitless) == ()
    tables = list(captured_tables(shop.classic).values())
    assert verify(shop.classic, shop.limitless, tables, shop.plan).blockers == ()


ODD = """
CREATE SCHEMA shop; CREATE SCHEMA "Más Cosas";
CREATE TYPE "Más Cosas"."Größe" AS ENUM ('S', 'M l');
CREATE TABLE shop.tenant (tenant_id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE "Más Cosas"."Order Lines" (
    "Id é" bigint PRIMARY KEY, tenant_id bigint NOT NULL REFERENCES shop.tenant, "From" varchar(10),
    "select" "Más Cosas"."Größe");
CREATE TABLE shop.event (
    id bigint, tenant_id bigint NOT NULL, at date NOT NULL, body varchar(20), PRIMARY KEY (id, at))
    PARTITION BY RANGE (at);
CREATE TABLE shop.event_1 PARTITION OF shop.event FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE shop.event_2 PARTITION OF shop.event FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
CREATE TABLE shop.empty (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, a int);
INSERT INTO shop.tenant SELECT g, 'tenant ' || g FROM generate_series(1, 5) g;
INSERT INTO "Más Cosas"."Order Lines" SELECT g, 1 + g % 5, 'x' || g, 'S' FROM generate_series(1, 50) g;
INSERT INTO shop.event SELECT g, 1 + g % 5, '2020-06-01'::date + g, 'b' FROM generate_series(1, 300) g;
"""

UNUSUAL = """
SET search_path TO "Más Cosas", shop;
ALTER TABLE "Order Lines" ADD CONSTRAINT "nicht < 0"
    CHECK ("Id é" > 0 AND "From" <> 'a;b' AND "select" <> 'M l'::"Größe");
ALTER TABLE "Order Lines" ADD UNIQUE (tenant_id, "Id é", "From"), ALTER "select" SET DEFAULT 'S'::"Größe";
ALTER TABLE event ADD CONSTRAINT positive CHECK (id > 0), ALTER body TYPE text, ALTER body SET NOT NULL,
    ADD COLUMN n int;
CREATE TYPE mood AS ENUM ('sad', 'happy');
ALTER TABLE empty ADD COLUMN m mood NOT NULL DEFAULT 'sad', ADD COLUMN ms mood[] DEFAULT '{}'::mood[],
    ADD CHECK (m <> 'happy'::mood OR a > 1);
CREATE INDEX "i ñ" ON empty (m) WHERE m = 'sad'::mood;
CREATE SEQUENCE shop."S q";
ALTER TABLE empty ALTER a SET DEFAULT nextval('shop."S q"');
INSERT INTO empty (id, tenant_id) VALUES (1, 1);
CREATE TABLE t1 (id bigint PRIMARY KEY, tenant_id bigint NOT NULL REFERENCES tenant, k "Größe" DEFAULT 'S'::"Größe");
CREATE VIEW "v Ü" AS SELECT * FROM t1;
ALTER TABLE t1 ADD COLUMN m mood;
INSERT INTO t1 (id, tenant_id) SELECT id, tenant_id FROM empty;
"""


async def test_names_and_tables_of_every_sort(machines: Machines) -> None:
    """Names that must be quoted, in two schemas, found by search_path; partitions; no row; types of the same file."""
    plan = plan_of("odd", schemas=["shop", "Más Cosas"])
    with World.made(*machines.new_pair("nothing", lambda classic, limitless: None), plan, ODD) as world:
        await world.start()
        async with world.mirrors():
            await world.copy_all()
            done = await applied(world, UNUSUAL, timeout_s=60)
            assert (await applied(world, UNUSUAL, timeout_s=60)).finished == ()
            await world.caught_up()
            report = await validate(world.classic_dsn, world.limitless_dsn)
        assert len(done.finished) == 19
        assert report.divergent_rows == 0
        assert problems(world.classic) == []
        assert look(world.classic) == look(world.classic, world.limitless) == ()
        tables = list(captured_tables(world.classic).values())
        assert verify(world.classic, world.limitless, tables, world.plan).blockers == ()
        for conn in (world.classic, world.limitless):
            assert conn.execute("SELECT a, m::text, ms::text FROM shop.empty").fetchall() == [(1, "sad", "{}")]
            assert conn.execute('SELECT k::text FROM "Más Cosas"."v Ü"').fetchall() == [("S",)]

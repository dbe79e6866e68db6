"""Tables are dropped on both sides while rows flow, and nothing of them is left anywhere."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from migrator.consistency.run import validate
from migrator.control.tables import captured_tables
from migrator.control.watch import problems
from migrator.dataplane.change.create import exists
from migrator.dataplane.change.kinds import Kind
from migrator.errors import NoGo
from migrator.inventory.look import look
from migrator.provision.apply import verify
from tests.fixtures.shop import FILL, SCHEMA, TABLES, Shop
from tests.fixtures.waiting import until
from tests.fixtures.world import plan_of
from tests.integration.dataplane.change import new_tables
from tests.integration.dataplane.change.helpers import applied, differences
from tests.integration.dataplane.test_equality import Writers

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

LEFT = """
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = 'migrator' AND c.relname ~ '^journal_[0-9]+$'
"""
FUNCTIONS = """
SELECT count(DISTINCT substring(proname from 'capture_([0-9]+)_')) FROM pg_proc WHERE proname ~ '^capture_[0-9]+_'
"""


def count(conn: psycopg.Connection[Any], query: str) -> int:
    row = conn.execute(query).fetchone()
    return int(row[0]) if row else -1


def assert_whole(shop: Shop) -> None:
    """Capture, mirrors, inventory and provisioning know the same tables, and nothing was lost."""
    tables = list(captured_tables(shop.classic).values())
    assert problems(shop.classic) == []
    assert look(shop.classic) == look(shop.classic, shop.limitless) == ()
    assert verify(shop.classic, shop.limitless, tables, shop.plan).blockers == ()
    assert count(shop.classic, LEFT) == count(shop.classic, FUNCTIONS) == len(tables)
    assert count(shop.classic, "SELECT count(*) FROM migrator.incident") == 0
    assert count(shop.classic, "SELECT count(*) FROM migrator.position WHERE problem IS NOT NULL") == 0
    made = {(s, n) for s, n in shop.limitless.execute(
        "SELECT schema_name, name FROM migrator.provisioned WHERE kind = 'table'")}  # fmt: skip
    assert made == {(t.schema, t.name) for t in tables}


@pytest.mark.slow
async def test_dropped_and_made_again_while_everything_runs(shop: Shop) -> None:
    """Derived through others, partitioned by nothing, a reference table, one with sequences: written until they go,
    beside copies and a validation. Then tables of the same names come."""
    await shop.start()
    text = "DROP TABLE shop.invoice, shop.reminder CASCADE; DROP TABLE IF EXISTS shop.parcel, shop.never;"
    text += "DROP TABLE shop.country; DROP SEQUENCE shop.ticket"
    with Writers(shop.classic_dsn, 5, 1) as writers, new_tables.Traffic(shop.classic_dsn) as traffic:
        async with shop.mirrors():
            await shop.copy_all(120)
            await applied(shop, new_tables.FILE, timeout_s=60)

            async def written() -> bool:
                return sum(traffic.written[s] > 0 for s in traffic.STATEMENTS) > 6

            await until(written, "the new tables are written", 30)
            validating = asyncio.create_task(validate(shop.classic_dsn, shop.limitless_dsn))
            done = await applied(shop, text, timeout_s=60)
            during = await validating
            for conn in (shop.classic, shop.limitless):
                assert not any(exists(conn, Kind.CREATE_TABLE, *t.split(".")) for t in new_tables.TABLES)
            assert (await applied(shop, text)).finished == ()
            assert (await applied(shop, "DROP TABLE IF EXISTS shop.invoice")).finished == ()
            await shop.caught_up()
            assert_whole(shop)
            shop.classic.execute("CREATE SEQUENCE shop.unrelated; DROP SEQUENCE shop.unrelated")
            again = await applied(shop, "SET search_path = shop;" + new_tables.FILE, timeout_s=60)
            traffic.stop.set()
            traffic.join()
            writers.stop.set()
            for thread in writers.threads:
                await asyncio.to_thread(thread.join)
            await shop.caught_up()
            last = await validate(shop.classic_dsn, shop.limitless_dsn)

    assert len(done.finished) == 5
    assert during.divergent_rows == last.divergent_rows == 0
    assert len(again.finished) >= 7
    assert new_tables.differences(shop) == {}
    assert differences(shop) == {}
    assert_whole(shop)


ODD = """
DROP TABLE IF EXISTS "Zweites Schema"."a.b", "Zweites Schema"."Größe x" CASCADE;
DROP TABLE IF EXISTS Events, shop."NIE";
DROP TYPE "Zweites Schema"."Art";
"""

BEFORE = """
CREATE TYPE "Zweites Schema"."Art" AS ENUM ('é', 'b');
CREATE TABLE "Zweites Schema"."Größe x" (
    "Id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant_id bigint NOT NULL, "Art" "Zweites Schema"."Art");
CREATE INDEX "Größe des Mieters" ON "Zweites Schema"."Größe x" (tenant_id);
-- migrator: via = of -> Zweites Schema.Größe x.Id
CREATE TABLE "Zweites Schema"."a.b" (
    id serial PRIMARY KEY, "of" bigint REFERENCES "Zweites Schema"."Größe x" ON DELETE CASCADE);
CREATE TABLE shop.events (id bigint, tenant_id bigint NOT NULL, PRIMARY KEY (tenant_id, id)) PARTITION BY RANGE (id);
"""


async def test_odd_names_another_schema_partitions_and_types(classic_dsn: str, limitless_dsn: str) -> None:
    """A partition by itself, then the whole; a parent that had children is captured as one without; its type goes."""
    plan = plan_of("shop", schemas=["shop", "Zweites Schema"], tables=TABLES)
    with Shop.made(classic_dsn, limitless_dsn, plan, f'{SCHEMA}{FILL} CREATE SCHEMA "Zweites Schema";') as shop:
        await shop.start()
        async with shop.mirrors():
            await shop.copy_all()
            await applied(shop, BEFORE)
            shop.classic.execute("CREATE TABLE shop.events_1 PARTITION OF shop.events FOR VALUES FROM (0) TO (10)")
            shop.classic.execute("CREATE TABLE shop.events_2 PARTITION OF shop.events FOR VALUES FROM (10) TO (20)")
            shop.classic.execute("INSERT INTO shop.events SELECT g, g FROM generate_series(1, 12) g")
            shop.classic.execute(
                'INSERT INTO "Zweites Schema"."Größe x" (tenant_id) SELECT g FROM generate_series(1, 12) g;'
                'INSERT INTO "Zweites Schema"."a.b" ("of") SELECT "Id" FROM "Zweites Schema"."Größe x"'
            )
            await applied(shop, "DROP TABLE shop.events_1")
            await shop.caught_up()
            assert shop.limitless.execute("SELECT id FROM shop.events ORDER BY 1").fetchall() == [(10,), (11,), (12,)]
            done = await applied(shop, 'DROP TABLE "Zweites Schema"."a.b"')
            assert len(done.finished) == 1
            shop.classic.execute('UPDATE "Zweites Schema"."Größe x" SET "Id" = DEFAULT, tenant_id = 13 - tenant_id')
            await shop.caught_up()
            query = 'SELECT "Id", tenant_id FROM "Zweites Schema"."Größe x" ORDER BY 1'
            assert shop.limitless.execute(query).fetchall() == shop.classic.execute(query).fetchall()
            done = await applied(shop, ODD)
            assert len(done.finished) == 3
            await shop.caught_up()

        assert_whole(shop)
        for conn in (shop.classic, shop.limitless):
            left = conn.execute("SELECT relname FROM pg_class WHERE relnamespace = '\"Zweites Schema\"'::regnamespace")
            assert left.fetchall() == []
            assert not exists(conn, Kind.CREATE_TABLE, "shop", "events")
        kept = shop.limitless.execute("SELECT kind, name FROM migrator.provisioned WHERE name ~ '[öa][.ß]|events'")
        assert kept.fetchall() == []


REFUSED = (
    ("DROP TABLE shop.line", "shop.remark gets its tenant through it"),
    ("DROP TABLE shop.line CASCADE", "constraint remark_line_id_fkey on table shop.remark needs it"),
    ("DROP TABLE shop.tenant", "constraint purchase_tenant_id_fkey on table shop.purchase needs it"),
    ("DROP TABLE shop.currency", "view shop.rates needs it"),
    ("DROP TABLE shop.currency CASCADE", "materialized view shop.fixed needs it"),
    ("DROP TABLE shop.currency", "function shop.dear(shop.currency) needs it"),
    ("DROP TABLE shop.currency", "column last of table shop.behind needs it"),
    ("DROP TABLE shop.currency", "policy only_some on table shop.purchase needs it"),
    ("DROP TABLE shop.remark", "Limitless refuses it"),
    ("DROP TABLE shop.never", "there is no such table"),
    ("DROP TABLE shop.behind", "it is not captured"),
    ("DROP TABLE shop.tenant, shop.purchase, shop.line, shop.remark", "no table with tenants would be left"),
    ("DROP TABLE shop.remark; ALTER TABLE shop.remark ADD COLUMN x int", "shop.remark is not there"),
)


async def test_refused_where_something_needs_it(shop: Shop) -> None:
    """Before anything is changed; whatever the file drops itself is no reason."""
    await shop.start()
    shop.classic.execute(
        "CREATE VIEW shop.rates AS SELECT * FROM shop.currency;"
        "CREATE MATERIALIZED VIEW shop.fixed AS TABLE shop.currency;"
        "CREATE FUNCTION shop.dear(shop.currency) RETURNS boolean LANGUAGE sql RETURN $1.rate > 1;"
        "CREATE TABLE shop.behind (id int, last shop.currency);"
        "CREATE POLICY only_some ON shop.purchase USING (EXISTS (SELECT FROM shop.currency))"
    )
    shop.limitless.execute("CREATE VIEW shop.only_there AS SELECT body FROM shop.remark")
    for text, words in REFUSED:
        with pytest.raises(NoGo) as refusal:
            await applied(shop, text)
        assert words in "\n".join(refusal.value.blockers), (text, refusal.value.blockers)
        assert refusal.value.hint == "Nothing was changed."
    assert len(captured_tables(shop.classic)) == 5
    assert problems(shop.classic) == []
    shop.classic.execute("DROP POLICY only_some ON shop.purchase; DROP TABLE shop.behind")

    async with shop.mirrors():
        await applied(
            shop,
            "DROP VIEW shop.rates; DROP MATERIALIZED VIEW shop.fixed; DROP FUNCTION shop.dear;"
            "DROP TABLE shop.currency CASCADE;"
            "ALTER TABLE shop.purchase DROP CONSTRAINT purchase_tenant_id_fkey; DROP TABLE shop.tenant",
        )
        shop.limitless.execute("DROP VIEW shop.only_there")
        await shop.caught_up()

    assert {t.qualified for t in captured_tables(shop.classic).values()} == {
        "shop.purchase",
        "shop.line",
        "shop.remark",
    }
    assert problems(shop.classic) == []


async def test_before_it_is_copied(shop: Shop) -> None:
    """Copy units of its own are of nothing, a divergence in it is over, and tenants are mirrored all the same."""
    await shop.start()
    units = shop.units(split_rows=50)
    shop.classic.execute(
        "INSERT INTO migrator.divergence (run_id, table_name, tenant_id, key, kind, columns, fence)"
        " VALUES (gen_random_uuid(), 'shop.remark', '1', '{}', 'missing', '{}', '')"
    )
    async with shop.mirrors():
        told: list[str] = []
        done = await applied(shop, "DROP TABLE shop.remark; DROP TABLE shop.currency", tell=told.append)
        assert len(done.finished) == 2
        for unit in units:
            await shop.copy(unit)
        await shop.copy_all()
        await shop.caught_up()
        report = await validate(shop.classic_dsn, shop.limitless_dsn)

    assert report.divergent_rows == 0
    assert report.unknown == ()
    assert count(shop.classic, "SELECT count(*) FROM migrator.open_divergence") == 0
    assert [t for t in told if 'remove [tables.table."shop.remark"]' in t]
    assert_whole(shop)

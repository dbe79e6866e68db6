"""What was made past the tool is on both sides after `schema adopt`, with its rows, while everything runs."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from migrator.consistency.run import validate
from migrator.control.tables import captured_tables
from migrator.control.watch import problems
from migrator.dataplane.capture.every_key import journal_every_key
from migrator.dataplane.change.adopt import Adopted, adopt, find
from migrator.dataplane.change.inspect import columns_of
from migrator.errors import NoGo, PreconditionFailed
from migrator.inventory.look import look
from migrator.provision.apply import verify
from tests.fixtures.shop import Shop
from tests.integration.dataplane.change import new_tables
from tests.integration.dataplane.change.helpers import applied, differences, work
from tests.integration.dataplane.change.kills import Killed
from tests.integration.dataplane.test_equality import Writers

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

DIRECT = """
CREATE TYPE shop.channel AS ENUM ('web', 'app');
CREATE SEQUENCE shop.ticket START 1000 INCREMENT 2;
CREATE TABLE shop.invoice (
    id bigserial PRIMARY KEY,
    tenant_id bigint NOT NULL,
    purchase_id bigint REFERENCES shop.purchase ON DELETE CASCADE,
    number bigint NOT NULL DEFAULT nextval('shop.ticket'),
    channel shop.channel NOT NULL DEFAULT 'web',
    mood shop.mood,
    CHECK (number > 0));
CREATE TABLE shop.parcel (
    line_id bigint NOT NULL REFERENCES shop.line ON DELETE CASCADE,
    "No." int NOT NULL,
    weight numeric(8, 2) GENERATED ALWAYS AS (grams / 1000.0) STORED,
    grams int,
    PRIMARY KEY (line_id, "No."));
COMMENT ON TABLE shop.parcel IS 'What is sent.
migrator: via = line_id -> shop.line.id';
CREATE TABLE shop.reminder (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    invoice_id bigint NOT NULL REFERENCES shop.invoice ON DELETE CASCADE,
    body text);
COMMENT ON TABLE shop.reminder IS 'migrator: via = invoice_id -> shop.invoice.id';
CREATE TABLE shop.country (code char(2) PRIMARY KEY, name text);
COMMENT ON TABLE shop.country IS '-- migrator: kind = reference';
CREATE INDEX reminder_invoice ON shop.reminder (invoice_id);
CREATE VIEW shop.unpaid AS SELECT i.* FROM shop.invoice i;
CREATE FUNCTION shop.twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';
ALTER TYPE shop.channel ADD VALUE 'fax' BEFORE 'app';
INSERT INTO shop.invoice (tenant_id, purchase_id, mood) SELECT tenant_id, id, mood FROM shop.purchase WHERE id < 300;
INSERT INTO shop.parcel (line_id, "No.", grams) SELECT id, 1, id FROM shop.line WHERE id < 400;
INSERT INTO shop.reminder (invoice_id, body) SELECT id, 'pay!' FROM shop.invoice;
INSERT INTO shop.country VALUES ('FR', 'France'), ('IT', 'Italy');
"""


def run(shop: Shop, **more: Any) -> Adopted:
    with work(shop, **more) as w:
        return adopt(w)


async def adopted(shop: Shop, **more: Any) -> Adopted:
    """Adopt in a thread: the mirrors it waits for live in this loop."""
    return await asyncio.to_thread(lambda: run(shop, **more))


async def past_the_guard(shop: Shop, *statements: str) -> None:
    """Run *statements* as a superuser whose commands no event trigger sees; in a thread, as mirrors hold locks."""

    def act() -> None:
        with psycopg.connect(shop.classic_dsn, autocommit=True) as conn:
            conn.execute("SET event_triggers = off")
            for statement in statements:
                conn.execute(statement.encode())

    if shop.classic.info.server_version < 170000:
        pytest.skip("PostgreSQL 17 has SET event_triggers")
    await asyncio.to_thread(act)


def assert_whole(shop: Shop) -> None:
    """Both sides hold the same, capture is as it should be, and the inventory has nothing to say."""
    assert differences(shop) == {}
    assert problems(shop.classic) == []
    assert look(shop.classic) == look(shop.classic, shop.limitless) == ()
    tables = list(captured_tables(shop.classic).values())
    assert verify(shop.classic, shop.limitless, tables, shop.plan).blockers == ()


async def test_tables_made_directly_are_taken_along_with_their_rows(shop: Shop) -> None:
    """Sharded, derived, derived from a new one, and a reference table, while all of them are written."""
    await shop.start()
    with Writers(shop.classic_dsn, 5, 1) as writers:
        async with shop.mirrors():
            await shop.copy_all(120)
            shop.classic.execute(DIRECT)
            with new_tables.Traffic(shop.classic_dsn) as traffic:
                done = await adopted(shop, timeout_s=60)
                await shop.copy_all(120)  # tenants that only these tables have
                report = await validate(shop.classic_dsn, shop.limitless_dsn)
            writers.stop.set()
            for thread in writers.threads:
                await asyncio.to_thread(thread.join)
            again = await adopted(shop)
            await shop.caught_up()
            last = await validate(shop.classic_dsn, shop.limitless_dsn)

    assert done.left == again.left == ()
    assert again.done == ()
    assert report.divergent_rows == last.divergent_rows == 0
    assert {v.tenant_id is None: v.tables for v in last.tenants} == {True: 2, False: 7}
    assert sum(traffic.written.values()) > 0
    assert new_tables.differences(shop) == {}
    assert_whole(shop)
    for view in ("SELECT count(*) FROM shop.unpaid", "SELECT shop.twice(2)"):
        assert shop.classic.execute(view).fetchone() == shop.limitless.execute(view).fetchone()


PAST = """
ALTER TABLE shop.purchase ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid();
ALTER TABLE shop.purchase RENAME COLUMN note TO remark;
ALTER TABLE shop.line ADD COLUMN paid boolean NOT NULL DEFAULT false, ADD CHECK (id > 0);
ALTER TABLE shop.line DROP COLUMN old;
ALTER TYPE shop.mood ADD VALUE 'meh' BEFORE 'ok';
UPDATE shop.purchase SET mood = 'meh' WHERE id % 10 = 0;
CREATE UNIQUE INDEX whole ON shop.purchase (tenant_id, token);
CREATE TABLE shop.note (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, body text);
INSERT INTO shop.note SELECT g, g, 'note' FROM generate_series(1, 12) g;
"""


async def test_killed_before_or_after_any_step_it_goes_on(shop: Shop) -> None:
    """Shapes, an enum, an index and a table, past the guard, under traffic; the mirrors have stopped meanwhile."""
    await shop.start()
    visited: set[tuple[str, int, str]] = set()

    def watch(step: str, moment: str) -> None:
        counted[step, moment] = counted.get((step, moment), 0) + 1
        place = (step, counted[step, moment], moment)
        if place not in visited:
            visited.add(place)
            raise Killed

    with Writers(shop.classic_dsn, 5, 1) as writers:
        async with shop.mirrors():
            await shop.copy_all(120)
            await applied(shop, "ALTER TABLE shop.line ADD COLUMN old int NOT NULL DEFAULT 3")
            await past_the_guard(shop, *PAST.strip().split(";\n"))
            done = None
            while done is None:
                before, counted = len(visited), dict[tuple[str, str], int]()
                try:
                    done = await adopted(shop, timeout_s=60, watch=watch)
                except Killed:
                    assert len(visited) == before + 1
            again = await adopted(shop)
            writers.stop.set()
            for thread in writers.threads:
                await asyncio.to_thread(thread.join)
            await shop.copy_all(120)
            await shop.caught_up()
            report = await validate(shop.classic_dsn, shop.limitless_dsn)

    assert {step for step, _, _ in visited} >= {
        "make_on_limitless", "alter_on_limitless", "label_on_limitless", "note_values", "describe", "capture", "know",
        "finish_on_limitless", "build_on_limitless",
    }  # fmt: skip
    assert again == Adopted((), ())
    assert (report.divergent_rows, report.unmirrored) == (0, ())
    assert_whole(shop)
    for conn in (shop.classic, shop.limitless):
        assert conn.execute("SELECT count(*) FROM shop.note").fetchone() == (12,)
        columns = columns_of(conn, "shop.purchase")
        assert columns["token"] == ("uuid", True) and "remark" in columns and "note" not in columns
        assert "old" not in columns_of(conn, "shop.line")


async def test_what_was_changed_on_limitless_directly(shop: Shop) -> None:
    """What it lost comes back with its rows; a column, a value and a sequence that it alone has come to classic."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.limitless.execute(
            "ALTER TABLE shop.remark DROP COLUMN body; ALTER TABLE shop.line ADD COLUMN weight numeric(8, 2) DEFAULT 1;"
            "ALTER TYPE shop.mood ADD VALUE 'over the moon' AFTER 'happy'"
        )
        shop.limitless.execute("CREATE SEQUENCE shop.ticket INCREMENT 3; DROP TABLE shop.currency")
        shop.limitless.execute("ALTER TABLE shop.tenant ALTER COLUMN name DROP NOT NULL")
        done = await adopted(shop, timeout_s=60)
        again = await adopted(shop)
        shop.classic.execute("UPDATE shop.purchase SET mood = 'over the moon' WHERE id < 5")
        shop.classic.execute("UPDATE shop.line SET weight = 2 WHERE id < 50")
        await shop.caught_up()

    assert done.left == ()
    assert again == Adopted((), ())
    assert_whole(shop)
    assert shop.classic.execute("SELECT DISTINCT weight FROM shop.line ORDER BY 1").fetchall() == [(1,), (2,)]
    assert shop.classic.execute("SELECT nextval('shop.ticket'), nextval('shop.ticket')").fetchone() == (1, 4)


HARD = """
CREATE TABLE shop."Année / été" ("Nº" int, tenant_id bigint, "a.b" text, PRIMARY KEY (tenant_id, "Nº"))
    PARTITION BY RANGE ("Nº");
CREATE TABLE shop."Année_1" PARTITION OF shop."Année / été" FOR VALUES FROM (0) TO (100);
CREATE TABLE shop."Année rest" PARTITION OF shop."Année / été" DEFAULT PARTITION BY LIST (tenant_id);
CREATE TABLE shop."Année rest 1" PARTITION OF shop."Année rest" DEFAULT;
INSERT INTO shop."Année / été" SELECT g, 1 + g % 9, 'row ' || g FROM generate_series(1, 300) g;
CREATE TABLE shop.empty (tenant_id bigint, id uuid, PRIMARY KEY (tenant_id, id));
CREATE TABLE shop."select" (tenant_id bigint NOT NULL, "order" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY);
INSERT INTO shop."select" (tenant_id) SELECT g FROM generate_series(1, 40) g;
"""


async def test_partitioned_empty_and_hard_names(shop: Shop) -> None:
    """Partitions come with their root; a tenant that only the new table has is copied, and follows."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.classic.execute(HARD)
        done = await adopted(shop)
        await shop.copy_all()
        shop.classic.execute("""UPDATE shop."Année / été" SET "Nº" = "Nº" + 95 WHERE "Nº" < 50""")
        shop.classic.execute("""DELETE FROM shop."select" WHERE "order" < 5""")
        await shop.caught_up()
        report = await validate(shop.classic_dsn, shop.limitless_dsn)

    assert done.left == ()
    assert report.clean
    for table in ('"Année / été"', '"select"'):
        here, there = (
            c.execute(f"SELECT to_jsonb(t)::text FROM shop.{table} t ORDER BY 1").fetchall()
            for c in (shop.classic, shop.limitless)
        )
        assert here == there != []
    assert_whole(shop)


LEFT = """
CREATE TABLE shop.a (id bigint PRIMARY KEY);
CREATE TABLE shop.b (tenant_id bigint NOT NULL, id bigint);
CREATE UNLOGGED TABLE shop.c (tenant_id bigint, id bigint PRIMARY KEY);
CREATE TABLE shop.e (tenant_id bigint, id bigint PRIMARY KEY, u int UNIQUE);
CREATE TABLE shop.g (x_id bigint, id bigint PRIMARY KEY);
COMMENT ON TABLE shop.g IS 'migrator: via = x_id -> shop.a.id';
CREATE TABLE shop.h (tenant_id bigint, id bigint PRIMARY KEY);
COMMENT ON TABLE shop.h IS 'migrator: color = red';
CREATE TABLE shop.there (tenant_id bigint, id bigint PRIMARY KEY);
CREATE MATERIALIZED VIEW shop.m AS SELECT 1 AS one;
CREATE TABLE shop.fine (tenant_id bigint, id bigint PRIMARY KEY);
INSERT INTO shop.fine VALUES (1, 1);
"""


async def test_what_cannot_be_adopted_is_left_with_advice(shop: Shop) -> None:
    """Each by itself; what can be adopted is."""
    await shop.start()
    shop.limitless.execute("CREATE TABLE shop.there (id int)")
    async with shop.mirrors():
        await shop.copy_all()
        shop.classic.execute(LEFT)
        done = await adopted(shop)
        await shop.caught_up()

    left = {one.subject: str(one) for one in done.left}
    for subject, words in {
        "table shop.a": "COMMENT ON TABLE",
        "table shop.b": "no primary key",
        "table shop.c": "SET LOGGED",
        "table shop.e": "lacks the tenant key",
        "table shop.g": "shop.a",
        "table shop.h": "Correct the comment",
        "table shop.there": "Limitless has it already",
        "materialized view shop.m": "Drop it",
    }.items():
        assert words in left.get(subject, ""), (subject, left)
    assert left.keys() == {s for s in left if s != "table shop.fine"}
    assert shop.limitless.execute("SELECT * FROM shop.fine").fetchall() == [(1, 1)]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("ALTER TABLE shop.purchase ALTER COLUMN total TYPE text", "total is text, was numeric(12,2)"),
        ("ALTER TABLE shop.remark DROP CONSTRAINT remark_pkey, ADD PRIMARY KEY (number, line_id)", "its key is"),
        ("ALTER TABLE shop.line ALTER COLUMN purchase_id TYPE text", "lead to its tenant"),
    ],
)
async def test_a_shape_that_cannot_go_on_is_left_with_what_it_would_cost(
    shop: Shop, statement: str, words: str
) -> None:
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        if "line" in statement:
            await past_the_guard(shop, "ALTER TABLE shop.line DROP CONSTRAINT line_purchase_id_fkey")
        await past_the_guard(shop, statement)
        with work(shop, timeout_s=60) as w:
            found = await asyncio.to_thread(find, w)

    left = "; ".join(map(str, found.left))
    assert words in left and "copies everything anew" in left and " kB with indexes" in left


async def test_a_loss_that_shapes_do_not_explain_ends_nothing(shop: Shop) -> None:
    """A trigger that was off for a while: writes may have passed, and only a copy of everything helps."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await past_the_guard(
            shop,
            "ALTER TABLE shop.purchase ADD COLUMN more int",
            "ALTER TABLE shop.line DISABLE TRIGGER migrator_capture_insert",
            "ALTER TABLE shop.line ENABLE ALWAYS TRIGGER migrator_capture_insert",
        )
        with pytest.raises(NoGo, match="capture's triggers were changed"):
            await adopted(shop)

    assert "more" not in columns_of(shop.limitless, "shop.purchase")


async def test_writers_wait_no_longer_than_allowed(shop: Shop) -> None:
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.classic.execute("CREATE TABLE shop.note (id bigint PRIMARY KEY, tenant_id bigint NOT NULL)")
        shop.classic.execute("INSERT INTO shop.note SELECT g, 1 + g % 12 FROM generate_series(1, 100000) g")
        with work(shop) as w, pytest.raises(NoGo, match="takes longer than") as refusal:
            await asyncio.to_thread(adopt, w, 0.05)
        assert "--write-pause" in refusal.value.hint
        assert "shop.note" not in {t.qualified for t in captured_tables(shop.classic).values()}
        await adopted(shop)
        await shop.caught_up()
        report = await validate(shop.classic_dsn, shop.limitless_dsn)

    assert report.clean
    assert shop.limitless.execute("SELECT count(*) FROM shop.note").fetchone() == (100000,)


async def test_all_partitions_are_one_pause(shop: Shop) -> None:
    """What writers may wait for bounds the keys of all partitions together, however little each takes."""
    await shop.start()
    async with shop.mirrors():
        await applied(
            shop,
            "CREATE TABLE shop.event (id bigint, tenant_id bigint NOT NULL, PRIMARY KEY (tenant_id, id))"
            " PARTITION BY RANGE (id)",
        )
    for n in range(4):
        shop.classic.execute(
            f"CREATE TABLE shop.event_{n} PARTITION OF shop.event FOR VALUES FROM ({n}) TO ({n + 1})".encode()
        )
    [(number, event)] = [(n, t) for n, t in captured_tables(shop.classic).items() if t.qualified == "shop.event"]
    with shop.classic.transaction(force_rollback=True):
        shop.classic.execute("SELECT set_config('migrator.ddl', 'capture', true)")
        shop.classic.execute(
            f"CREATE OR REPLACE FUNCTION migrator.capture_{number}_leaf(leaf regclass) RETURNS void LANGUAGE plpgsql"
            " AS 'BEGIN PERFORM pg_sleep(0.4); END'".encode()
        )
        shop.classic.execute("SET LOCAL statement_timeout = '1s'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            journal_every_key(shop.classic, event)


async def test_a_partition_attached_past_the_guard_comes_with_its_rows(shop: Shop) -> None:
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await applied(
            shop,
            "CREATE TABLE shop.event (id bigint, tenant_id bigint NOT NULL, PRIMARY KEY (tenant_id, id))"
            " PARTITION BY RANGE (id)",
        )
        shop.classic.execute("CREATE TABLE shop.event_0 PARTITION OF shop.event FOR VALUES FROM (0) TO (100)")
        shop.classic.execute("INSERT INTO shop.event SELECT g, 1 + g % 12 FROM generate_series(1, 40) g")
        await shop.caught_up()
        await past_the_guard(
            shop,
            "CREATE TABLE shop.event_1 (LIKE shop.event INCLUDING ALL)",
            "INSERT INTO shop.event_1 SELECT g, 1 + g % 12 FROM generate_series(100, 140) g",
            "ALTER TABLE shop.event ATTACH PARTITION shop.event_1 FOR VALUES FROM (100) TO (200)",
            "ALTER TABLE shop.event DETACH PARTITION shop.event_0",
        )
        done = await adopted(shop)
        await shop.caught_up()

    assert done.left == tuple(one for one in done.left if one.subject == "table shop.event_0")  # a table by itself now
    assert shop.limitless.execute("SELECT min(id), max(id), count(*) FROM shop.event").fetchone() == (100, 140, 41)
    assert problems(shop.classic) == []


async def test_not_beside_a_schema_change_that_is_not_finished(shop: Shop) -> None:
    await shop.start()
    shop.classic.execute(
        "INSERT INTO migrator.schema_change (kind, table_name, name, words, body, changed_by) VALUES ('drop index',"
        ' \'shop.line\', \'x\', \'drop index x\', \'{"kind": "drop index", "table": "shop.line", "schema": "shop",'
        ' "name": "x", "words": "drop index x"}\', \'tester\')'
    )
    with pytest.raises(PreconditionFailed, match="drop index x"):
        await adopted(shop)

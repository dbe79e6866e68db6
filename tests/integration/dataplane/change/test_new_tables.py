"""New tables, types, values and sequences come to both sides while rows flow."""

from __future__ import annotations

import asyncio
import secrets
import threading

import psycopg
import pytest

from migrator.consistency.run import validate
from migrator.control.tables import captured_tables
from migrator.control.watch import problems
from migrator.dataplane.change.create import exists
from migrator.dataplane.change.kinds import Kind
from migrator.errors import NoGo
from migrator.inventory.look import look
from migrator.model.divergence import ValidationReport
from migrator.provision.apply import finalize, provision, verify
from tests.fixtures.shop import Shop, new_shop
from tests.fixtures.waiting import TIMEOUT_S
from tests.integration.dataplane.change import new_tables
from tests.integration.dataplane.change.helpers import applied, differences
from tests.integration.dataplane.test_equality import Writers

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]


async def test_new_tables_are_captured_from_birth_while_everything_runs(shop: Shop) -> None:
    """Written from their first moment on, beside a copy and validation; nothing of them is ever copied."""
    await shop.start()
    with Writers(shop.classic_dsn, 5, 1) as writers, new_tables.Traffic(shop.classic_dsn) as traffic:
        async with shop.mirrors():
            copying = asyncio.create_task(shop.copy_all(120))
            change = asyncio.create_task(applied(shop, new_tables.FILE, timeout_s=60))
            during = await validate(shop.classic_dsn, shop.limitless_dsn)
            done = await change
            await copying
            report = await validate(shop.classic_dsn, shop.limitless_dsn)
            traffic.stop.set()
            traffic.join()
            writers.stop.set()
            for thread in writers.threads:
                await asyncio.to_thread(thread.join)
            again = await applied(shop, new_tables.FILE)
            await shop.caught_up()
            last = await validate(shop.classic_dsn, shop.limitless_dsn)

    assert len(done.finished) == 11
    assert again.finished == ()
    assert during.divergent_rows == report.divergent_rows == last.divergent_rows == 0
    assert {v.tenant_id is None: v.tables for v in last.tenants} == {True: 2, False: 7}  # with the new ones
    assert all(traffic.written.values()), traffic.written
    assert new_tables.differences(shop) == {}
    assert differences(shop) == {}
    tables = list(captured_tables(shop.classic).values())
    assert set(new_tables.TABLES) <= {t.qualified for t in tables}
    assert verify(shop.classic, shop.limitless, tables, shop.plan).blockers == ()
    assert problems(shop.classic) == []
    assert look(shop.classic) == look(shop.classic, shop.limitless) == ()


async def test_a_tenant_that_only_a_new_table_has_is_copied_and_follows(shop: Shop) -> None:
    """Somebody who signs up with the first row of a new table is a tenant like any other."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await applied(shop, "CREATE TABLE shop.note (id bigint PRIMARY KEY, tenant_id bigint NOT NULL)")
        shop.classic.execute("INSERT INTO shop.note VALUES (1, 77), (2, 1)")
        await shop.copy_all()
        shop.classic.execute("UPDATE shop.note SET tenant_id = 78 WHERE id = 2")
        await shop.copy_all()
        await shop.caught_up()

    rows = shop.limitless.execute("SELECT id, tenant_id FROM shop.note ORDER BY id").fetchall()
    assert rows == [(1, 77), (2, 78)]


async def test_validation_covers_a_new_table(shop: Shop) -> None:
    """Also one that comes between two fences of a run: no verdict leaves it out."""
    await shop.start()
    applied_at: list[int] = []

    def after_the_first_fence(done: int, _: int) -> None:
        if not applied_at:
            applied_at.append(done)
            go.set()
            assert made.wait(TIMEOUT_S)

    go, made = threading.Event(), threading.Event()

    async def change() -> None:
        await asyncio.to_thread(go.wait, TIMEOUT_S)
        await applied(shop, "CREATE TABLE shop.note (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, body text)")
        shop.classic.execute("INSERT INTO shop.note SELECT g, g, 'as written' FROM generate_series(1, 12) g")
        await shop.caught_up()
        shop.limitless.execute("UPDATE shop.note SET body = 'as damaged'")
        made.set()

    def run() -> ValidationReport:
        return asyncio.run(
            validate(
                shop.classic_dsn, shop.limitless_dsn, tenants_per_fence=6, rest=False, on_progress=after_the_first_fence
            )
        )

    async with shop.mirrors():
        await shop.copy_all()
        report, _ = await asyncio.gather(asyncio.to_thread(run), change())

    assert {(d.table, d.columns) for d in report.sample} == {("shop.note", ("body",))}
    assert report.divergent_rows == 12 - applied_at[0]


async def test_the_first_reference_table(classic_dsn: str, limitless_dsn: str) -> None:
    """Nobody copied reference tables before; the mirror of those takes the new one up all the same."""
    with new_shop(classic_dsn, limitless_dsn, without_reference=True) as shop:
        await shop.start()
        async with shop.mirrors():
            await shop.copy_all()
            await applied(shop, "-- migrator: kind = reference\nCREATE TABLE shop.country (code text PRIMARY KEY)")
            shop.classic.execute("INSERT INTO shop.country VALUES ('FR')")
            await shop.copy_all()
            shop.classic.execute("INSERT INTO shop.country VALUES ('IT')")
            await shop.caught_up()
            report = await validate(shop.classic_dsn, shop.limitless_dsn)

        assert shop.limitless.execute("SELECT code FROM shop.country ORDER BY 1").fetchall() == [("FR",), ("IT",)]
        assert report.clean


async def test_what_is_made_belongs_to_who_owns_the_other_tables(shop: Shop) -> None:
    """With their default privileges, on both sides; the application may use it at once."""
    owner, app = (f"{role}_{secrets.token_hex(4)}" for role in ("shop_owner", "shop_app"))
    shop.classic.execute(f"CREATE ROLE {owner}; CREATE ROLE {app}; GRANT ALL ON SCHEMA shop TO {owner}")
    for table in shop.tables:
        shop.classic.execute(f"ALTER TABLE {table.qualified} OWNER TO {owner}")
    shop.classic.execute(
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA shop GRANT SELECT, INSERT ON TABLES TO {app}"
    )
    provision(shop.classic, shop.limitless, shop.tables, shop.plan)
    await shop.start()
    async with shop.mirrors():
        await applied(shop, "CREATE TABLE shop.note (id bigserial PRIMARY KEY, tenant_id bigint NOT NULL)")

    for conn in (shop.classic, shop.limitless):
        row = conn.execute(
            "SELECT has_table_privilege(%(app)s, 'shop.note', 'INSERT'),"
            " has_table_privilege(%(owner)s, 'shop.note', 'DELETE'),"
            " has_table_privilege(%(app)s, 'shop.note', 'DELETE')",
            {"app": app, "owner": owner},
        ).fetchone()
        assert row == (True, True, False)
    assert shop.classic.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'note'").fetchone() == (owner,)


async def test_a_parent_that_had_no_children_moves_with_them(shop: Shop) -> None:
    """Its triggers did not look at old rows before. Also without a foreign key, and through two levels."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await applied(
            shop,
            "CREATE TABLE shop.folder (id bigint PRIMARY KEY, tenant_id bigint NOT NULL);"
            "\n-- migrator: via = folder_id -> shop.folder.id\n"
            "CREATE TABLE shop.file (id bigint PRIMARY KEY, folder_id bigint NOT NULL);"
            "\n-- migrator: via = file_id -> shop.file.id\n"
            "CREATE TABLE shop.page (id bigint PRIMARY KEY, file_id bigint NOT NULL REFERENCES shop.file)",
        )
        shop.classic.execute(
            "INSERT INTO shop.folder SELECT g, g FROM generate_series(1, 12) g;"
            "INSERT INTO shop.file SELECT g, g FROM generate_series(1, 12) g;"
            "INSERT INTO shop.page SELECT g, g FROM generate_series(1, 12) g"
        )
        await shop.caught_up()
        shop.classic.execute("UPDATE shop.folder SET tenant_id = 13 - tenant_id")
        shop.classic.execute("DELETE FROM shop.folder WHERE id = 3")
        shop.classic.execute("INSERT INTO shop.folder VALUES (3, 5)")
        await shop.caught_up()

    wanted = [(g, 5 if g == 3 else 13 - g) for g in range(1, 13)]
    for table in ("folder", "file", "page"):
        assert shop.limitless.execute(f"SELECT id, tenant_id FROM shop.{table} ORDER BY id").fetchall() == wanted
    assert problems(shop.classic) == []


async def test_a_partitioned_table(shop: Shop) -> None:
    """The table is made by the command, its partitions by the application, and both are captured."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await applied(
            shop,
            "CREATE TABLE shop.event (id bigint, tenant_id bigint NOT NULL, PRIMARY KEY (tenant_id, id))"
            " PARTITION BY RANGE (id)",
        )
        shop.classic.execute("CREATE TABLE shop.event_1 PARTITION OF shop.event FOR VALUES FROM (0) TO (100)")
        shop.classic.execute("INSERT INTO shop.event VALUES (1, 1); INSERT INTO shop.event_1 VALUES (2, 2)")
        await shop.caught_up()

    assert shop.limitless.execute("SELECT id, tenant_id FROM shop.event ORDER BY 1").fetchall() == [(1, 1), (2, 2)]
    assert problems(shop.classic) == []
    assert look(shop.classic, shop.limitless) == ()


REFUSED = """
CREATE TABLE shop.a (id bigint PRIMARY KEY);
CREATE TABLE shop.b (tenant_id bigint NOT NULL, id bigint);
CREATE UNLOGGED TABLE shop.c (tenant_id bigint, id bigint PRIMARY KEY);
CREATE TABLE shop.d (LIKE shop.purchase);
CREATE TABLE shop.e (tenant_id bigint, id bigint PRIMARY KEY, u int UNIQUE);
CREATE TABLE elsewhere.f (tenant_id bigint, id bigint PRIMARY KEY);
-- migrator: via = x_id -> shop.nothing.id
CREATE TABLE shop.g (x_id bigint, id bigint PRIMARY KEY);
-- migrator: color = red
-- migrator: kind = sharded
CREATE SEQUENCE shop.h CYCLE;
CREATE TABLE shop.purchase (tenant_id bigint PRIMARY KEY);
ALTER TYPE shop.mood RENAME VALUE 'ok' TO 'fine';
ALTER TYPE shop.mood ADD VALUE 'odd' AFTER 'no such';
ALTER TYPE shop.mood ADD VALUE 'sad';
CREATE TABLE shop.i (tenant_id bigint, id bigint PRIMARY KEY, m shop.no_such_type);
CREATE TABLE shop.fine (tenant_id bigint, id bigint PRIMARY KEY);
"""


async def test_refused_as_a_whole_before_anything_is_touched(shop: Shop) -> None:
    await shop.start()

    with pytest.raises(NoGo) as refusal:
        await applied(shop, REFUSED)

    for number, words in (
        (1, "-- migrator: kind = reference"),
        (2, "no primary key"),
        (3, "UNLOGGED"),
        (4, "instead of LIKE"),
        (5, "lacks the tenant key"),
        (6, "the schema is not migrated"),
        (7, "no table shop.nothing"),
        (8, "color"),
        (8, "stand before CREATE TABLE"),
        (9, "classic has it already"),
        (10, "renamed"),
        (11, "no value 'no such'"),
        (12, "both sides have this value"),
        (13, "no_such_type"),
    ):
        assert any(b.startswith(f"statement {number}:") and words in b for b in refusal.value.blockers), (
            words,
            refusal.value.blockers,
        )
    for conn in (shop.limitless, shop.classic):
        assert not exists(conn, Kind.CREATE_TABLE, "shop", "fine")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("CREATE TABLE shop.x (tenant_id bigint, id bigint PRIMARY KEY REFERENCES shop.line (sku))", "foreign key"),
        ("CREATE TABLE shop.there (tenant_id bigint, id bigint PRIMARY KEY)", "Limitless has"),
        ("CREATE TABLE shop.x (tenant_id bigint, id bigint PRIMARY KEY, t shop.only_here)", "only_here"),
        ("CREATE TABLE shop.behind (tenant_id bigint, id bigint PRIMARY KEY)", "not captured"),
    ],
)
async def test_what_only_a_server_can_know(shop: Shop, text: str, words: str) -> None:
    await shop.start()
    shop.classic.execute("CREATE TYPE shop.only_here AS ENUM ('a'); CREATE TABLE shop.behind (id int)")
    shop.limitless.execute("CREATE TABLE shop.there (id int)")
    shop.limitless.execute("INSERT INTO shop.there VALUES (1)")

    with pytest.raises(NoGo) as refusal:
        await applied(shop, text)

    assert words in "\n".join(refusal.value.blockers)
    for conn in (shop.limitless, shop.classic):
        assert not exists(conn, Kind.CREATE_TABLE, "shop", "x")


async def test_classic_changes_its_mind(shop: Shop) -> None:
    """What classic refuses after Limitless made it is taken back there, and holds up no other file."""
    await shop.start()

    def watch(step: str, moment: str) -> None:
        if (step, moment) == ("make_on_limitless", "done"):
            with psycopg.connect(shop.classic_dsn, autocommit=True) as conn:
                conn.execute("CREATE TABLE shop.note (id int)")

    async with shop.mirrors():
        with pytest.raises(NoGo, match="classic refuses it"):
            await applied(
                shop, "CREATE TABLE shop.note (id bigserial PRIMARY KEY, tenant_id bigint NOT NULL)", watch=watch
            )
        assert not exists(shop.limitless, Kind.CREATE_TABLE, "shop", "note")
        assert not exists(shop.limitless, Kind.CREATE_SEQUENCE, "shop", "note_id_seq")
        done = await applied(shop, "ALTER TABLE shop.purchase ADD COLUMN a int")

    assert len(done.finished) == 1


async def test_not_while_writes_are_closed(shop: Shop) -> None:
    await shop.start()
    shop.classic.execute("UPDATE migrator.switch SET write_mode = 'closed', epoch = epoch + 1")

    with pytest.raises(NoGo) as refusal:
        await applied(shop, "CREATE TABLE shop.note (id bigint PRIMARY KEY, tenant_id bigint NOT NULL)")

    assert any("the write mode is closed" in b for b in refusal.value.blockers)


async def test_foreign_keys_follow_those_of_the_other_tables(shop: Shop) -> None:
    """Once Limitless has the others' foreign keys, it has the new table's too, and parents and children still fit."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        assert finalize(shop.classic, shop.limitless, shop.tables, shop.plan).verdict.go
        await applied(
            shop,
            "CREATE TABLE shop.bill (id bigint PRIMARY KEY, tenant_id bigint NOT NULL,"
            " purchase_id bigint REFERENCES shop.purchase ON DELETE CASCADE)",
        )
        shop.classic.execute(
            "INSERT INTO shop.purchase (id, tenant_id, slot) VALUES (9001, 1, 9001); INSERT INTO shop.bill"
            " VALUES (1, 1, 9001), (2, 1, 3)"
        )
        shop.classic.execute("DELETE FROM shop.purchase WHERE id = 9001")
        await shop.caught_up()

    assert shop.limitless.execute("SELECT id FROM shop.bill").fetchall() == [(2,)]
    tables = list(captured_tables(shop.classic).values())
    assert verify(shop.classic, shop.limitless, tables, shop.plan, stage="mirrored").blockers == ()

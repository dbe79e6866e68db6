"""Migrations of a team's own tool go to both sides, each one once, and the tool is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from migrator.dataplane.change.inspect import columns_of
from migrator.dataplane.change.migrations import Outcome, apply_migrations, done_before, look, mark_done
from migrator.dataplane.change.progress import Moment
from migrator.errors import ClusterUnavailable, NoGo, UsageError
from migrator.scripts.collect import collect
from tests.fixtures.shop import Shop
from tests.integration.dataplane.change.helpers import differences, work

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

ADD = "ALTER TABLE shop.purchase ADD COLUMN {} int;\n"
LAST = "COMMENT ON TABLE shop.purchase IS '{}';\n"


async def migrated(shop: Shop, *paths: Path, tables: tuple[str, ...] = (), **more: Any) -> Outcome:
    """Apply folders or files in a thread: the mirrors it waits for live in this loop."""

    def go() -> Outcome:
        with work(shop, **more) as w:
            return apply_migrations(w, collect(paths, tables=tables).migrations, tables)

    return await asyncio.to_thread(go)


async def printed(shop: Shop, text: str, tables: tuple[str, ...] = (), **more: Any) -> Outcome:
    """Apply what a tool printed."""

    def go() -> Outcome:
        with work(shop, **more) as w:
            return apply_migrations(w, collect([Path("-")], text, tables).migrations, tables)

    return await asyncio.to_thread(go)


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def has(shop: Shop, *columns: str) -> list[tuple[bool, bool]]:
    """Whether classic, and Limitless, have each of these columns of shop.purchase."""
    sides = [columns_of(conn, "shop.purchase") for conn in (shop.classic, shop.limitless)]
    return [(name in sides[0], name in sides[1]) for name in columns]


def rows(shop: Shop, query: str) -> list[tuple[Any, ...]]:
    return shop.classic.execute(query).fetchall()


def states(outcome: Outcome) -> list[str]:
    return [state for _, state in outcome.migrations]


# Of each tool: its table as it makes it, with the first migration noted; the folder; what its table then holds.
FLYWAY = """CREATE TABLE {s}.flyway_schema_history (installed_rank int PRIMARY KEY, version varchar(50),
 description varchar(200) NOT NULL, type varchar(20) NOT NULL, script varchar(1000) NOT NULL, checksum int,
 installed_by varchar(100) NOT NULL, installed_on timestamp NOT NULL DEFAULT now(), execution_time int NOT NULL,
 success boolean NOT NULL);
 INSERT INTO {s}.flyway_schema_history VALUES
 (1, '1', '<< Flyway Baseline >>', 'BASELINE', '<< Flyway Baseline >>', NULL, 'me', now(), 0, true)"""
TOOLS: dict[str, tuple[str, Callable[[str], dict[str, str]], str, list[tuple[Any, ...]]]] = {
    "Flyway": (
        FLYWAY,
        lambda c: {
            "V1__begin.sql": "CREATE TABLE shop.old (id int);",
            "U2__back.sql": "DROP TABLE shop.purchase;",
            "V10.1__last.sql": LAST.format(c),
            "V2__note_it.sql": ADD.format(c),
            "beforeMigrate.sql": "SELECT nothing()",
        },
        "SELECT version, description, script, success FROM {s}.flyway_schema_history ORDER BY installed_rank OFFSET 1",
        [("2", "note it", "V2__note_it.sql", True), ("10.1", "last", "V10.1__last.sql", True)],
    ),
    "goose": (
        """CREATE TABLE {s}.goose_db_version (id serial PRIMARY KEY, version_id bigint NOT NULL,
           is_applied boolean NOT NULL, tstamp timestamp DEFAULT now());
           INSERT INTO {s}.goose_db_version (version_id, is_applied) VALUES (0, true), (1, true)""",
        lambda c: {
            "00001_begin.sql": "-- +goose Up\nCREATE TABLE shop.old (id int);\n-- +goose Down\nDROP TABLE shop.old;",
            "00002_a.sql": f"-- +goose Up\n{ADD.format(c)}-- +goose Down\nDROP TABLE shop.purchase;",
            "00010_b.sql": f"-- +goose NO TRANSACTION\n-- +goose Up\n{LAST.format(c)}",
            "embed.go": "package migrations",
        },
        "SELECT version_id, is_applied FROM {s}.goose_db_version WHERE version_id > 1 ORDER BY id",
        [(2, True), (10, True)],
    ),
    "golang-migrate": (
        """CREATE TABLE {s}.schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);
           INSERT INTO {s}.schema_migrations VALUES (1, false)""",
        lambda c: {
            "1_begin.up.sql": "CREATE TABLE shop.old (id int);",
            "2_a.up.sql": ADD.format(c),
            "2_a.down.sql": "DROP TABLE shop.purchase;",
            "10_b.up.sql": LAST.format(c),
        },
        "SELECT version, dirty FROM {s}.schema_migrations",
        [(10, False)],
    ),
    "dbmate": (
        """CREATE TABLE {s}.schema_migrations (version varchar(128) PRIMARY KEY);
           INSERT INTO {s}.schema_migrations VALUES ('20240101')""",
        lambda c: {
            "20240101_begin.sql": "-- migrate:up\nCREATE TABLE shop.old (id int);\n-- migrate:down\n",
            "20240102_a.sql": f"-- migrate:up\n{ADD.format(c)}\n-- migrate:down\nDROP TABLE shop.purchase;",
            "20240103_b.sql": f"-- migrate:up transaction:false\n{LAST.format(c)}\n-- migrate:down\n",
        },
        "SELECT version FROM {s}.schema_migrations ORDER BY version",
        [("20240101",), ("20240102",), ("20240103",)],
    ),
    "sql-migrate": (
        """CREATE TABLE {s}.gorp_migrations (id text PRIMARY KEY, applied_at timestamptz);
           INSERT INTO {s}.gorp_migrations VALUES ('1-begin.sql', now())""",
        lambda c: {
            "1-begin.sql": "-- +migrate Up\nCREATE TABLE shop.old (id int);\n-- +migrate Down\nDROP TABLE shop.old;",
            "2-a.sql": f"-- +migrate Up\n{ADD.format(c)}-- +migrate Down\nDROP TABLE shop.purchase;",
            "10-b.sql": f"-- +migrate Up notransaction\n{LAST.format(c)}",
        },
        "SELECT id FROM {s}.gorp_migrations ORDER BY applied_at",
        [("1-begin.sql",), ("2-a.sql",), ("10-b.sql",)],
    ),
    "Prisma": (
        """CREATE TABLE {s}._prisma_migrations (id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL,
           finished_at timestamptz, migration_name varchar(255) NOT NULL, logs text, rolled_back_at timestamptz,
           started_at timestamptz NOT NULL DEFAULT now(), applied_steps_count int NOT NULL DEFAULT 0);
           INSERT INTO {s}._prisma_migrations (id, checksum, finished_at, migration_name)
           VALUES ('a', encode(sha256('CREATE TABLE shop.old (id int);'), 'hex'), now(), '1_begin')""",
        lambda c: {
            "1_begin/migration.sql": "CREATE TABLE shop.old (id int);",
            "2_a/migration.sql": ADD.format(c),
            "3_b/migration.sql": LAST.format(c),
            "migration_lock.toml": 'provider = "postgresql"',
        },
        "SELECT migration_name, applied_steps_count FROM {s}._prisma_migrations ORDER BY started_at OFFSET 1",
        [("2_a", 1), ("3_b", 1)],
    ),
    "sqlx": (
        """CREATE TABLE {s}._sqlx_migrations (version bigint PRIMARY KEY, description text NOT NULL,
           installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL, checksum bytea NOT NULL,
           execution_time bigint NOT NULL);
           INSERT INTO {s}._sqlx_migrations VALUES (1, 'begin', now(), true, sha384('CREATE TABLE shop.old ();'), 1)""",
        lambda c: {
            "1_begin.sql": "CREATE TABLE shop.old ();",
            "2_more_of_it.up.sql": ADD.format(c),
            "2_more_of_it.down.sql": "DROP TABLE shop.purchase;",
            "3_b.sql": LAST.format(c),
        },
        "SELECT version, description, octet_length(checksum) FROM {s}._sqlx_migrations ORDER BY version OFFSET 1",
        [(2, "more of it", 48), (3, "b", 48)],
    ),
    "Diesel": (
        """CREATE TABLE {s}.__diesel_schema_migrations (version varchar(50) PRIMARY KEY,
           run_on timestamp NOT NULL DEFAULT now());
           INSERT INTO {s}.__diesel_schema_migrations VALUES ('20240101000000')""",
        lambda c: {
            "2024-01-01-000000_begin/up.sql": "CREATE TABLE shop.old (id int);",
            "2024-01-02-000000_a/up.sql": ADD.format(c),
            "2024-01-02-000000_a/down.sql": "DROP TABLE shop.purchase;",
            "2024-01-03-000000_b/up.sql": LAST.format(c),
        },
        "SELECT version FROM {s}.__diesel_schema_migrations ORDER BY version OFFSET 1",
        [("20240102000000",), ("20240103000000",)],
    ),
    "node-pg-migrate": (
        """CREATE TABLE {s}.pgmigrations (id serial PRIMARY KEY, name varchar(255) NOT NULL, run_on timestamp NOT NULL);
           INSERT INTO {s}.pgmigrations (name, run_on) VALUES ('1_begin', now())""",
        lambda c: {
            "1_begin.sql": "-- Up Migration\nCREATE TABLE shop.old (id int);\n-- Down Migration\nDROP TABLE shop.old;",
            "2_a.sql": f"-- Up Migration\n{ADD.format(c)}-- Down Migration\nDROP TABLE shop.purchase;",
            "3_b.sql": f"-- Up Migration\n{LAST.format(c)}",
        },
        "SELECT name FROM {s}.pgmigrations ORDER BY id OFFSET 1",
        [("2_a",), ("3_b",)],
    ),
    "Liquibase": (
        """CREATE TABLE {s}.databasechangelog (id varchar(255) NOT NULL, author varchar(255) NOT NULL,
           filename varchar(255) NOT NULL, dateexecuted timestamp NOT NULL, orderexecuted int NOT NULL,
           exectype varchar(10) NOT NULL, md5sum varchar(35), description varchar(255), comments varchar(255),
           tag varchar(255), liquibase varchar(20), contexts varchar(255), labels varchar(255),
           deployment_id varchar(10));
           INSERT INTO {s}.databasechangelog (id, author, filename, dateexecuted, orderexecuted, exectype)
           VALUES ('1', 'jo', 'db/log/one.sql', now(), 7, 'EXECUTED')""",
        lambda c: {
            "one.sql": "--liquibase formatted sql\n--changeset jo:1\nCREATE TABLE shop.old (id int);\n"
            f"--changeset jo:raw-2 dbms:postgresql\n{ADD.format(c)}--rollback DROP TABLE shop.purchase;\n"
            "--changeset jo:3 dbms:mysql\nALTER TABLE `x` ENGINE=innodb;\n",
            "two.sql": f'--liquibase formatted sql\n--changeset "jo b":"4 c"\n{LAST.format(c)}',
        },
        "SELECT id, author, filename, orderexecuted FROM {s}.databasechangelog ORDER BY orderexecuted OFFSET 1",
        [("raw-2", "jo", "db/log/one.sql", 8), ("4 c", "jo b", "db/log/two.sql", 9)],
    ),
}


async def test_a_folder_of_each_tool(shop: Shop, tmp_path: Path) -> None:
    """What its table says is done is left alone, the rest comes in its order, and is noted as the tool does."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        for number, (tool, (table, files, query, expected)) in enumerate(TOOLS.items()):
            schema = ("public", "shop")[number % 2]
            folder = write(tmp_path / tool, files(f"c{number}"))
            shop.classic.execute(table.format(s=schema))

            first = await migrated(shop, folder)
            again = await migrated(shop, folder)

            assert states(first) == ["done before", "applied", "applied"], tool
            assert has(shop, f"c{number}") == [(True, True)], tool
            assert rows(shop, "SELECT obj_description('shop.purchase'::regclass)") == [(f"c{number}",)], tool
            assert rows(shop, query.format(s=schema)) == expected, tool
            assert states(again) == ["done before"] * 3, tool
            assert rows(shop, query.format(s=schema)) == expected, tool
            name = table.split()[2].format(s=schema)
            shop.classic.execute(f"DROP TABLE {name}")  # the next may call its own so
        await shop.caught_up()
    assert differences(shop) == {}


ALEMBIC = """BEGIN;

-- Running upgrade  -> 1975ea83b712

ALTER TABLE shop.purchase ADD COLUMN a INTEGER;

INSERT INTO alembic_version (version_num) VALUES ('1975ea83b712') RETURNING alembic_version.version_num;

-- Running upgrade 1975ea83b712 -> ae1027a6acf

ALTER TABLE purchase ADD COLUMN b INTEGER DEFAULT 7;

UPDATE alembic_version SET version_num='ae1027a6acf' WHERE alembic_version.version_num = '1975ea83b712';

COMMIT;
"""
ALEMBIC_LATER = """-- Running upgrade ae1027a6acf -> later
ALTER TABLE purchase ADD COLUMN c INTEGER;
UPDATE alembic_version SET version_num='later' WHERE alembic_version.version_num = 'ae1027a6acf';
"""


async def test_what_alembic_prints_goes_on_where_it_was_killed(shop: Shop) -> None:
    """Each revision is noted after its changes, in one transaction with the record of it, and only once."""
    await shop.start()
    shop.classic.execute("CREATE TABLE public.alembic_version (version_num varchar(32) PRIMARY KEY)")
    version = "SELECT version_num FROM public.alembic_version"

    def killed(step: str, moment: Moment) -> None:
        if (step, moment) == ("note", "begin") and rows(shop, version):
            raise KeyboardInterrupt

    async with shop.mirrors():
        await shop.copy_all()
        with pytest.raises(KeyboardInterrupt):
            await printed(shop, ALEMBIC, watch=killed)
        assert (has(shop, "a", "b"), rows(shop, version)) == ([(True, True)] * 2, [("1975ea83b712",)])

        second = await printed(shop, ALEMBIC)
        third = await printed(shop, ALEMBIC)
        later = await printed(shop, ALEMBIC_LATER)
        await shop.caught_up()

    assert (states(second), second.finished) == (["done before", "applied"], ())
    assert states(third) == ["done before"] * 2
    assert (states(later), has(shop, "c")) == (["applied"], [(True, True)]), "another print is no change of this one"
    assert rows(shop, version) == [("later",)]
    assert differences(shop) == {}


async def test_a_tool_that_stands_elsewhere_is_noticed_before_anything_is_changed(shop: Shop) -> None:
    """Its table does not hold the revision that what it printed begins with."""
    await shop.start()
    shop.classic.execute("CREATE TABLE public.alembic_version (version_num varchar(32) PRIMARY KEY)")
    behind = ALEMBIC[ALEMBIC.index("-- Running upgrade 1975") :]

    with pytest.raises(NoGo) as refused:
        await printed(shop, behind)

    assert refused.value.blockers == (
        "stdin:5:1: alembic_version does not hold what it expects, so it changes nothing",
    )
    assert has(shop, "b") == [(False, False)]


async def test_statements_of_the_tool_hide_no_other(shop: Shop) -> None:
    """One that writes another table as well, or calls a function, is no note."""
    await shop.start()
    shop.classic.execute("CREATE TABLE public.schema_migrations (version varchar PRIMARY KEY)")
    hidden = "WITH g AS (DELETE FROM shop.line RETURNING 1) INSERT INTO schema_migrations SELECT '7' FROM g LIMIT 1;"
    lines = rows(shop, "SELECT count(*) FROM shop.line")

    with pytest.raises(NoGo):
        await printed(shop, hidden)

    assert rows(shop, "SELECT count(*) FROM shop.line") == lines
    assert rows(shop, "SELECT * FROM public.schema_migrations") == []


async def test_a_migration_that_changed_after_it_was_done_is_named(shop: Shop, tmp_path: Path) -> None:
    """Nothing of the folder is applied, until it is said that both sides are as it says now."""
    await shop.start()
    folder = write(tmp_path / "db", {"1_a.sql": ADD.format("a"), "2_b.sql": "-- said\n" + ADD.format("b")})
    async with shop.mirrors():
        await migrated(shop, folder)
        write(folder, {"1_a.sql": ADD.format("z"), "2_b.sql": "\n" + ADD.format("b"), "3_c.sql": ADD.format("c")})
        with pytest.raises(NoGo) as refused:
            await migrated(shop, folder)
        assert has(shop, "c", "z") == [(False, False)] * 2
        with work(shop) as w:
            told = await asyncio.to_thread(mark_done, w, collect([folder]).migrations, "1_a.sql")
        then = await migrated(shop, folder)

    [blocker] = refused.value.blockers
    assert "1_a.sql:1:1: it is done since" in blocker and "has changed since" in blocker
    assert [Path(name).name for name in told] == ["1_a.sql"]
    assert states(then) == ["done before", "done before", "applied"]
    assert has(shop, "c", "z") == [(True, True), (False, False)]


async def test_the_tool_has_to_have_its_table(shop: Shop) -> None:
    """It is looked for in the migrated schemas and in public, or where the operator says; it is not made."""
    await shop.start()
    shop.classic.execute("CREATE SCHEMA meta")
    text = "CREATE TABLE alembic_version (version_num text);\n" + ALEMBIC[ALEMBIC.index("-- Running") :]

    with pytest.raises(NoGo, match="classic has no table alembic_version in shop or public"):
        await printed(shop, text)
    assert has(shop, "a", "b") == [(False, False)] * 2

    shop.classic.execute("CREATE TABLE meta.alembic_version (version_num varchar(32) PRIMARY KEY)")
    async with shop.mirrors():
        await printed(shop, text, tables=("meta.alembic_version",))
    assert rows(shop, "SELECT version_num FROM meta.alembic_version") == [("ae1027a6acf",)]
    assert has(shop, "a", "b") == [(True, True)] * 2


async def test_a_folder_whose_past_no_table_tells(shop: Shop, tmp_path: Path) -> None:
    """What was there before dual write is told once; names of no migration are errors."""
    await shop.start()
    files = {"1_begin.sql": "CREATE TABLE shop.old (id int);", "2_b.sql": ADD.format("b")}
    migrations = collect([write(tmp_path / "db", files)]).migrations
    with work(shop) as w:
        with pytest.raises(UsageError, match="no migration is called 3_c"):
            mark_done(w, migrations, "3_c.sql")
        mark_done(w, migrations, "1_begin.sql")
    async with shop.mirrors():
        outcome = await migrated(shop, tmp_path / "db")
        elsewhere = write(tmp_path / "other place", files)
        again = await migrated(shop, elsewhere / "1_begin.sql", elsewhere / "2_b.sql")

    assert states(outcome) == ["done before", "applied"]
    assert states(again) == ["done before"] * 2, "a migration is known by its name and content, wherever it lies"


async def test_every_file_is_judged_before_the_first_is_applied(shop: Shop, tmp_path: Path) -> None:
    """With places; what a file needs of one before it is known."""
    await shop.start()
    folder = write(
        tmp_path / "db",
        {
            "V1__a.sql": "CREATE TABLE shop.parcel (tenant_id bigint, id bigint, PRIMARY KEY (tenant_id, id));",
            "V2__b.sql": "CREATE INDEX parcel_id ON shop.parcel (id);\n\n  CREATE TABLE shop.x AS SELECT 1;\n",
            "V3__c.rb": "add_column :x",
            "V4__d.sql": "ALTER TABLE shop.purchase\n  ADD COLUMN ${name} int;",
        },
    )

    with pytest.raises(NoGo) as refused:
        await migrated(shop, folder)

    where = [blocker.rpartition("/")[2].split(": ")[0] for blocker in refused.value.blockers]
    assert where == ["V2__b.sql:3:3", "V3__c.rb:1:1", "V4__d.sql:2:14"]
    assert "rails db:migrate" in refused.value.blockers[1]
    assert "placeholders such as ${name}" in refused.value.blockers[2]
    assert rows(shop, "SELECT to_regclass('shop.parcel')") == [(None,)]


async def test_what_both_sides_refuse_later_stops_there(shop: Shop, tmp_path: Path) -> None:
    """Those before it are done and said so; when it is corrected, the run goes on with it."""
    await shop.start()
    bad = "CREATE INDEX p_i ON shop.purchase (nothing_there);"
    folder = write(tmp_path / "db", {"1_a.sql": ADD.format("a"), "2_b.sql": bad, "3_c.sql": ADD.format("c")})
    async with shop.mirrors():
        with pytest.raises(NoGo, match="nothing_there") as refused:
            await migrated(shop, folder)
        assert "1 of 3 migrations are done" in refused.value.hint
        write(folder, {"2_b.sql": "CREATE INDEX p_i ON shop.purchase (a);"})
        then = await migrated(shop, folder)

    assert states(then) == ["done before", "applied", "applied"]
    with work(shop) as w:
        assert [Path(d.name).name for d in done_before(w.classic)] == ["1_a.sql", "2_b.sql", "3_c.sql"]


async def test_two_pipelines_do_not_run_at_once(shop: Shop, tmp_path: Path) -> None:
    """The second waits for the first, and finds it done; without patience it says to try again."""
    await shop.start()
    folder = write(tmp_path / "db", {"1_a.sql": ADD.format("a"), "2_b.sql": ADD.format("b")})
    held, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(step: str, moment: Moment) -> None:
        if (step, moment) == ("note", "begin"):
            loop.call_soon_threadsafe(held.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()

    async with shop.mirrors():
        first = asyncio.create_task(migrated(shop, folder, watch=hold))
        await held.wait()
        with pytest.raises(ClusterUnavailable, match="another schema change is still running"):
            await migrated(shop, folder, timeout_s=0.1)
        waits = asyncio.Event()
        second = asyncio.create_task(migrated(shop, folder, tell=lambda _: loop.call_soon_threadsafe(waits.set)))
        await waits.wait()
        go_on.set()
        done = [await first, await second]

    assert [states(outcome) for outcome in done] == [["applied"] * 2, ["done before"] * 2]


async def test_a_tool_that_left_something_half_done_is_asked_to_finish(shop: Shop, tmp_path: Path) -> None:
    await shop.start()
    shop.classic.execute("CREATE TABLE shop.schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL)")
    shop.classic.execute("INSERT INTO shop.schema_migrations VALUES (1, true)")
    folder = write(tmp_path / "db", {"1_a.up.sql": "SELECT 1;", "2_b.up.sql": ADD.format("b")})

    with pytest.raises(NoGo, match=r"golang-migrate's table shop\.schema_migrations: version 1 is dirty"):
        await migrated(shop, folder)

    assert has(shop, "b") == [(False, False)]


async def test_a_table_of_another_name_is_told_by_the_operator(shop: Shop, tmp_path: Path) -> None:
    """A tool may be configured so; quoted names, and a schema that is not migrated."""
    await shop.start()
    shop.classic.execute('CREATE SCHEMA "Ops"')
    table = '"Ops"."Goose runs"'
    shop.classic.execute(f"CREATE TABLE {table} (id serial, version_id bigint NOT NULL, is_applied boolean NOT NULL)")
    folder = write(tmp_path / "db", {"7_b.sql": "-- +goose Up\n" + ADD.format("b")})
    async with shop.mirrors():
        await migrated(shop, folder, tables=(table,))

    assert rows(shop, f"SELECT version_id, is_applied FROM {table}") == [(7, True)]
    with work(shop) as w:
        found, history = look(w, collect([folder]).migrations, (table,))
    assert [s.state for s in found] == ["done"]
    assert history is not None and history.words == "goose's table Ops.Goose runs"


async def test_what_flyway_repeats_is_done_again_when_it_changed(shop: Shop, tmp_path: Path) -> None:
    """Also when it changes back to what it was once."""
    await shop.start()
    shop.classic.execute(FLYWAY.format(s="public"))
    seen = []
    async with shop.mirrors():
        for number in (1, 1, 2, 1):
            text = f"CREATE OR REPLACE VIEW shop.v AS SELECT {number} AS n;"
            folder = write(tmp_path / "db", {"R__v.sql": text, "V2__a.sql": ADD.format("a")})
            outcome = await migrated(shop, folder)
            sides = [conn.execute("SELECT n FROM shop.v").fetchall() for conn in (shop.classic, shop.limitless)]
            seen.append((states(outcome), *sides))

    assert seen == [
        (["applied", "applied"], [(1,)], [(1,)]),
        (["done before", "done before"], [(1,)], [(1,)]),
        (["done before", "applied"], [(2,)], [(2,)]),
        (["done before", "applied"], [(1,)], [(1,)]),
    ]
    found = rows(shop, "SELECT version, description FROM public.flyway_schema_history ORDER BY installed_rank OFFSET 1")
    assert found == [("2", "a"), (None, "v"), (None, "v"), (None, "v")]

"""What files of migration tools hold, and what is said of those that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.dataplane.change.tool_table import flyway_checksum
from migrator.errors import UsageError
from migrator.grammar.parse import parse
from migrator.scripts.collect import collect
from migrator.scripts.migration import Migration, read_migrations

LIQUIBASE = "--liquibase formatted sql\n"
RAILS = """\
D, [2026-05-01T10:00:00.123456 #1] DEBUG -- :   \x1b[1m\x1b[35m (0.3ms)\x1b[0m  \x1b[1m\x1b[34mSELECT pg_try_advisory_lock(12)\x1b[0m
Migrating to AddNote (20260501100000)
== 20260501100000 AddNote: migrating ==========================================
-- add_column(:orders, :note, :text, {:default=>"a;b"})
  TRANSACTION (0.2ms)  BEGIN
   (1.4ms)  ALTER TABLE "orders" ADD "note" text DEFAULT 'a;b'
  ↳ db/migrate/20260501100000_add_note.rb:3:in `change'
   -> 0.0021s
-- execute("…")
D, [2026-05-01T10:00:00.223456 #1] DEBUG -- :    (1.1ms)  CREATE VIEW late AS
  SELECT * FROM "orders"
-- add_index(:orders, :note)
   (2.1ms)  CREATE INDEX "index_orders_on_note" ON "orders" ("note")
  ActiveRecord::SchemaMigration Create (0.6ms)  INSERT INTO "schema_migrations" ("version") VALUES ($1) RETURNING "version"  [["version", "20260501100000"]]
  TRANSACTION (0.9ms)  COMMIT
  ActiveRecord::InternalMetadata Update (0.4ms)  UPDATE "ar_internal_metadata" SET "value" = $1 WHERE "key" = $2  [["value", "test"], ["key", "environment"]]
"""  # noqa: E501


def texts(migration: Migration) -> list[str]:
    return [" ".join(s.text.split()) for s in parse(migration.text)]


def test_a_log_of_rails() -> None:
    """Statements with their values; what it reads, and what it notes about the environment it ran in, stay out."""
    [found] = read_migrations(RAILS, "stdin")

    assert texts(found) == [
        """ALTER TABLE "orders" ADD "note" text DEFAULT 'a;b'""",
        'CREATE VIEW late AS SELECT * FROM "orders"',
        'CREATE INDEX "index_orders_on_note" ON "orders" ("note")',
    ]
    assert [n.text for n in found.notes] == [
        """INSERT INTO "schema_migrations" ("version") VALUES ('20260501100000') RETURNING "version\""""
    ]
    assert found.notes[0].place.line == 14


def test_what_entity_framework_prints() -> None:
    note = "INSERT INTO \"__EFMigrationsHistory\" (\"MigrationId\", x)\nVALUES ('{}', '8.0.0');\nCOMMIT;\n\n"
    changes = ["ALTER TABLE orders ADD note text NULL", "CREATE INDEX i ON orders (note)"]
    text = "".join(f"START TRANSACTION;\n{change};\n\n{note.format(change[:5])}" for change in changes)

    first, second = read_migrations(text, "stdin")

    assert (texts(first), texts(second)) == (
        ["ALTER TABLE orders ADD note text NULL"],
        ["CREATE INDEX i ON orders (note)"],
    )
    assert [len(m.notes) for m in (first, second)] == [1, 1]
    assert first.digest != second.digest


@pytest.mark.parametrize(
    ("name", "text", "line", "said"),
    [
        ("1_a.sql", "SELECT 1;\n  CREATE TABL x;", 2, 'syntax error at or near "TABL"'),
        ("V1__a.sql", "ALTER TABLE ${schema}.t ADD a int;", 1, "placeholders such as ${schema}"),
        ("a.sql", "\\set x 1\nSELECT 1;", 1, "commands of psql"),
        ("a.sql", "SELECT 1;\n-- undo\nDROP TABLE t;", 2, "seems to begin the way back"),
        ("stdin", "-- Running downgrade b -> a\nDROP TABLE t;", 1, "Alembic printed a downgrade"),
        ("a.sql", f"{LIQUIBASE}--changeset a:1 context:test\nSELECT 1;", 2, "liquibase update-sql"),
        ("a.sql", f"{LIQUIBASE}\n--changeset a:1\n--preconditions onFail:WARN\nSELECT 1;", 3, "preconditions"),
        ("a.sql", f"{LIQUIBASE}--changeset nothing\nSELECT 1;", 2, "author:id"),
        ("a.sql", f"{LIQUIBASE}SELECT 1;", 1, "no changeset"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_why_and_where(name: str, text: str, line: int, said: str) -> None:
    [found] = read_migrations(text, name)

    [problem] = found.problems
    assert said in problem.text
    assert (problem.place.path, problem.place.line) == (name, line)


def test_a_name_that_leads_forward_is_believed() -> None:
    """A comment that mentions an undo is none of the way back there."""
    [found] = read_migrations("SELECT 1;\n-- undo migration #35\nSELECT 2;", "000053_x.up.sql")

    assert texts(found) == ["SELECT 1", "SELECT 2"]


def test_changesets_for_others_and_those_that_run_again() -> None:
    text = (
        f"{LIQUIBASE}--changeset a:1 dbms:mysql\nALTER TABLE `x`;\n--changeset a:2 dbms:h2,postgresql\nSELECT 2;\n"
        "--changeset a:3 dbms:!postgresql\nALTER `x`;\n--changeset a:4 runOnChange:true ignore:false\nSELECT 4;\n"
    )
    found = read_migrations(text, "a.sql")

    assert [(m.name, texts(m), m.again) for m in found] == [
        ("a.sql::2::a", ["SELECT 2"], False),
        ("a.sql::4::a", ["SELECT 4"], True),
    ]


def test_what_is_about_layout_does_not_change_a_migration() -> None:
    """Comments, blank lines, BEGIN and the way back are no change; a statement is."""
    one, other, third = (
        read_migrations(text, "1_a.sql")[0].digest
        for text in (
            "-- +goose Up\nALTER TABLE t ADD a int;\n-- +goose Down\nSELECT 1;",
            "-- said later\n\n-- +goose Up\nBEGIN;\n\n  ALTER TABLE t ADD a int;\nCOMMIT;\n",
            "-- +goose Up\nALTER TABLE t ADD a bigint;\n-- +goose Down\nSELECT 1;",
        )
    )

    assert one == other != third


@pytest.mark.parametrize(
    ("files", "order"),
    [
        (["V2__b.sql", "V10__c.sql", "V1_1__a.sql", "R__view.sql", "U2__b.sql", "afterMigrate.sql"],
         ["V1_1__a.sql", "V2__b.sql", "V10__c.sql", "R__view.sql"]),
        (["9_a.up.sql", "10_b.up.sql", "10_b.down.sql", "9_a.down.sql", "seed.sql"], ["9_a.up.sql", "10_b.up.sql"]),
        (["20240101000000_x/migration.sql", "20231231000000_y/migration.sql", "migration_lock.toml"],
         ["20231231000000_y/migration.sql", "20240101000000_x/migration.sql"]),
        (["2024-01-01-000000_x/up.sql", "2024-01-01-000000_x/down.sql"], ["2024-01-01-000000_x/up.sql"]),
        (["1_a.mysql.up.sql", "1_a.postgres.up.sql", "1_a.sqlite3.up.sql"], ["1_a.postgres.up.sql"]),
        (["01_a.sql", "02_b.go", "03_c.sql", "embed.go", "04_d.down.go"], ["01_a.sql", "02_b.go", "03_c.sql"]),
        (["tables.sql", "views.sql"], ["tables.sql", "views.sql"]),
        (["v1/1_a.sql", "v2/1_b.sql", ".git/2.sql"], ["v1/1_a.sql", "v2/1_b.sql"]),
    ],
)  # fmt: skip
def test_the_files_of_a_folder_in_order(tmp_path: Path, files: list[str], order: list[str]) -> None:
    folder = tmp_path / "my migrations"
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("SELECT 1;")

    found = collect([folder])

    assert [m.path.removeprefix(f"{folder}/") for m in found.migrations] == order


def test_files_that_a_shell_lists_are_put_in_their_order(tmp_path: Path) -> None:
    """Unless they are of several folders, where only their order says anything."""
    for name in ("V10__b.sql", "V2__a.sql", "x/V1__c.sql"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("SELECT 1;")
    paths = [tmp_path / name for name in ("V10__b.sql", "V2__a.sql", "x/V1__c.sql")]

    assert [Path(m.path).name for m in collect(paths[:2]).migrations] == ["V2__a.sql", "V10__b.sql"]
    assert [Path(m.path).name for m in collect(paths).migrations] == ["V10__b.sql", "V2__a.sql", "V1__c.sql"]


def test_dbmate_compares_names(tmp_path: Path) -> None:
    for name in ("2_b.sql", "10_a.sql"):
        (tmp_path / name).write_text("-- migrate:up\nSELECT 1;\n-- migrate:down\n")

    assert [Path(m.path).name for m in collect([tmp_path]).migrations] == ["10_a.sql", "2_b.sql"]


@pytest.mark.parametrize(
    ("name", "said", "hint"),
    [
        ("0001_initial.py", "written in py", "sqlmigrate"),
        ("1_a.down.sql", "leads back by its name", "forward"),
        ("20240101_x.rb", "written in rb", "rails db:migrate"),
    ],
)
def test_a_file_that_is_not_the_way_forward_in_sql(tmp_path: Path, name: str, said: str, hint: str) -> None:
    (tmp_path / name).write_text("x")

    with pytest.raises(UsageError, match=said) as refused:
        collect([tmp_path / name])

    assert hint in refused.value.hint


def test_the_same_file_twice_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "1_a.sql").write_text("SELECT 1;")

    with pytest.raises(UsageError, match="given twice"):
        collect([tmp_path / "1_a.sql", tmp_path])


def test_flyways_checksum() -> None:
    """As Flyway 10 computed them; ends of lines and a byte order mark do not count."""
    lines = b"CREATE TABLE person (\r\n  id int\r\n);\r\n"

    assert flyway_checksum(lines) == flyway_checksum(b"\xef\xbb\xbf" + lines.replace(b"\r\n", b"\n"))
    assert flyway_checksum(lines) != flyway_checksum(lines.replace(b"id", b"no"))
    assert -(2**31) <= int(flyway_checksum(lines)) < 2**31

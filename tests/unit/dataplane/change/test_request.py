"""What a file asks for, as PostgreSQL's parser reads it."""

from __future__ import annotations

import pytest

from migrator.dataplane.change.request import Kind, RequestedChange, read_requests
from migrator.model.table import Column, Table, TableKind


def table(schema: str, name: str, *, partitioned: bool = False) -> Table:
    return Table(
        schema, name, TableKind.SHARDED, (Column("id", "bigint"),), ("id",), "tenant", "tenant", partitioned=partitioned
    )


TABLES = (
    table("app", "orders"),
    table("old", "orders"),
    table("app", "Odd.Name"),
    table("app", "log", partitioned=True),
)


def test_one_statement_may_ask_for_several_changes() -> None:
    requests, problems = read_requests(
        """ALTER TABLE app.orders ADD COLUMN "A b" numeric(12, 2) COLLATE "C" NOT NULL DEFAULT 1 + 1,
                                  DROP COLUMN IF EXISTS gone;
           CREATE UNIQUE INDEX CONCURRENTLY u ON app."Odd.Name" (id DESC, (lower(x))) WHERE x > 'a; b';
           DROP INDEX app.one, two;""",
        TABLES,
    )

    assert problems == []
    assert requests == [
        RequestedChange(
            "statement 1", Kind.ADD_COLUMN, "app.orders", "", "A b",
            type="numeric(12,2)", collation='"C"', default="1 + 1", not_null=True,
        ),
        RequestedChange("statement 1", Kind.DROP_COLUMN, "app.orders", "", "gone", lenient=True),
        RequestedChange(
            "statement 2", Kind.CREATE_INDEX, 'app."Odd.Name"', "app", "u",
            unique=True, tail="(id DESC, (lower(x))) WHERE x > 'a; b'",
        ),
        RequestedChange("statement 3", Kind.DROP_INDEX, "", "app", "one"),
        RequestedChange("statement 3", Kind.DROP_INDEX, "", "", "two"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it holds no statement"),
        ("ALTER TABLE app.orders ADD COLUMN", "PostgreSQL cannot read it"),
        ("ALTER TABLE orders ADD COLUMN a int", "may be app.orders or old.orders: name the schema"),
        ("ALTER TABLE ONLY app.orders ADD COLUMN a int", "leave ONLY out"),
        ("ALTER TABLE app.orders ADD COLUMN a bigserial", "serial fills every row"),
        ("ALTER TABLE app.orders ADD COLUMN a int GENERATED ALWAYS AS IDENTITY", "rewrites the table"),
        ("ALTER TABLE app.orders ADD COLUMN a int UNIQUE", "say CREATE UNIQUE INDEX"),
        ("ALTER TABLE app.orders ADD COLUMN a int CHECK (a > 0)", "a CHECK cannot be added"),
        ("ALTER TABLE app.orders RENAME COLUMN a TO b", "is not possible while tables are being migrated"),
        ("CREATE INDEX i ON app.log (id)", "is partitioned"),
        ("CREATE INDEX i ON app.orders (id) TABLESPACE fast", "no TABLESPACE"),
        ("DROP INDEX app.one CASCADE", "leave CASCADE out"),
        ("TRUNCATE app.orders", "TRUNCATE app.orders is not possible"),
    ],
)
def test_what_is_not_possible_is_refused_with_advice(text: str, words: str) -> None:
    requests, problems = read_requests(text, TABLES)

    assert requests == []
    assert any(words in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("written", "statement", "links"),
    [
        (
            "CREATE TABLE IF NOT EXISTS app.t (id int PRIMARY KEY, -- é, REFERENCES\n o int NOT NULL"
            " REFERENCES app.orders ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED DEFAULT 1, n text)",
            "CREATE TABLE  app.t (id int PRIMARY KEY, -- é, REFERENCES\n o int NOT NULL  DEFAULT 1, n text)",
            ('FOREIGN KEY ("o") REFERENCES app.orders ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED',),
        ),
        (
            'CREATE TABLE app.t (CONSTRAINT "é,(" FOREIGN KEY (a, b) REFERENCES app.orders (x, y), a int, b int)',
            "CREATE TABLE app.t ( a int, b int)",
            ('CONSTRAINT "é,(" FOREIGN KEY (a, b) REFERENCES app.orders (x, y)',),
        ),
        (
            "CREATE TABLE app.t (FOREIGN KEY (a) REFERENCES app.orders, FOREIGN KEY (b) REFERENCES app.orders, a int,"
            " FOREIGN KEY (a) REFERENCES app.log, FOREIGN KEY (b) REFERENCES app.log)",
            "CREATE TABLE app.t (  a int)",
            tuple(f"FOREIGN KEY ({c}) REFERENCES app.{t}" for t in ("orders", "log") for c in "ab"),
        ),
        (
            "CREATE TABLE app.t (FOREIGN KEY (a) REFERENCES app.orders)",
            "CREATE TABLE app.t ()",
            ("FOREIGN KEY (a) REFERENCES app.orders",),
        ),
        (
            'CREATE TABLE app.t (a int, "B ""c" int CONSTRAINT k REFERENCES "Odd.Name" (id) /* , */'
            ' CHECK ("B ""c" > 0), FOREIGN KEY (a) REFERENCES log) PARTITION BY HASH (a)',
            'CREATE TABLE app.t (a int, "B ""c" int  /* , */ CHECK ("B ""c" > 0)) PARTITION BY HASH (a)',
            (
                'CONSTRAINT k FOREIGN KEY ("B ""c") REFERENCES "app"."Odd.Name" (id)',
                'FOREIGN KEY (a) REFERENCES "app".log',
            ),
        ),
    ],
)
def test_a_new_table_comes_without_its_foreign_keys(written: str, statement: str, links: tuple[str, ...]) -> None:
    """What is left is as it was written, and each key is what ALTER TABLE … ADD takes."""
    [request], problems = read_requests(f"-- é\n{written}; -- end", TABLES, ("app",))

    assert problems == []
    assert (request.statement, request.links) == (statement, links)


@pytest.mark.parametrize(
    ("written", "statement"),
    [
        ("CREATE TABLE t (a int);", 'CREATE TABLE "app".t (a int)'),
        ('CREATE TABLE "T.é" (a int)', 'CREATE TABLE "app"."T.é" (a int)'),
        ("CREATE TYPE mood AS ENUM ('a', 'é')", "CREATE TYPE \"app\".mood AS ENUM ('a', 'é')"),
        ("CREATE TYPE app.pair AS (a int, b text)", "CREATE TYPE app.pair AS (a int, b text)"),
        ("CREATE TYPE span AS RANGE (SUBTYPE = int)", 'CREATE TYPE "app".span AS RANGE (SUBTYPE = int)'),
        ("CREATE SEQUENCE IF NOT EXISTS s START 5", 'CREATE SEQUENCE  "app".s START 5'),
    ],
)
def test_what_is_made_is_named_with_its_schema(written: str, statement: str) -> None:
    [request], problems = read_requests(written, TABLES, ("app",))

    assert problems == []
    assert request.statement == statement

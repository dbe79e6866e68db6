"""What a file asks for, as PostgreSQL's parser reads it."""

from __future__ import annotations

import pytest

from migrator.dataplane.change.kinds import Kind, RequestedChange
from migrator.dataplane.change.request import read_requests
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
        ("ALTER TABLE app.orders ADD COLUMN a int PRIMARY KEY", "say CREATE UNIQUE INDEX"),
        ("ALTER TABLE app.orders RENAME COLUMN id TO b", 'ADD COLUMN "b" bigint; (2) release the application'),
        ("ALTER TABLE app.orders RENAME TO requests", 'CREATE VIEW "app"."requests" AS SELECT * FROM "app"."orders"'),
        ("ALTER TYPE app.mood RENAME VALUE 'a' TO 'b'", "ALTER TYPE \"app\".\"mood\" ADD VALUE 'b' BEFORE 'a'"),
        ("ALTER TABLE app.orders ALTER id TYPE text USING 'n' || id", "no USING in ALTER COLUMN TYPE (LIM-COL-03)"),
        ("ALTER TABLE app.orders ADD PRIMARY KEY (a)", "It would take: migrator undo dual-write"),
        ("ALTER TABLE app.orders ADD EXCLUDE USING gist (a WITH =)", "LIM-KEY-11"),
        ("ALTER TABLE app.orders DISABLE TRIGGER ALL", "changes what is written and journalled"),
        ("CREATE TRIGGER t AFTER INSERT ON app.orders EXECUTE FUNCTION f()", "LIM-OBJ-01"),
        ("CREATE FUNCTION app.f() RETURNS trigger LANGUAGE sql AS ''", "side = classic"),
        ("CREATE FUNCTION app.f() RETURNS void LANGUAGE sql AS 'NOTIFY jobs'", "LIM-DML-05"),
        (
            "CREATE FUNCTION app.f() RETURNS void LANGUAGE plpgsql AS 'BEGIN IF true THEN NOTIFY jobs; END IF; END'",
            "LIM-DML-05",
        ),
        ("CREATE MATERIALIZED VIEW app.m AS SELECT 1", "LIM-OBJ-04"),
        ("CREATE DOMAIN app.d AS int", "LIM-COL-04"),
        ("ALTER POLICY p ON app.orders USING (true)", "LIM-SEC-01"),
        ("CREATE TABLE app.t AS SELECT 1", "then INSERT … SELECT"),
        ("SAVEPOINT a", "leave ROLLBACK, savepoints"),
        ("DO $$ BEGIN END $$", "side = classic"),
        ("DROP VIEW app.v CASCADE", "leave CASCADE out"),
        ("ALTER SYSTEM SET work_mem = '1GB'", "LIM-OBJ-09"),
        ("CREATE PUBLICATION p", "LIM-OBJ-05"),
        ("-- migrator: side = limitless\nCOMMENT ON TABLE app.orders IS ''", "only classic can be a side by itself"),
        ("CREATE INDEX i ON app.log (id)", "is partitioned"),
        ("CREATE INDEX i ON app.orders (id) TABLESPACE fast", "no TABLESPACE"),
        ("DROP INDEX app.one CASCADE", "leave CASCADE out"),
        ("TRUNCATE app.orders", "TRUNCATE app.orders is not possible"),
        ("DO $$ BEGIN PERFORM a_name_that_is_long_enough_to_be_cut_off(); END $$", "to_be_cut_of… is not possible"),
    ],
)
def test_what_is_not_possible_is_refused_with_advice(text: str, words: str) -> None:
    requests, problems = read_requests(text, TABLES)

    assert requests == [] or "limitless" in text
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


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("COMMENT ON TABLE app.orders IS 'é'", Kind.CLASSIC_ONLY),
        ("DROP TRIGGER t ON app.orders", Kind.CLASSIC_ONLY),
        ("ALTER TABLE app.orders SET (fillfactor = 80), ALTER COLUMN id SET STATISTICS 5", Kind.CLASSIC_ONLY),
        ("WITH w AS (SELECT 1) INSERT INTO app.orders SELECT * FROM w", Kind.CLASSIC_ONLY),
        ("SELECT setval('app.s', 5)", Kind.CLASSIC_ONLY),
        ("VACUUM app.orders", Kind.CLASSIC_ONLY),
        ("REINDEX INDEX CONCURRENTLY app.i", Kind.CLASSIC_ONLY),
        ("REFRESH MATERIALIZED VIEW app.m", Kind.CLASSIC_ONLY),
        ("-- migrator: side = classic\nCREATE MATERIALIZED VIEW app.m AS SELECT 1", Kind.CLASSIC_ONLY),
        ("CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", Kind.BOTH_SIDES),
        ("CREATE OR REPLACE FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql AS ''", Kind.BOTH_SIDES),
        ("CREATE VIEW app.v AS SELECT 1", Kind.BOTH_SIDES),
        ("ALTER VIEW app.v RENAME TO w", Kind.BOTH_SIDES),
        ("REVOKE SELECT ON app.orders FROM app", Kind.BOTH_SIDES),
        ("DROP TYPE app.mood", Kind.BOTH_SIDES),
        ("ALTER SEQUENCE app.s INCREMENT 5", Kind.BOTH_SIDES),
        ("CREATE SCHEMA IF NOT EXISTS more", Kind.BOTH_SIDES),
    ],
)
def test_where_a_whole_statement_runs(text: str, kind: Kind) -> None:
    [request], problems = read_requests(text, TABLES, ("app",), "x.sql")

    assert problems == []
    assert (request.kind, request.path) == (kind, ("app",))
    assert text.endswith(request.statement)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "ADD CONSTRAINT k FOREIGN KEY (a, b) REFERENCES orders (x, y) MATCH FULL ON DELETE SET NULL DEFERRABLE"
            " NOT VALID",
            ("k", "FOREIGN KEY (a, b)", "app.orders", '("x", "y") MATCH FULL ON DELETE SET NULL DEFERRABLE', "f", True),
        ),
        ("ADD CHECK (id > (1)) NOT VALID", ("", "CHECK (id > (1))", "", "", "c", True)),
        ('ADD CONSTRAINT "é" CHECK (id IN (1, 2))', ("é", "CHECK (id IN (1, 2))", "", "", "c", False)),
        ('ADD UNIQUE (id, "B") INCLUDE (c)', ("", "", "", '("id", "B") INCLUDE ("c")', "u", False)),
        ("ADD COLUMN a int REFERENCES app.log", ("", 'FOREIGN KEY ("a")', "app.log", "", "f", False)),
        ("ADD COLUMN a int DEFAULT 1 CHECK (a > 0) NOT NULL", ("", "CHECK (a > 0)", "", "", "c", False)),
        ("ADD COLUMN a int CONSTRAINT u UNIQUE", ("u", "", "", '("a")', "u", False)),
    ],
)
def test_a_constraint_is_a_change_of_its_own(text: str, expected: tuple[object, ...]) -> None:
    requests, problems = read_requests(f"SET search_path TO app, public; ALTER TABLE orders {text}", TABLES, ("app",))

    assert problems == []
    r = requests[-1]
    assert (r.name, r.statement, r.parent, r.tail, r.condition, r.late) == expected


def test_a_statement_is_known_by_its_file_and_all_before_it() -> None:
    """Who corrects a later statement does not repeat what is done."""

    def sources(text: str, file: str = "1.sql") -> list[str]:
        return [r.source for r in read_requests(text, TABLES, ("app",), file)[0]]

    text = "UPDATE app.orders SET id = 1; BEGIN; UPDATE app.orders SET id = 1"
    first, second = sources(text)
    assert first != second
    assert sources("-- said\n" + text) == [first, second]
    assert sources(f"{text}; ANALYZE")[:2] == [first, second]
    assert sources(f"ANALYZE; {text}")[1] not in (first, second)
    assert sources(text, "2.sql")[0] != first


def test_every_refusal_says_where_its_statement_stands_and_which_rule_it_follows() -> None:
    text = "-- é\nBEGIN;\n  CREATE DOMAIN app.d AS int; DROP VIEW app.v CASCADE;\nCREATE INDEX i ON app.orders (id)"
    [request], problems = read_requests(text, TABLES, ("app",))

    assert [(p.place, p.rule) for p in problems] == [((2, 3, 3), "LIM-COL-04"), ((3, 3, 31), "")]
    assert problems[1].startswith("statement 3: DROP VIEW app.v CASCADE")
    assert problems[1].endswith("(line 3)")
    assert request.place == (4, 4, 1)


@pytest.mark.parametrize(("text", "place"), [("SELECT 1;\n\n  SELEC 2", (0, 3, 3)), ("", (0, 1, 1))])
def test_what_cannot_be_read_is_refused_where_it_stands(text: str, place: tuple[int, int, int]) -> None:
    requests, [problem] = read_requests(text, TABLES)

    assert requests == []
    assert problem.place == place

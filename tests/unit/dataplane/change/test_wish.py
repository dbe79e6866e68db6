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

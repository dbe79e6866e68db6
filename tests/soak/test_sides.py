"""What differs between two databases is found: a row, its tenant, a column, anything in the catalog."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.fixtures.postgres import Machines, fresh_name
from tests.soak.entries import Conn, Entry, classified
from tests.soak.sides import catalog_differences, row_differences

pytestmark = pytest.mark.pg

SCHEMA = """
CREATE SCHEMA "Two";
CREATE TABLE public.room (id int PRIMARY KEY, org int NOT NULL, name text);
CREATE TABLE "Two"."the bed" (id int PRIMARY KEY, room int NOT NULL REFERENCES public.room, "Größe" int);
CREATE TABLE public.size (code text PRIMARY KEY);
CREATE TABLE public.loose (n int);
CREATE TABLE public.keyed (n int NOT NULL UNIQUE, org int NOT NULL);
INSERT INTO public.room VALUES (1, 7, 'a'), (2, 8, 'b');
INSERT INTO "Two"."the bed" VALUES (1, 1, 90), (2, 2, 140);
"""
SCHEMAS = ("public", "Two")
ENTRIES: dict[str, Entry] = {
    "Two.the bed": {"kind": "sharded", "via": "room -> public.room.id"},
    "public.room": {"kind": "sharded"},
    "public.size": {"kind": "reference"},
    "public.loose": {"kind": "excluded"},
    "public.keyed": {"kind": "sharded", "key": ["n"]},
}


@pytest.fixture(scope="module")
def sides(machines: Machines) -> Iterator[tuple[Conn, Conn]]:
    """Classic, and a Limitless that holds the same; there the derived table has its tenant."""
    names = fresh_name("one"), fresh_name("other")
    dsns = [machines.new_classic(name) for name in names]
    with psycopg.connect(dsns[0], autocommit=True) as one, psycopg.connect(dsns[1], autocommit=True) as other:
        for conn in (one, other):
            conn.execute(SCHEMA.encode())
        yield one, other
    for name in names:
        machines.drop(classic=name)


def test_what_tables_become(sides: tuple[Conn, Conn]) -> None:
    assert classified(sides[0], SCHEMAS, "org", {}) == ENTRIES


@pytest.mark.parametrize(
    ("change", "table"),
    [
        ("SELECT 1", ""),
        ("UPDATE public.room SET name = 'c' WHERE id = 2", "public.room"),
        ('DELETE FROM "Two"."the bed"', "Two.the bed"),
        ('UPDATE "Two"."the bed" SET org = 8 WHERE id = 1', "Two.the bed"),
        ("INSERT INTO public.size VALUES ('XL')", "public.size"),
        ("INSERT INTO public.loose VALUES (1)", ""),
        ("ALTER TABLE public.room ALTER name SET NOT NULL", "columns of public.room"),
    ],
)
def test_rows(sides: tuple[Conn, Conn], change: str, table: str) -> None:
    classic, limitless = sides
    with limitless.transaction(force_rollback=True):
        limitless.execute('ALTER TABLE "Two"."the bed" ADD COLUMN org int; UPDATE "Two"."the bed" SET org = 6 + room')
        limitless.execute('ALTER TABLE "Two"."the bed" ALTER org SET NOT NULL')
        limitless.execute(change.encode())

        assert list(row_differences(classic, limitless, ENTRIES, "org")) == ([table] if table else [])


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE public.room ALTER name SET DEFAULT 'x'",
        "ALTER TABLE public.room ADD CHECK (id > 0)",
        'CREATE INDEX ON "Two"."the bed" (room)',
        "CREATE TYPE \"Two\".mood AS ENUM ('ok')",
        "CREATE SEQUENCE public.numbers",
        "CREATE VIEW public.v AS SELECT 1 AS one",
        "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "COMMENT ON TABLE public.size IS 'of beds'",
        "CREATE POLICY p ON public.room",
        "ALTER TABLE public.room ENABLE ROW LEVEL SECURITY",
        "DROP TABLE public.loose",
    ],
)
def test_catalogs(sides: tuple[Conn, Conn], change: str) -> None:
    with sides[1].transaction(force_rollback=True):
        assert catalog_differences(*sides, SCHEMAS) == []
        sides[1].execute(change.encode())
        assert catalog_differences(*sides, SCHEMAS) != []

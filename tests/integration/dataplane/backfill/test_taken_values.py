"""Unique values that change hands between ranges of a huge tenant: each range is copied, whatever the others hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from psycopg import sql

from migrator.consistency.run import validate
from migrator.dataplane.recovery import recopy
from tests.fixtures.postgres import Machines
from tests.fixtures.world import World, plan_of

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

# In each table of the huge tenant the column slot is unique in another way: as such, in an expression, in some rows,
# where NULL equals NULL, as an array, under another collation, below a parent.
SCHEMA = """
CREATE SCHEMA shop; CREATE SCHEMA "Más";
CREATE TABLE shop.tenant (tenant_id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE shop.plain (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, slot int, UNIQUE (tenant_id, slot));
CREATE TABLE "Más"."Ausdruck" ("Id é" bigint PRIMARY KEY, tenant_id bigint NOT NULL, slot text);
CREATE UNIQUE INDEX ON "Más"."Ausdruck" (tenant_id, lower('"%s' || slot), (length(slot) / 100));
CREATE TABLE shop.some (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, slot numeric, gone boolean DEFAULT false);
CREATE UNIQUE INDEX ON shop.some (slot, tenant_id) WHERE NOT gone AND slot > 0;
CREATE TABLE shop.nulls (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, slot int,
    UNIQUE NULLS NOT DISTINCT (tenant_id, slot));
CREATE TABLE shop.listed (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, slot int[]);
CREATE UNIQUE INDEX ON shop.listed (tenant_id, slot, (array_upper(slot, 1))) INCLUDE (id);
CREATE TABLE shop.sorted (id bigint PRIMARY KEY, tenant_id bigint NOT NULL, slot varchar(30) COLLATE "C");
CREATE UNIQUE INDEX ON shop.sorted (tenant_id, slot COLLATE "POSIX" text_pattern_ops);
CREATE TABLE shop.child (id bigint PRIMARY KEY, plain_id bigint NOT NULL REFERENCES shop.plain DEFERRABLE, slot text,
    UNIQUE (plain_id, slot));
INSERT INTO shop.tenant SELECT g, 'tenant ' || g FROM generate_series(1, 3) g;
INSERT INTO shop.plain SELECT g, 1 + (g % 10) / 9, g FROM generate_series(1, 200) g;
INSERT INTO "Más"."Ausdruck" SELECT g, 1 + (g % 10) / 9, 'É "' || g || '\\' FROM generate_series(1, 200) g;
INSERT INTO shop.some SELECT g, 1 + (g % 10) / 9, g FROM generate_series(1, 200) g;
INSERT INTO shop.nulls SELECT g, 1 + (g % 10) / 9, nullif(g, 1) FROM generate_series(1, 200) g;
INSERT INTO shop.listed SELECT g, 1 + (g % 10) / 9, ARRAY[g, NULL] FROM generate_series(1, 200) g;
INSERT INTO shop.sorted SELECT g, 1 + (g % 10) / 9, 's,{}' || g FROM generate_series(1, 200) g;
INSERT INTO shop.child SELECT g, 2, 'x' || g FROM generate_series(1, 200) g;
ANALYZE shop.child;
"""

TABLES = ("shop.plain", '"Más"."Ausdruck"', "shop.some", "shop.nulls", "shop.listed", "shop.sorted", "shop.child")

# Twenty rows at either end swap values, by way of none.
SWAP = """
CREATE TEMP TABLE swapped ON COMMIT DROP AS
SELECT a.k, z.slot
  FROM (SELECT {key} AS k, slot, row_number() OVER (ORDER BY {key}) AS n FROM {table} WHERE {owner}) AS a
  JOIN (SELECT {key} AS k, slot, row_number() OVER (ORDER BY {key} DESC) AS n FROM {table} WHERE {owner}) AS z USING (n)
 WHERE n <= 20 OR n > (SELECT count(*) - 20 FROM {table} WHERE {owner});
CREATE TEMP TABLE away ON COMMIT DROP AS SELECT t.* FROM {table} AS t JOIN swapped ON {key} = k;
DELETE FROM {table} WHERE {key} IN (SELECT k FROM swapped);
UPDATE away SET slot = swapped.slot FROM swapped WHERE {key} = k;
INSERT INTO {table} SELECT * FROM away;
DROP TABLE swapped, away
"""


@contextmanager
def world(machines: Machines) -> Iterator[World]:
    plan = plan_of(
        "taken", schemas=["shop", "Más"], tables={"shop.child": {"kind": "sharded", "via": "plain_id -> shop.plain.id"}}
    )
    with World.made(*machines.new_pair("nothing", lambda classic, limitless: None), plan, SCHEMA) as made:
        yield made


def swap(w: World) -> None:
    """The first rows of tenant 1 take the values of its last ones, which take theirs."""
    for table in reversed(TABLES):
        schema, name = table.replace('"', "").split(".")
        text = sql.SQL(SWAP).format(
            table=sql.Identifier(schema, name),
            key=sql.Identifier("Id é" if name == "Ausdruck" else "id"),
            owner=sql.SQL("plain_id = 2" if name == "child" else "tenant_id = 1"),
        )
        with w.classic.transaction():
            if name == "plain":  # its children wait until all of it is back
                w.classic.execute("SET CONSTRAINTS ALL DEFERRED")
            w.classic.execute(text)


def ranges(w: World) -> list[str]:
    """Units of the first key range of each table, then of the last, then all the others; of tenant 1."""
    w.units(split_rows=50)
    rows = w.classic.execute(
        "SELECT unit_id, lower_key IS NULL, upper_key IS NULL FROM migrator.copy_unit"
        " WHERE tenants = '{1}' AND state <> 'joined' AND NOT superseded ORDER BY 1"
    ).fetchall()
    first = [unit for unit, first, last in rows if first and not last]
    last = [unit for unit, first, last in rows if last and not first]
    assert len(first) == len(last) == len(TABLES)
    return [*first, *last, *(unit for unit, *_ in rows if unit not in {*first, *last})]


async def finished(w: World) -> None:
    async with w.mirrors():
        await w.copy_all()
        await w.caught_up()
        report = await validate(w.classic_dsn, w.limitless_dsn)
    assert report.divergent_rows == 0 and report.clean
    for table in TABLES:
        count = sql.SQL("SELECT count(*), count(slot) FROM {}").format(
            sql.Identifier(*table.replace('"', "").split("."))
        )
        assert w.classic.execute(count).fetchone() == w.limitless.execute(count).fetchone()


async def test_they_change_hands_between_two_ranges(machines: Machines) -> None:
    """The first range is copied, then the last at another snapshot, and at last the ones between."""
    with world(machines) as w:
        await w.start()
        first, last, rest = (units := ranges(w))[: len(TABLES)], units[len(TABLES) : 2 * len(TABLES)], units[14:]
        for unit in first:
            await w.copy(unit)
        swap(w)
        for unit in last:
            await w.copy(unit)
        swap(w)
        for unit in rest:
            await w.copy(unit)
        await finished(w)


async def test_they_changed_hands_since_an_earlier_copy(machines: Machines) -> None:
    """Limitless still holds every row as it was: each range that comes first meets another's."""
    with world(machines) as w:
        await w.start()
        async with w.mirrors():
            await w.copy_all()
            await w.caught_up()
        swap(w)
        assert recopy(w.classic, w.limitless, "test", "as it was") == 3
        for unit in ranges(w):
            await w.copy(unit)
        await finished(w)


async def test_they_change_hands_in_a_batch_of_many_chunks(machines: Machines) -> None:
    """The mirror's own transactions are as small as ranges: no chunk meets a value of a later one."""
    with world(machines) as w:
        await w.start()
        async with w.mirrors():
            await w.copy_all()
            await w.caught_up()
        w.options = replace(w.options, batch_rows=7)
        with w.classic.transaction():
            swap(w)
        await finished(w)
        left = w.classic.execute("SELECT tenant_id, state FROM migrator.tenant WHERE state <> 'mirrored'").fetchall()
        assert left == [], "nobody was quarantined"

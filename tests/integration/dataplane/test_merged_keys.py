"""Unique keys that become one with another key once the tenant leads: provisioned, referred to, mirrored, validated."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import sql

from migrator.consistency.run import validate
from migrator.control.install import install
from migrator.db.connect import connect
from migrator.plan.tables import resolve_tables
from migrator.provision import finalize, provision, verify
from migrator.provision.read import read
from tests.fixtures.shop import Shop
from tests.fixtures.world import plan_of

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

KEYS = {
    "plain": ["UNIQUE (tenant_id, id)"],
    "other_order": ["UNIQUE (id, tenant_id)"],
    "without_tenant": ["UNIQUE (id)"],
    "deferrable": ["UNIQUE (tenant_id, id) DEFERRABLE INITIALLY DEFERRED"],
    "deferrable_order": ["UNIQUE (id, tenant_id) DEFERRABLE"],
    "nulls": ["UNIQUE NULLS NOT DISTINCT (tenant_id, id)"],
    "including": ["UNIQUE (tenant_id, id) INCLUDE (n)"],
    "two": [
        "UNIQUE (tenant_id, id)",
        "UNIQUE (id, tenant_id)",
        "UNIQUE (tenant_id, n)",
        "UNIQUE (n, tenant_id)",
        "UNIQUE (tenant_id, n)",
    ],
    "identity": ["UNIQUE (tenant_id, id)"],
    "Odd Name": ["UNIQUE (tenant_id, id)"],
}
FOUND = {
    "plain": set(),
    "other_order": {"1"},
    "without_tenant": set(),
    "deferrable": set(),
    "deferrable_order": set(),
    "nulls": {"1"},
    "including": {"1"},
    "two": {"2", "3", "4"},
    "identity": set(),
    "Odd Name": set(),
    "as_index": {"1"},
}
BY_ID = {"without_tenant", "deferrable", "deferrable_order"}
"""A deferrable key cannot be referred to."""


def run(conn: psycopg.Connection[Any], statement: str, table: str, **parts: str) -> list[Any]:
    """Run *statement* with {t} for a table of schema app, {c} for its child."""
    names = {"t": sql.Identifier("app", table), "c": sql.Identifier("app", f"c {table}")}
    texts = {name: sql.SQL(text) for name, text in parts.items()}
    cursor = conn.execute(sql.SQL(statement).format(**names, **texts))
    return cursor.fetchall() if cursor.description else []


def create(classic: psycopg.Connection[Any]) -> None:
    """A parent per kind of key, each with a child that refers to it."""
    classic.execute("CREATE SCHEMA app")
    for name in FOUND:
        run(classic, "CREATE TABLE {t} (tenant_id bigint NOT NULL, id bigint PRIMARY KEY, n bigint)", name)
        for number, key in enumerate(KEYS.get(name, ()), 1):
            run(
                classic,
                'ALTER TABLE {t} ADD CONSTRAINT "{name}_{number}" {key}',
                name,
                name=name,
                number=str(number),
                key=key,
            )
    run(classic, "CREATE UNIQUE INDEX as_index_1 ON {t} (tenant_id, id)", "as_index")
    run(classic, "ALTER TABLE {t} REPLICA IDENTITY USING INDEX identity_1", "identity")
    for name in FOUND:
        ours, theirs = ("parent", "id") if name in BY_ID else ("tenant_id, parent", "tenant_id, id")
        run(
            classic,
            "CREATE TABLE {c} (tenant_id bigint NOT NULL, id bigint PRIMARY KEY, parent bigint,"
            " FOREIGN KEY ({ours}) REFERENCES {t} ({theirs}))",
            name,
            ours=ours,
            theirs=theirs,
        )
        for statement in ("INSERT INTO {t} {rows}", "INSERT INTO {c} {rows}"):
            run(classic, statement, name, rows="SELECT g % 3, g, g FROM generate_series(1, 12) g")


async def test_merged_keys_count_as_both(classic_dsn: str, limitless_dsn: str) -> None:
    """What the primary key enforces in the same form is left out, everything else is there; foreign keys to either
    hold; rows follow through inserts, swaps and deletes, and validation is clean."""
    plan = plan_of("keys", schemas=["app"])
    with connect(classic_dsn, "test") as classic, connect(limitless_dsn, "test") as limitless:
        create(classic)
        install(classic, plan.name, "digest", {}, {})
        tables = resolve_tables(classic, plan.tables)

        made = provision(classic, limitless, tables, plan)

        assert made.verdict.blockers == ()
        assert provision(classic, limitless, tables, plan).made == ()
        there = read(limitless, ["app"]).tables
        found = {n: {i.name.removeprefix(f"{n}_") for i in there[f"app.{n}"].indexes} for n in FOUND}
        assert found == FOUND
        assert "app.plain: unique key plain_1 is the primary key on Limitless" in made.warnings
        assert "app.two: unique key two_5 is the same as two_3 on Limitless" in made.warnings
        shop = Shop(classic_dsn, limitless_dsn, classic, limitless, tables, plan)
        await shop.start()
        async with shop.mirrors():
            await shop.copy_all()
            assert finalize(classic, limitless, tables, plan).verdict.blockers == ()
            for name in FOUND:
                run(classic, "DELETE FROM {c} WHERE id = 1", name)
                run(classic, "DELETE FROM {t} WHERE id = 1", name)
                run(classic, "UPDATE {t} SET n = n + 1", name)
                run(classic, "INSERT INTO {t} VALUES (1, 20, 20)", name)
                run(classic, "INSERT INTO {c} VALUES (1, 20, 20)", name)
            await shop.caught_up()
            report = await validate(classic_dsn, limitless_dsn)
        assert report.clean and report.rows == 24 * len(FOUND)
        for table in tables:
            query = "SELECT t::text FROM {t} t ORDER BY 1"
            assert run(classic, query, table.name) == run(limitless, query, table.name)
        assert verify(classic, limitless, tables, plan, stage="mirrored").blockers == ()

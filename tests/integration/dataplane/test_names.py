"""A tenant may be called anything, and none of our words for something else is taken from it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from migrator.consistency.run import validate
from migrator.control import verdicts
from migrator.dataplane import repair
from migrator.db.connect import connect
from tests.fixtures.shop import rows
from tests.fixtures.waiting import TIMEOUT_S, until
from tests.fixtures.world import World, plan_of, provisioned

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

NAMES = [
    "", " ", "all", "part", "null", "NULL", "None", "0", "-1", "*", "unknown", "(reference tables)", "a:b/c,d|e", "a",
    "A",
    "a'b\"c", "{}", '{"NULL"}', "two\nlines\t\\n", "ключ 🔑", "%s %(x)s {0}", "x" * 10_000, "unit-00001", "migrator",
]  # fmt: skip
SCHEMA = """
CREATE SCHEMA n;
CREATE TABLE n.item (id bigint PRIMARY KEY, tenant_id text NOT NULL, "*" text NOT NULL DEFAULT '*', v text);
CREATE TABLE n.part (id bigint PRIMARY KEY, item bigint REFERENCES n.item, v text);
CREATE TABLE n.rate (code text PRIMARY KEY, v text);
CREATE TABLE n.star ("*" text, tenant_id text NOT NULL, v text, PRIMARY KEY ("*"));
INSERT INTO n.rate VALUES ('', 'empty'), ('*', 'star');
"""
CLASSIC = {
    "item": "SELECT id, tenant_id, v FROM n.item",
    "part": "SELECT p.id, i.tenant_id, p.v FROM n.part p JOIN n.item i ON i.id = p.item",
    "rate": "SELECT code, v FROM n.rate",
    "star": 'SELECT "*", tenant_id, v FROM n.star',
}
LIMITLESS = {**CLASSIC, "part": "SELECT id, tenant_id, v FROM n.part"}


def world(classic: psycopg.Connection[Any], limitless: psycopg.Connection[Any], dsns: tuple[str, str]) -> World:
    derived = {"n.part": {"kind": "sharded", "via": "item -> n.item.id"}, "n.rate": {"kind": "reference"}}
    plan = plan_of("n", tables=derived)
    return World(*dsns, classic, limitless, provisioned(classic, limitless, plan), plan)


@pytest.fixture
def n(classic_dsn: str, limitless_dsn: str) -> Iterator[World]:
    with connect(classic_dsn, "test") as classic, connect(limitless_dsn, "test") as limitless:
        classic.execute(SCHEMA)
        for number, name in enumerate(NAMES):
            classic.execute("INSERT INTO n.item VALUES (%s, %s, DEFAULT, 'v')", (number, name))
            classic.execute("INSERT INTO n.part VALUES (%s, %s, 'v')", (number, number))
            classic.execute("INSERT INTO n.star VALUES (%s, %s, 'v')", (f"{number} *" if number else "*", name))
        yield world(classic, limitless, (classic_dsn, limitless_dsn))


def differences(n: World) -> list[str]:
    return [t for t in CLASSIC if rows(n.classic, CLASSIC[t]) != rows(n.limitless, LIMITLESS[t])]


async def test_whatever_a_tenant_is_called(n: World) -> None:
    """Each is copied, mirrored, moved, validated, found divergent, repaired and copied again as itself."""
    await n.start()
    async with n.mirrors():
        await n.copy_all()
        assert differences(n) == []
        for number, name in enumerate(NAMES):
            n.classic.execute("UPDATE n.item SET v = v || '!' WHERE tenant_id = %s", (name,))
            n.classic.execute("UPDATE n.item SET tenant_id = %s WHERE id = %s", (NAMES[number - 1], number))
            n.classic.execute("INSERT INTO n.item VALUES (%s, %s, DEFAULT, 'new')", (1000 + number, name))
        await n.caught_up()
        assert differences(n) == []
        clean = await validate(n.classic_dsn, n.limitless_dsn)
        for name in NAMES:
            n.limitless.execute("UPDATE n.star SET v = 'damaged' WHERE tenant_id = %s", (name,))
        n.limitless.execute("UPDATE n.rate SET v = 'damaged' WHERE code = ''")
        found = await validate(n.classic_dsn, n.limitless_dsn, sample=100)
        marked = repair.repair(n.classic, "ana")
        await n.caught_up()
        assert differences(n) == []
        again = await validate(n.classic_dsn, n.limitless_dsn)
        history = verdicts.stretches(n.classic, [""], 10)
        asked = repair.recopy(n.classic, "ana", ["", "NULL"], "as told")

        async def left() -> bool:
            row = n.classic.execute("SELECT count(*) FROM migrator.tenant WHERE recopy IS NOT NULL").fetchone()
            return row == (0,)

        await until(left, "they leave the mirrored set")
        assert n.classic.execute("SELECT count(*) FROM migrator.tenant WHERE state = 'pending'").fetchone() == (2,)
        await n.copy_all()
        await n.caught_up()
        last = await validate(n.classic_dsn, n.limitless_dsn)

    assert differences(n) == []
    assert (clean.clean, again.clean, last.clean) == (True, True, True), (clean, again, last)
    assert {v.tenant_id for v in clean.tenants} == {*NAMES, None}
    assert {d.tenant_id for d in found.sample} == {*NAMES, None} and marked == len(NAMES) + 1
    assert [s.clean for s in history] == [True, False, True], "of the tenant called '', and not of the reference tables"
    assert asked == 2


async def test_the_fallback_of_a_tenant_without_a_name(n: World) -> None:
    """It is quarantined alone: its partition's readers stay where they are."""
    told: list[tuple[str, str]] = []

    async def for_tenant(tenant: str, reason: str) -> None:
        told.append((tenant, reason))

    n.options = type(n.options)(for_tenant=for_tenant)
    await n.start()
    async with n.mirrors():
        await n.copy_all()
        n.limitless.execute("ALTER TABLE n.item ADD CONSTRAINT no CHECK (v <> 'refused')")
        n.classic.execute("UPDATE n.item SET v = 'refused' WHERE tenant_id = ''")
        await n.caught_up()

    assert [t for t, _ in told] == [""] and n.fallbacks == []
    assert n.classic.execute("SELECT tenant_id FROM migrator.tenant WHERE state = 'quarantined'").fetchall() == [("",)]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("char(6)", ["a", "A", "ab    ", "x' y", ""]),
        ("uuid", ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "{a0eebc999c0b4ef8bb6d6bb9bd380a12}"]),
        ("varchar(20)", ["", " ", "a ", "a"]),
        ("bigint", ["-1", "0", "9223372036854775807", "-9223372036854775808"]),
    ],
)
async def test_keys_that_are_written_otherwise_than_they_are_shown(
    classic_dsn: str, limitless_dsn: str, kind: str, values: list[str]
) -> None:
    with connect(classic_dsn, "test") as classic, connect(limitless_dsn, "test") as limitless:
        classic.execute(SCHEMA.replace("tenant_id text", f"tenant_id {kind}").encode())
        for number, value in enumerate(values):
            classic.execute(f"INSERT INTO n.item VALUES ({number}, %s, DEFAULT, 'v')", (value,))
            classic.execute(f"INSERT INTO n.part VALUES ({number}, {number}, 'v')")
        n = world(classic, limitless, (classic_dsn, limitless_dsn))
        await n.start()
        async with n.mirrors():
            await n.copy_all()
            classic.execute("UPDATE n.item SET v = 'w'")
            for number, value in enumerate(values):
                classic.execute("UPDATE n.part SET v = 'w' WHERE id = %s", (number,))
                classic.execute("INSERT INTO n.item VALUES (%s, %s, DEFAULT, 'v')", (100 + number, value))
            await n.caught_up()
            report = await asyncio.wait_for(validate(classic_dsn, limitless_dsn), TIMEOUT_S)

        assert differences(n) == []
        assert report.clean

"""A change that is killed between any two steps goes on where it was."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import psycopg
import pytest

from migrator.catalog.details import constraints
from migrator.catalog.read import columns as columns_read
from migrator.control.tables import captured_tables
from migrator.control.watch import problems
from migrator.dataplane.change.apply import STEPS
from migrator.dataplane.change.create import exists
from migrator.dataplane.change.enum_values import labels_of
from migrator.dataplane.change.inspect import columns_of, index_of
from migrator.dataplane.change.kinds import Kind
from migrator.inventory.look import look
from migrator.provision.apply import verify
from tests.fixtures.shop import Shop
from tests.integration.dataplane.change.helpers import applied, differences
from tests.integration.dataplane.change.kills import Kills
from tests.integration.dataplane.test_equality import Writers

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

KILLED = {
    Kind.ADD_COLUMN: "ALTER TABLE shop.purchase ADD COLUMN token uuid DEFAULT gen_random_uuid()",
    Kind.DROP_COLUMN: "ALTER TABLE shop.purchase DROP COLUMN mood",
    Kind.CREATE_INDEX: "CREATE UNIQUE INDEX whole ON shop.purchase (tenant_id, id)",
    Kind.DROP_INDEX: "DROP INDEX shop.line_purchase_id_idx",
    Kind.CREATE_TABLE: "-- migrator: via = line_id -> shop.line.id\n"
    "CREATE TABLE shop.parcel (line_id bigint REFERENCES shop.line, no serial, PRIMARY KEY (line_id, no))",
    Kind.DROP_TABLE: "DROP TABLE shop.parcel",
    Kind.CREATE_TYPE: "CREATE TYPE shop.pair AS (a int, b shop.mood)",
    Kind.CREATE_SEQUENCE: "CREATE SEQUENCE shop.ticket INCREMENT 3",
    Kind.ADD_LABEL: "ALTER TYPE shop.mood ADD VALUE 'meh' AFTER 'sad'",
    Kind.ADD_CONSTRAINT: "ALTER TABLE shop.purchase ADD CONSTRAINT known"
    " FOREIGN KEY (tenant_id, slot) REFERENCES shop.purchase (tenant_id, slot)",
    Kind.ADD_UNIQUE: "ALTER TABLE shop.purchase ADD CONSTRAINT whole UNIQUE (tenant_id, id, slot)",
    Kind.VALIDATE_CONSTRAINT: "ALTER TABLE shop.purchase VALIDATE CONSTRAINT bounded",
    Kind.DROP_CONSTRAINT: "ALTER TABLE shop.purchase DROP CONSTRAINT bounded",
    Kind.SET_NOT_NULL: "ALTER TABLE shop.purchase ALTER COLUMN bound SET NOT NULL",
    Kind.DROP_NOT_NULL: "ALTER TABLE shop.tenant ALTER COLUMN name DROP NOT NULL",
    Kind.SET_DEFAULT: "ALTER TABLE shop.purchase ALTER COLUMN total SET DEFAULT 7",
    Kind.CHANGE_TYPE: "ALTER TABLE shop.purchase ALTER COLUMN total TYPE numeric(20, 2)",
    Kind.RENAME: 'ALTER TABLE shop.purchase RENAME CONSTRAINT bounded TO "Bounded é"',
    Kind.BOTH_SIDES: "CREATE VIEW shop.totals AS SELECT * FROM shop.line",
    Kind.CLASSIC_ONLY: "UPDATE shop.tenant SET name = name || '!'",
}

BEFORE = {
    Kind.DROP_TABLE: KILLED[Kind.CREATE_TABLE],
    Kind.VALIDATE_CONSTRAINT: "ALTER TABLE shop.purchase ADD CONSTRAINT bounded CHECK (total < 1000000000) NOT VALID",
    Kind.DROP_CONSTRAINT: "ALTER TABLE shop.purchase ADD CONSTRAINT bounded CHECK (total < 1000000000)",
    Kind.RENAME: "ALTER TABLE shop.purchase ADD CONSTRAINT bounded CHECK (total < 1000000000)",
    Kind.SET_NOT_NULL: "ALTER TABLE shop.purchase ADD COLUMN bound int DEFAULT 3",
}
"""What a change needs to be there."""


QUICK = (
    Kind.DROP_COLUMN,
    Kind.CREATE_TABLE,
    Kind.DROP_TABLE,
    Kind.ADD_LABEL,
    Kind.ADD_CONSTRAINT,
    Kind.SET_NOT_NULL,
    Kind.BOTH_SIDES,
)


@pytest.mark.parametrize("kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in Kind])
async def test_killed_between_any_two_steps_it_goes_on(shop: Shop, kind: Kind) -> None:
    """One change is killed before, in and after each of its steps in turn; the next run finishes it."""
    await shop.start()
    kills = Kills()
    with Writers(shop.classic_dsn, 5, 1) as writers:
        async with shop.mirrors():
            await shop.copy_all()
            if kind in BEFORE:
                await applied(shop, BEFORE[kind])
            done = await kills.through(lambda: applied(shop, KILLED[kind], watch=kills.watch))
            again = await applied(shop, KILLED[kind])
            writers.stop.set()
            for thread in writers.threads:
                await asyncio.to_thread(thread.join)
            await shop.caught_up()

    assert {step for step, moment in kills.visited if moment == "acted"} == {name for name, _ in STEPS[kind]}
    assert len(done.finished) == 1
    assert again.finished == ()
    assert_changed(shop, kind)
    assert differences(shop) == {}


def assert_changed(shop: Shop, kind: Kind) -> None:
    for conn in (shop.classic, shop.limitless):
        columns = columns_of(conn, "shop.purchase")
        match kind:
            case Kind.ADD_COLUMN:
                assert columns["token"] == ("uuid", False)
            case Kind.DROP_COLUMN:
                assert "mood" not in columns
            case Kind.CREATE_INDEX:
                assert index_of(conn, "shop", "whole") == ("shop.purchase", True)
            case Kind.DROP_INDEX:
                assert index_of(conn, "shop", "line_purchase_id_idx") is None
            case Kind.CREATE_TABLE:
                assert {"line_id", "no"} <= columns_of(conn, "shop.parcel").keys()
            case Kind.DROP_TABLE:
                assert not exists(conn, Kind.CREATE_TABLE, "shop", "parcel")
                assert not exists(conn, Kind.CREATE_SEQUENCE, "shop", "parcel_no_seq")
            case Kind.CREATE_TYPE | Kind.CREATE_SEQUENCE:
                assert exists(conn, kind, "shop", "pair" if kind is Kind.CREATE_TYPE else "ticket")
            case Kind.ADD_LABEL:
                assert labels_of(conn, "shop.mood") == ["sad", "meh", "ok", "happy"]
            case Kind.ADD_CONSTRAINT:  # Limitless gets foreign keys when the other tables have theirs
                assert conn is shop.limitless or constraints(conn, "shop.purchase")["known"].validated
            case Kind.ADD_UNIQUE:
                assert constraints(conn, "shop.purchase")["whole"].sort == "u"
            case Kind.VALIDATE_CONSTRAINT:
                assert constraints(conn, "shop.purchase")["bounded"].validated
            case Kind.DROP_CONSTRAINT:
                assert "bounded" not in constraints(conn, "shop.purchase")
            case Kind.SET_NOT_NULL:
                assert columns["bound"] == ("integer", True)
                assert not [c for c in constraints(conn, "shop.purchase") if c.startswith("migrator")]
            case Kind.DROP_NOT_NULL:
                assert columns_of(conn, "shop.tenant")["name"] == ("text", False)
            case Kind.SET_DEFAULT:
                assert default_of(conn, "total") == "7"
            case Kind.CHANGE_TYPE:
                assert columns["total"] == ("numeric(20,2)", False)
            case Kind.RENAME:
                assert constraints(conn, "shop.purchase")["Bounded é"].validated
                assert "bounded" not in constraints(conn, "shop.purchase")
            case Kind.BOTH_SIDES:
                assert set(columns_of_view(conn)) == {"id", "purchase_id", "sku", "tags"}
            case Kind.CLASSIC_ONLY:
                # Once; of a tenant that the writers do not delete and make again.
                assert conn.execute("SELECT name FROM shop.tenant WHERE tenant_id = 1").fetchall() == [("tenant 1!",)]
    assert problems(shop.classic) == []
    assert look(shop.classic) == look(shop.classic, shop.limitless) == ()
    tables = list(captured_tables(shop.classic).values())
    assert verify(shop.classic, shop.limitless, tables, shop.plan).blockers == ()


def default_of(conn: psycopg.Connection[Any], column: str) -> str | None:
    found = columns_read(conn, ["shop"])["shop", "purchase"]
    return next(c.default for c in found if c.name == column)


def columns_of_view(conn: psycopg.Connection[Any]) -> list[str]:
    return [c.name for c in conn.execute("SELECT * FROM shop.totals LIMIT 0").description or ()]


PROGRAM = """
import os, signal, sys
from migrator.dataplane.change.apply import apply
from migrator.dataplane.change.progress import Work
from migrator.db.connect import connect
from migrator.plan.load import from_body
import json

def watch(step, moment):
    if f"{step}.{moment}" == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

a, b, c = (connect(os.environ[n], "schema") for n in ("C", "L", "C"))
apply(Work(from_body(json.loads(os.environ["PLAN"])), a, b, c, "child", watch=watch), sys.argv[1], "change.sql")
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(Kind))
async def test_kill_9_after_every_step(shop: Shop, kind: Kind) -> None:
    """The same with real processes and SIGKILL, right after each step took effect and before it was recorded."""
    await shop.start()
    environment = {**os.environ, "C": shop.classic_dsn, "L": shop.limitless_dsn, "PLAN": shop.plan.model_dump_json()}
    async with shop.mirrors():
        await shop.copy_all()
        if kind in BEFORE:
            await applied(shop, BEFORE[kind])
        for name, _ in STEPS[kind]:
            child = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-c", PROGRAM, KILLED[kind], f"{name}.acted"],
                env=environment,
                timeout=60,
            )
            assert child.returncode == -signal.SIGKILL
        await applied(shop, KILLED[kind])
        await shop.caught_up()

    assert_changed(shop, kind)
    assert differences(shop) == {}

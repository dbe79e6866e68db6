"""A batch too large for one transaction: what is gone, moved, new, unknown and merely changed, all in one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.fixtures.rows import value
from tests.fixtures.waiting import until
from tests.fixtures.world import World, plan_of

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

SCHEMA = """
CREATE SCHEMA wide;
CREATE TABLE wide.account (tenant_id text COLLATE "C" NOT NULL, id numeric PRIMARY KEY, note text, amount numeric);
CREATE TABLE wide.entry (id bigint PRIMARY KEY, account_id numeric NOT NULL REFERENCES wide.account ON UPDATE CASCADE,
                         note text);
CREATE INDEX ON wide.entry (account_id);
CREATE TABLE wide.country (code text COLLATE "C" PRIMARY KEY, name text);
CREATE TABLE wide.visit (tenant_id text NOT NULL, id bigint PRIMARY KEY, note text);
INSERT INTO wide.visit SELECT 't' || n % 5, n, 'old' FROM generate_series(1, 100) n;
INSERT INTO wide.account SELECT 't' || n % 5, n, 'old', NULL FROM generate_series(1, 100) n;
INSERT INTO wide.entry SELECT n, 1 + n % 100, 'old' FROM generate_series(1, 200) n;
INSERT INTO wide.country SELECT 'c' || n, 'old' FROM generate_series(1, 60) n;
"""

CHANGES = {
    "changed": r"UPDATE wide.account SET note = E'\\N\t\r\n" ",{}' || chr(id::int), amount = nullif(id % 3, 0)",
    "gone": "DELETE FROM wide.entry WHERE id % 10 = 0",
    "moved with its children": "UPDATE wide.account SET tenant_id = 't1' WHERE id BETWEEN 10 AND 30",
    "looks different, is equal": "UPDATE wide.account SET id = id + 0.00 WHERE id > 80",
    "other key": "UPDATE wide.account SET id = id + 1000 WHERE id BETWEEN 40 AND 45",
    "a table without children": "UPDATE wide.visit SET note = 'new'",
    "moved, without children": "UPDATE wide.visit SET tenant_id = 't0' WHERE id % 9 = 0",
    "unknown tenant": "INSERT INTO wide.visit VALUES ('new', 2001, 'new')",
    "reference rows": "UPDATE wide.country SET name = 'new'",
    "reference rows gone": "DELETE FROM wide.country WHERE code LIKE '%7'",
    "other links": "UPDATE wide.entry SET account_id = 60 WHERE id BETWEEN 100 AND 130",
}

STATES = {
    "wide.account": "SELECT tenant_id, id::text, note, amount FROM wide.account",
    "wide.entry": "SELECT id, account_id::text, note FROM wide.entry",
    "wide.visit": "SELECT tenant_id, id, note FROM wide.visit",
    "wide.country": "SELECT code, name FROM wide.country",
}


@pytest.fixture
def wide(classic_dsn: str, limitless_dsn: str) -> Iterator[World]:
    tables: dict[str, object] = {
        "wide.account": {"kind": "sharded"},
        "wide.entry": {"kind": "sharded", "via": "account_id -> wide.account.id"},
        "wide.country": {"kind": "reference"},
    }
    with World.made(classic_dsn, limitless_dsn, plan_of("wide", tables=tables), SCHEMA) as made:
        yield made


def differences(world: World) -> dict[str, set[object]]:
    return {
        name: set(world.classic.execute(query.encode())) ^ set(world.limitless.execute(query.encode()))
        for name, query in STATES.items()
        if set(world.classic.execute(query.encode())) != set(world.limitless.execute(query.encode()))
    }


@pytest.mark.parametrize("batch_rows", [7, 20_000], ids=["in chunks", "in one transaction"])
async def test_limitless_is_what_classic_is(wide: World, batch_rows: int) -> None:
    """The pass that deletes reads no rows that merely changed, and misses none of the others."""
    await wide.start()
    async with wide.mirrors():
        await wide.copy_all()
        await wide.caught_up()
    wide.options = type(wide.options)(batch_rows=batch_rows)
    for statement in CHANGES.values():
        wide.classic.execute(statement.encode())

    async with wide.mirrors():
        await wide.caught_up()
        reported = "SELECT count(*) FROM migrator.tenant WHERE tenant_id = 'new'"
        await until(lambda: asyncio.to_thread(value, wide.classic, reported), "the unknown tenant is reported")
        await wide.copy_all()
        await wide.caught_up()

    assert differences(wide) == {}
    owners = (
        "SELECT count(*) FROM wide.entry e JOIN wide.account a ON a.id = e.account_id WHERE e.tenant_id = a.tenant_id"
    )
    assert value(wide.limitless, owners) == value(wide.classic, "SELECT count(*) FROM wide.entry")

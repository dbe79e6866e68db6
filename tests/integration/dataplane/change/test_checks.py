"""What is refused, as a whole and with every problem named; and what a change means for verdicts and commands."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Json

from migrator.consistency.run import validate
from migrator.dataplane.change.inspect import columns_of
from migrator.errors import NoGo
from migrator.plan.load import digest, dump, shim_settings
from tests.fixtures.operator import Operator
from tests.fixtures.shop import Shop
from tests.integration.dataplane.change.helpers import applied

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

REFUSED = """
CREATE TABLE shop.other (id int);
ALTER TABLE shop.purchase ADD COLUMN n serial, ADD COLUMN g int GENERATED ALWAYS AS (slot + 1) STORED;
ALTER TABLE shop.purchase ADD COLUMN m shop.no_such_type;
ALTER TABLE shop.purchase ADD COLUMN k int NOT NULL;
ALTER TABLE shop.purchase ADD COLUMN u uuid NOT NULL DEFAULT gen_random_uuid();
ALTER TABLE shop.currency ADD COLUMN r bigint REFERENCES shop.tenant;
ALTER TABLE shop.purchase ALTER COLUMN total TYPE bigint;
ALTER TABLE shop.purchase DROP COLUMN tenant_id, DROP COLUMN slot, DROP COLUMN nothing, DROP COLUMN note CASCADE;
ALTER TABLE shop.line DROP COLUMN purchase_id;
ALTER TABLE elsewhere ADD COLUMN a int;
CREATE INDEX ON shop.purchase (total);
CREATE INDEX bad ON shop.purchase (no_such_column);
CREATE UNIQUE INDEX not_per_tenant ON shop.purchase (total);
DROP INDEX shop.purchase_pkey, shop.no_such_index;
ALTER TABLE shop.purchase ADD COLUMN fine int;
ROLLBACK;
"""


async def test_a_file_is_refused_as_a_whole_and_every_problem_is_named(shop: Shop) -> None:
    """One command, one list; nothing is changed on either side."""
    await shop.start()
    before = catalog(shop)

    with pytest.raises(NoGo) as refusal:
        await applied(shop, REFUSED)

    text = "\n".join(refusal.value.blockers)
    for number, words in (
        (1, 'shop.other": has no column tenant_id'),
        (2, "column n: serial"),
        (2, "column g: a generated"),
        (3, "shop.no_such_type"),
        (4, "existing rows would be NULL"),
        (5, "leave NOT NULL out"),
        (6, "LIM-FK-02"),
        (7, 'ADD COLUMN "total_new" bigint'),
        (8, "the tenant key"),
        (8, "there is no such column"),
        (8, "leave CASCADE out"),
        (9, "path from shop.line"),
        (10, "elsewhere is not captured"),
        (12, "no_such_column"),
        (13, "lacks the tenant key"),
        (14, "constraint purchase_pkey"),
        (14, "there is no such index"),
        (16, "leave ROLLBACK, savepoints"),
    ):
        assert any(line.startswith(f"statement {number}:") and words in line for line in refusal.value.blockers), (
            words,
            text,
        )
    assert catalog(shop) == before
    assert shop.classic.execute("SELECT count(*) FROM migrator.schema_change").fetchone() == (0,)


def catalog(shop: Shop) -> list[object]:
    query = (
        "SELECT c.relname, a.attname, a.atttypid::regtype::text FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid"
        " WHERE c.relnamespace = 'shop'::regnamespace ORDER BY 1, 2"
    )
    return [conn.execute(query).fetchall() for conn in (shop.classic, shop.limitless)]


async def test_a_verdict_at_the_old_schema_is_outdated(shop: Shop) -> None:
    """A tenant that was clean must be validated again: the new column was never compared."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await validate(shop.classic_dsn, shop.limitless_dsn)
        assert outdated(shop) == 0
        await applied(shop, "ALTER TABLE shop.purchase ADD COLUMN a int DEFAULT 3")
        assert outdated(shop) > 0
        shop.limitless.execute("UPDATE shop.purchase SET a = 4 WHERE id = 1")
        report = await validate(shop.classic_dsn, shop.limitless_dsn)

    assert outdated(shop) == 1  # the divergent one keeps its old verdict
    assert [d.columns for d in report.sample] == [("a",)]


def outdated(shop: Shop) -> int:
    row = shop.classic.execute("SELECT count(*) FROM migrator.gate_fact WHERE outdated").fetchone()
    return int(row[0]) if row else 0


async def test_direct_ddl_is_refused_and_the_command_is_named(shop: Shop) -> None:
    await shop.start()

    with pytest.raises(psycopg.errors.DatabaseError) as refusal:
        shop.classic.execute("ALTER TABLE shop.purchase ADD COLUMN a int")

    assert refusal.value.sqlstate == "MG003"
    assert "migrator schema apply" in (refusal.value.diag.message_hint or "")


async def test_the_command(shop: Shop, tmp_path: Path) -> None:
    """Dry run, run, run again, status; exit codes and JSON."""
    await shop.start()
    path = tmp_path / "change.sql"
    path.write_text("ALTER TABLE purchase ADD COLUMN a int DEFAULT 1;")
    shop.classic.execute(
        "UPDATE migrator.plan SET body = %s, shim = %s, digest = %s",
        (
            Json({**dump(shop.plan), "classic": {"writer": "env:A"}, "limitless": {"dsn": "env:B"}}),
            Json(shim_settings(shop.plan)),
            digest(shop.plan),
        ),
    )
    names = {"A": shop.classic_dsn, "B": shop.limitless_dsn, "MIGRATOR_CLASSIC_DSN": shop.classic_dsn}
    operator = Operator(tmp_path, names)
    async with shop.mirrors():
        dry = await asyncio.to_thread(operator, "schema", "apply", str(path), "--dry-run")
        assert "on Limitless, with what existing rows get" in dry.out
        assert "a" not in columns_of(shop.limitless, "shop.purchase")
        first = await asyncio.to_thread(operator, "schema", "apply", str(path), "--json")
        second = await asyncio.to_thread(operator, "schema", "apply", str(path))
        listed = await asyncio.to_thread(operator, "schema", "status", "--json")
        path.write_text("TRUNCATE shop.purchase")
        refused = await asyncio.to_thread(operator, "schema", "apply", str(path), "--json")

    assert (first.code, first.json["finished"]) == (0, ["add column shop.purchase.a (integer)"])
    assert (second.code, second.out) == (0, "Nothing to do: both sides are as the file says.\n")
    assert [c["last step"] for c in listed.json["changes"]] == ["set_default_on_limitless"]
    assert refused.code == 3
    assert "TRUNCATE shop.purchase is not possible" in refused.out + refused.err

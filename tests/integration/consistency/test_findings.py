"""A validation names what differs, exactly that, and everything is counted somewhere."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import sql

from migrator.consistency.run import validate
from migrator.dataplane.repair import repair
from migrator.model.divergence import Divergence, ValidationReport
from migrator.model.tenant import TenantId
from tests.fixtures.rows import value
from tests.fixtures.shop import BELONGS, FOUND, Shop

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

Finding = tuple[str, str | None, str, str, tuple[str, ...]]


async def look(shop: Shop, **options: Any) -> ValidationReport:
    return await validate(shop.classic_dsn, shop.limitless_dsn, tenants_per_fence=5, sample=10_000, **options)


def finding(d: Divergence) -> Finding:
    return d.table, d.tenant_id, ",".join(value.strip() for _, value in d.key), d.kind.value, d.columns


# What somebody does to Limitless behind the mirror's back, each to rows of its own, and what must be said about it.
# Purchases 1, 13, 25, ... and lines 12, 24, 36, ... belong to tenant 2.
CORRUPTIONS: list[tuple[str, set[Finding]]] = [
    ("DELETE FROM shop.purchase WHERE tenant_id = 2 AND id = 1", {("shop.purchase", "2", "1", "missing", ())}),
    (
        "INSERT INTO shop.line (tenant_id, id, sku) VALUES (2, 99999, 'ghost')",
        {("shop.line", "2", "99999", "extra", ())},
    ),
    (
        "UPDATE shop.purchase SET total = total + 0.01 WHERE tenant_id = 2 AND id = 13",
        {("shop.purchase", "2", "13", "mismatched", ("total",))},
    ),
    (
        "UPDATE shop.purchase SET note = '{}', mood = 'sad' WHERE tenant_id = 2 AND id = 25",
        {("shop.purchase", "2", "25", "mismatched", ("mood", "note"))},
    ),
    (
        "UPDATE shop.line SET sku = '' WHERE tenant_id = 2 AND id = 36",
        {("shop.line", "2", "36", "mismatched", ("sku",))},
    ),
    (
        "UPDATE shop.line SET tags = '{48,\"\"}' WHERE tenant_id = 2 AND id = 48",
        {("shop.line", "2", "48", "mismatched", ("tags",))},
    ),
    (
        "UPDATE shop.line SET sku = sku || ' ' WHERE tenant_id = 2 AND id = 60",
        {("shop.line", "2", "60", "mismatched", ("sku",))},
    ),
    (
        "UPDATE shop.currency SET rate = 1.10 WHERE code = 'USD'",
        {("shop.currency", None, "USD", "mismatched", ("rate",))},
    ),
    ("DELETE FROM shop.currency WHERE code = 'JPY'", {("shop.currency", None, "JPY", "missing", ())}),
    ("INSERT INTO shop.currency VALUES ('XXX', 1)", {("shop.currency", None, "XXX", "extra", ())}),
    ("DELETE FROM shop.tenant WHERE tenant_id = 5", {("shop.tenant", "5", "5", "missing", ())}),
    (  # two rows swap their values: counts and sums of values stay the same
        "UPDATE shop.purchase p SET total = q.total FROM shop.purchase q"
        " WHERE p.tenant_id = 2 AND q.tenant_id = 2 AND (p.id, q.id) IN ((61, 85), (85, 61))",
        {
            ("shop.purchase", "2", "61", "mismatched", ("total",)),
            ("shop.purchase", "2", "85", "mismatched", ("total",)),
        },
    ),
    (  # a row under the wrong tenant
        "WITH moved AS (DELETE FROM shop.line WHERE tenant_id = 2 AND id = 72 RETURNING *)"
        " INSERT INTO shop.line (tenant_id, id, purchase_id, sku, tags)"
        " SELECT 4, id, purchase_id, sku, tags FROM moved",
        {("shop.line", "2", "72", "missing", ()), ("shop.line", "4", "72", "extra", ())},
    ),
    ("INSERT INTO shop.tenant VALUES (777, 'nobody')", {("shop.tenant", "777", "1 row", "extra", ())}),
]
LOST = ("shop.tenant", "shop.purchase", "shop.line", "shop.remark")


def total(shop: Shop, side: str, queries: dict[str, str]) -> int:
    conn = getattr(shop, side)
    counts = [sql.SQL("SELECT count(*) FROM ({}) q").format(sql.SQL(query)) for query in queries.values()]
    return sum(conn.execute(count).fetchone()[0] for count in counts)


async def test_every_corruption_is_named_and_nothing_else(shop: Shop) -> None:
    """All at once, a whole tenant lost among them; marking rows dirty brings them back."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        clean = await look(shop)
        expected = set().union(*(wanted for _, wanted in CORRUPTIONS))
        for statement, _ in CORRUPTIONS:
            shop.limitless.execute(statement.encode())
        for table in LOST:
            key = "line_id || ',' || number" if table == "shop.remark" else "id"
            key = "tenant_id" if table == "shop.tenant" else key
            delete = sql.SQL("DELETE FROM {} WHERE tenant_id = 7 RETURNING ({})::text")
            gone = shop.limitless.execute(delete.format(sql.SQL(table), sql.SQL(key)))
            expected |= {(table, "7", name, "missing", ()) for (name,) in gone}
        found = await look(shop)
        only = await look(shop, tables=["shop.currency"])

        repaired = repair(shop.classic, "ana")
        twice = repair(shop.classic, "ana")
        shop.limitless.execute("DELETE FROM shop.tenant WHERE tenant_id = 777")
        after = await look(shop)

    assert clean.clean and clean.whole and clean.sample == ()
    assert {finding(d) for d in found.sample} == expected
    assert len(found.sample) == len({finding(d) for d in found.sample}) == found.divergent_rows == len(expected)
    assert {v.tenant_id for v in found.tenants if v.divergent_rows} == {None, "2", "4", "5", "7"}
    assert {finding(d) for d in only.sample} == {f for f in expected if f[0] == "shop.currency"}
    assert (repaired, twice) == (len(expected) - 1, 0), "the orphan row's tenant is unknown, so no mirror repairs it"
    assert after.clean, after
    assert shop.differences() == {}
    recorded = shop.classic.execute("SELECT who, kind, reason FROM migrator.decision WHERE who = 'ana'").fetchall()
    assert recorded == [("ana", "divergence.repaired", "classic → limitless, marked dirty for the mirror")]


async def test_every_row_is_counted_somewhere(shop: Shop) -> None:
    """Tenants, orphan rows, tenants not mirrored, rows of unknown tenants: together they are all rows of both sides."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.classic.execute("UPDATE shop.line SET purchase_id = NULL WHERE id IN (3, 4)")
        shop.classic.execute("INSERT INTO shop.tenant VALUES (50, 'signs up')")
        shop.classic.execute("INSERT INTO shop.purchase (id, tenant_id) VALUES (9001, 50), (9002, 50)")
        shop.limitless.execute("INSERT INTO shop.tenant VALUES (777, 'nobody')")
        await shop.caught_up()
        report = await look(shop)
        some = await look(shop, tenants=["3", "no such tenant"])
        here = sum(value(shop.classic, sql.SQL("SELECT count(*) FROM {}").format(sql.SQL(table))) for table in BELONGS)

    assert report.tenantless_rows == 2 + _orphans(shop), "lines without a purchase, and remarks under them"
    assert (report.unmirrored, report.unmirrored_rows, report.stray_rows) == (("50",), 3, 1)
    assert report.rows + report.tenantless_rows + report.unmirrored_rows == here
    assert report.limitless_rows + report.stray_rows == total(shop, "limitless", FOUND)
    assert not report.clean
    assert [v.tenant_id for v in some.tenants] == ["3"] and not some.whole


def _orphans(shop: Shop) -> int:
    return int(value(shop.classic, "SELECT count(*) FROM shop.remark WHERE line_id IN (3, 4)"))


async def test_a_table_that_was_never_captured_is_not_clean(shop: Shop) -> None:
    """Its rows are unknown; a validation of chosen tenants says nothing about it."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.classic.execute("CREATE TABLE shop.later (tenant_id bigint NOT NULL, id bigint PRIMARY KEY)")
        await shop.caught_up()
        whole = await validate(shop.classic_dsn, shop.limitless_dsn)
        some = await validate(shop.classic_dsn, shop.limitless_dsn, tenants=[TenantId("1")])

    assert (whole.clean, whole.divergent_rows) == (False, 0)
    assert any(line.startswith("table shop.later is not captured") for line in whole.unknown)
    assert some.clean

"""A validation names what differs, exactly that, while both sides are written."""

from __future__ import annotations

import asyncio

import pytest

from migrator.capture.repair import repair
from migrator.consistency.run import validate
from migrator.model.divergence import DivergenceKind, ValidationReport
from tests.fixtures.shop import Shop
from tests.integration.dataplane.test_equality import Writers

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]


async def look(shop: Shop, **options: object) -> ValidationReport:
    return await validate(shop.classic_dsn, shop.limitless_dsn, tenants_per_fence=5, **options)  # type: ignore[arg-type]


# What somebody does to Limitless behind the mirror's back, and what must be said about it.
CORRUPTIONS = [
    ("DELETE FROM shop.purchase WHERE tenant_id = 2 AND id = 1", {("shop.purchase", "2", "1", "missing", ())}),
    (
        "INSERT INTO shop.line (tenant_id, id, sku) VALUES (2, 99999, 'ghost')",
        {("shop.line", "2", "99999", "extra", ())},
    ),
    (
        "UPDATE shop.purchase SET total = total + 0.01 WHERE tenant_id = 2 AND id = 1",
        {("shop.purchase", "2", "1", "mismatched", ("total",))},
    ),
    (
        "UPDATE shop.purchase SET note = '{}', mood = 'sad' WHERE tenant_id = 2 AND id = 1",
        {("shop.purchase", "2", "1", "mismatched", ("mood", "note"))},
    ),
    (
        "UPDATE shop.line SET sku = '' WHERE tenant_id = 2 AND id = 12",
        {("shop.line", "2", "12", "mismatched", ("sku",))},
    ),
    (
        "UPDATE shop.line SET tags = '{12,\"\"}' WHERE tenant_id = 2 AND id = 12",
        {("shop.line", "2", "12", "mismatched", ("tags",))},
    ),
    (
        "UPDATE shop.currency SET rate = 1.10 WHERE code = 'USD'",
        {("shop.currency", None, "USD", "mismatched", ("rate",))},
    ),
    ("DELETE FROM shop.currency WHERE code = 'JPY'", {("shop.currency", None, "JPY", "missing", ())}),
    ("DELETE FROM shop.tenant WHERE tenant_id = 5", {("shop.tenant", "5", "5", "missing", ())}),
]


@pytest.mark.parametrize(("corruption", "expected"), CORRUPTIONS)
async def test_a_corruption_is_named_and_repaired(shop: Shop, corruption: str, expected: set) -> None:
    """Exactly the corrupted rows are found; marking them dirty brings them back."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        clean = await look(shop)
        shop.limitless.execute(corruption)
        found = await look(shop)
        repaired = repair(shop.classic, "ana")
        await shop.caught_up()
        after = await look(shop)

    assert (clean.clean, clean.unmirrored) == (True, ())
    assert {(d.table, d.tenant_id, d.key[0][1].strip(), d.kind.value, d.columns) for d in found.sample} == expected
    assert found.divergent_rows == len(expected) == repaired
    assert after.clean
    assert shop.differences() == {}


async def test_swapped_values_a_wrong_tenant_and_a_lost_tenant_are_found(shop: Shop) -> None:
    """Differences that keep counts and sums of values are differences all the same."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.limitless.execute(
            "UPDATE shop.purchase p SET total = q.total FROM shop.purchase q"
            " WHERE p.tenant_id = 2 AND q.tenant_id = 2 AND (p.id, q.id) IN ((1, 13), (13, 1))"
        )
        shop.limitless.execute("INSERT INTO shop.tenant VALUES (777, 'nobody')")
        shop.limitless.execute("DELETE FROM shop.line WHERE tenant_id = 5")
        lost = shop.classic.execute(
            "SELECT count(*) FROM shop.line l JOIN shop.purchase p ON p.id = l.purchase_id WHERE tenant_id = 5"
        ).fetchone()
        found = await look(shop, sample=1000)

    kinds = [(d.table, d.tenant_id, d.kind) for d in found.sample]
    assert kinds.count(("shop.purchase", "2", DivergenceKind.MISMATCHED)) == 2
    assert kinds.count(("shop.tenant", "777", DivergenceKind.EXTRA)) == 1
    assert kinds.count(("shop.line", "5", DivergenceKind.MISSING)) == lost[0] > 0
    assert found.divergent_rows == len(kinds) == 3 + lost[0]


async def test_nothing_is_found_where_nothing_is_wrong(shop: Shop) -> None:
    """Validation beside writers, fence after fence, reports no difference."""
    await shop.start()
    reports = []
    with Writers(shop.classic_dsn, seed=7):
        async with shop.mirrors():
            await shop.copy_all()
            for _ in range(8):
                reports.append(await look(shop, tenants=["1", "2", "3", "4", "5", "6"]))

    assert [r.divergent_rows for r in reports] == [0] * 8
    assert all(r.rows > 100 and len(r.tenants) == 6 for r in reports)


async def test_a_validator_that_dawdles_loses_its_fence(shop: Shop) -> None:
    """The mirror waits for a bounded time, and values stay out of what is said."""
    await shop.start()
    shop.options = type(shop.options)(fence_wait_s=0.2)
    async with shop.mirrors():
        await shop.copy_all()
        shop.classic.execute(
            "INSERT INTO migrator.fence (fence_id, part) VALUES ('00000000-0000-0000-0000-000000000001', 1)"
        )
        shop.classic.execute("UPDATE shop.tenant SET name = 'still moving'")
        await asyncio.wait_for(shop.caught_up(), 10)
        state = shop.classic.execute("SELECT state FROM migrator.fence").fetchall()
        report = await look(shop)

    assert state == [("expired",)]
    assert report.clean

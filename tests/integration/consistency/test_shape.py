"""Tables that change their shape while they are compared: nothing is known, and it is said; never a wrong verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from migrator.consistency import check
from migrator.consistency.compare import Digest
from migrator.consistency.fence import Fence
from migrator.consistency.run import validate
from migrator.model.table import Table
from tests.fixtures.shop import Shop

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

# The first two make a table look empty, or full of rows of later, to a snapshot of before.
CHANGES = {
    "rewritten": ("limitless", ["ALTER TABLE shop.line ALTER COLUMN sku TYPE varchar({0})"]),
    "emptied": (
        "limitless",
        ["CREATE TABLE shop.kept{0} AS TABLE shop.remark", "TRUNCATE shop.remark",
         "INSERT INTO shop.remark SELECT * FROM shop.kept{0}"],
    ),
    "added": ("classic", ["ALTER TABLE shop.purchase ADD COLUMN more{0} int"]),
}  # fmt: skip


class Changing:
    """Compares as usual, but for a change between the fence and the first table, the first *times* times."""

    def __init__(self, shop: Shop, change: str, times: int) -> None:
        self.shop, self.times, self.made = shop, times, 0
        self.fence = ""
        self.side, self.statements = CHANGES[change]

    def change(self) -> None:
        conn = self.shop.classic if self.side == "classic" else self.shop.limitless
        with conn.transaction():
            conn.execute("SET LOCAL migrator.ddl = 'allowed'")
            conn.execute("SET LOCAL lock_timeout = '60s'")
            for statement in self.statements:
                conn.execute(statement.format(400 + self.made).encode())

    async def __call__(
        self, fence: Fence, table: Table, tenants: Sequence[str], known: int
    ) -> tuple[dict[str | None, Digest], dict[str | None, Digest]]:
        if fence.part == 1 and self.fence != fence.snapshot and self.made < self.times:
            self.fence = fence.snapshot
            self.made += 1
            await asyncio.to_thread(self.change)  # it may wait for a mirror, which lives in this loop
        return await TABLE_DIGESTS(fence, table, tenants, known)


TABLE_DIGESTS = check.table_digests


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_in_the_middle_costs_another_fence(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Both sides are equal at every moment, and that is what is said, from a fence after the change."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        usual = await validate(shop.classic_dsn, shop.limitless_dsn)
        changing = Changing(shop, change, 1)
        monkeypatch.setattr(check, "table_digests", changing)
        report = await validate(shop.classic_dsn, shop.limitless_dsn)

    assert changing.made == 1
    assert report.clean and report.rows == usual.rows, report
    assert len(report.fence_pause_ms) == len(usual.fence_pause_ms) + 1


async def test_who_never_stands_still_is_unknown(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not clean, not divergent; verdicts of before stay as they are, and nothing is recorded."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        usual = await validate(shop.classic_dsn, shop.limitless_dsn)
        monkeypatch.setattr(check, "table_digests", Changing(shop, "rewritten", 100))
        report = await validate(shop.classic_dsn, shop.limitless_dsn)

    first = {str(t) for (t,) in shop.classic.execute("SELECT tenant_id FROM migrator.tenant WHERE part = 1")}
    assert (report.clean, report.divergent_rows, report.sample) == (False, 0, ())
    assert {text.split()[1].rstrip(":") for text in report.unknown} == first
    assert {v.tenant_id for v in usual.tenants} - {v.tenant_id for v in report.tenants} == first
    assert shop.classic.execute("SELECT count(*) FROM migrator.divergence").fetchone() == (0,)


async def test_reference_tables_that_are_not_there_are_unknown(shop: Shop) -> None:
    """Nobody copied anything: no row was compared, so nothing is clean."""
    await shop.start()
    async with shop.mirrors():
        report = await validate(shop.classic_dsn, shop.limitless_dsn)

    assert report.unknown == ("reference tables: they are not copied yet",)
    assert not report.clean and report.tenants == ()

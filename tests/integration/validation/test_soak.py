"""No false positive, ever: validation beside writers of every kind, with mirrors that are killed now and then."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from migrator.capture.repair import repair
from migrator.consistency.run import validate
from migrator.model.tenant import TenantId
from tests.fixtures.shop import PARTS, Shop
from tests.integration.dataplane.test_equality import Writers

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

CORRUPTED = {("shop.tenant", "3"), ("shop.tenant", "4"), ("shop.currency", None)}
"""What the soak corrupts and no writer ever touches, so that it stays corrupted until it is repaired."""


@pytest.mark.parametrize("seconds", [20, pytest.param(120, marks=pytest.mark.slow)])
async def test_writers_and_kills_make_no_divergence(shop: Shop, seconds: int) -> None:
    """Fence after fence reports nothing; then corrupted rows, and those only; after a repair, nothing again."""
    r = random.Random(seconds)
    await shop.start()
    false, fences, pauses, killed = [], 0, [], 0
    with Writers(shop.classic_dsn, seed=seconds, count=3) as writers:
        async with shop.mirrors() as tasks:
            await shop.copy_all()
            before, began = writers.committed, time.monotonic()
            while time.monotonic() - began < seconds:
                look = asyncio.create_task(validate(shop.classic_dsn, shop.limitless_dsn, tenants_per_fence=4))
                if r.random() < 0.5:
                    part = r.randint(0, PARTS)
                    await asyncio.sleep(r.random() * 0.3)
                    tasks[part].cancel()
                    await asyncio.gather(tasks[part], return_exceptions=True)
                    tasks[part] = shop.mirror(part)
                    killed += 1
                report = await look
                false += list(report.sample)
                fences += len(report.fence_pause_ms)
                pauses += report.fence_pause_ms
                await asyncio.sleep(r.random())
            elapsed, written = time.monotonic() - began, writers.committed - before

            shop.limitless.execute("UPDATE shop.tenant SET name = 'corrupted' WHERE tenant_id IN (3, 4)")
            shop.limitless.execute("UPDATE shop.currency SET rate = 7 WHERE code = 'EUR'")
            found = await validate(shop.classic_dsn, shop.limitless_dsn)
            marked = repair(shop.classic, "ana")
            mended = await validate(shop.classic_dsn, shop.limitless_dsn)
        writers.stop.set()
        for thread in writers.threads:
            thread.join()
        async with shop.mirrors():
            await shop.caught_up()
            last = await validate(
                shop.classic_dsn, shop.limitless_dsn, tenants=[TenantId(str(t)) for t in range(1, 13)]
            )
    print(
        f"{written / elapsed:.0f} transactions/s for {elapsed:.0f} s, {fences} fences, {killed} mirrors killed,"
        f" longest pause {max(pauses):.1f} ms"
    )

    assert false == []
    assert fences >= seconds / 2 and written > 20 * seconds
    assert {(d.table, d.tenant_id) for d in found.sample} == CORRUPTED
    assert (found.divergent_rows, marked, mended.divergent_rows, last.divergent_rows) == (3, 3, 0, 0)
    assert shop.differences() == {}

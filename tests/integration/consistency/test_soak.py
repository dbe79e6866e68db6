"""No false positive, ever: validation beside writers of every kind, with mirrors and validators that are killed.

MIGRATOR_SOAK_S sets the length of the long form in seconds (default 120).
"""

from __future__ import annotations

import asyncio
import os
import random
import time

import pytest

from migrator.consistency.run import validate
from migrator.dataplane.repair import repair
from migrator.model.tenant import TenantId
from tests.fixtures.shop import Shop
from tests.fixtures.world import PARTS
from tests.integration.dataplane.test_equality import Writers, _kill_a_session

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]

LONG_S = int(os.environ.get("MIGRATOR_SOAK_S", "120"))
CORRUPTED = {("shop.tenant", "3"), ("shop.tenant", "4"), ("shop.currency", None)}
"""What the soak corrupts and no writer ever touches, so that it stays corrupted until it is repaired."""


def rows_written(shop: Shop) -> int:
    """Rows of the application that were written, as the server counts them."""
    row = shop.classic.execute(
        "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables WHERE schemaname = 'shop'"
    ).fetchone()
    return int(row[0]) if row else 0


async def disturb(shop: Shop, tasks: list[asyncio.Task[None]], r: random.Random) -> None:
    """Stop a mirror as a worker that dies would, or end one of its sessions, somewhere in a validation."""
    await asyncio.sleep(r.random() * 0.3)  # the fault itself: at which moment it comes
    if r.random() < 0.3:
        _kill_a_session(shop, r)
        return
    part = r.randint(0, PARTS)
    tasks[part].cancel()
    await asyncio.gather(tasks[part], return_exceptions=True)
    tasks[part] = shop.mirror(part)


@pytest.mark.parametrize("seconds", [10, pytest.param(LONG_S, marks=pytest.mark.slow)])
async def test_writers_and_kills_make_no_divergence(shop: Shop, seconds: int) -> None:
    """Fence after fence reports nothing; then corrupted rows, and those only; after a repair, nothing again."""
    r = random.Random(seconds)
    await shop.start()
    false, pauses, compared, killed, died, said = [], [0.0], 0, 0, 0, time.monotonic()
    with Writers(shop.classic_dsn, seed=seconds, count=3) as writers:
        async with shop.mirrors() as tasks:
            await shop.copy_all()
            before, rows, began = writers.committed, rows_written(shop), time.monotonic()
            while time.monotonic() - began < seconds:
                look = asyncio.create_task(validate(shop.classic_dsn, shop.limitless_dsn, tenants_per_fence=4))
                if r.random() < 0.1:  # a validator dies, perhaps with a fence in its hands
                    await asyncio.wait([look], timeout=r.random() * 0.2)
                    look.cancel()
                    await asyncio.gather(look, return_exceptions=True)
                    died += 1
                    continue
                if r.random() < 0.5:
                    await disturb(shop, tasks, r)
                    killed += 1
                report = await look
                false += list(report.sample)
                assert not report.divergent_rows, report
                compared += report.rows
                pauses += report.fence_pause_ms
                if time.monotonic() - said > 60:
                    said = time.monotonic()
                    print(
                        f"{said - began:.0f} s: {len(pauses) - 1} fences, {killed} kills, {compared:,} rows", flush=True
                    )
                await asyncio.sleep(r.random())  # traffic between two validations: the soak itself
            elapsed, written = time.monotonic() - began, writers.committed - before
            rows = rows_written(shop) - rows

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
    pauses.sort()
    print(
        f"{written / elapsed:.0f} transactions/s, {rows / elapsed:.0f} rows/s written for {elapsed:.0f} s,"
        f" {len(pauses) - 1} fences, {compared:,} rows compared, {killed} mirrors or their sessions killed,"
        f" {died} validators killed, pause p50 {pauses[len(pauses) // 2]:.1f} p99 {pauses[int(len(pauses) * 0.99)]:.1f}"
        f" longest {pauses[-1]:.1f} ms"
    )

    assert false == []
    assert len(pauses) > seconds / 2 and written > 20 * seconds
    assert {(d.table, d.tenant_id) for d in found.sample} == CORRUPTED
    assert (found.divergent_rows, marked, mended.divergent_rows, last.divergent_rows) == (3, 3, 0, 0)
    assert shop.differences() == {}

"""What waits in the journal is known, and what waits costs nothing but its place."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from migrator.dataplane.backfill.throttle import Limits, Load, throttle_reason
from migrator.dataplane.capture import backlog as waiting_module
from migrator.dataplane.capture import ring
from migrator.dataplane.capture.backlog import waiting
from migrator.dataplane.capture.install import mark_dirty
from migrator.dataplane.mirror.cycle import run_cycle
from migrator.dataplane.mirror.run import _open
from migrator.db.connect import connect_async
from tests.fixtures.shop import Shop
from tests.fixtures.world import PARTS

pytestmark = [pytest.mark.pg]


def _purchase_part(shop: Shop) -> int:
    row = shop.classic.execute("SELECT part FROM migrator.tenant WHERE tenant_id = '1'").fetchone()
    assert row is not None
    return int(row[0])


async def test_what_waits_is_counted_for_whom_it_waits(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """By tenant's partition; a key without a tenant for all of tenants; once applied, for nobody."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()
    assert {w.part: (w.entries, w.oldest_s, w.bytes) for w in waiting(shop.classic).parts} == dict.fromkeys(
        range(PARTS + 1), (0, 0.0, 0)
    )
    part = _purchase_part(shop)
    shop.classic.execute("UPDATE shop.currency SET rate = 2 WHERE code = 'EUR'")
    mark_dirty(shop.classic, shop.table("shop.purchase"), [["1", "3"]] * 300, PARTS)
    mark_dirty(shop.classic, shop.table("shop.purchase"), [[None, "3"]] * 20, PARTS)
    expected = {0: len(shop.classic.execute("SELECT FROM shop.currency WHERE code = 'EUR'").fetchall())}
    expected |= dict.fromkeys(range(1, PARTS + 1), 20)
    expected[part] += 300

    found = waiting(shop.classic)

    assert {w.part: w.entries for w in found.parts} == expected
    assert all((w.oldest_s > 0, w.bytes > 0) == (w.entries > 0, w.entries > 0) for w in found.parts)
    assert found.entries >= 320 and not found.estimated and found.limit_bytes == 4096 * 10**6
    assert found.bytes >= sum(w.bytes for w in found.parts if w.part == part) > 0
    monkeypatch.setattr(waiting_module, "SAMPLED_BYTES", 8192)
    assert waiting(shop.classic).estimated
    async with shop.mirrors():
        await shop.caught_up()
    assert [w.entries for w in waiting(shop.classic).parts] == [0] * (PARTS + 1)


FLUSH = "SELECT pg_stat_force_next_flush()"
"""The session's counts become everybody's at the end of this statement."""


async def _blocks(shop: Shop, entries: int) -> int:
    """Blocks of the journal that one cycle of partition 1 with ten new keys reads; *entries* old ones came before.

    The server counts what everybody reads, so autovacuum, which comes once a minute, leaves the journals alone.
    """
    for (journal,) in shop.classic.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'migrator'::regnamespace"
        " AND relname LIKE 'journal%' AND relkind = 'r'"
    ).fetchall():
        shop.classic.execute(
            sql.SQL("ALTER TABLE {} SET (autovacuum_enabled = false)").format(sql.Identifier("migrator", journal))
        )
    table = shop.table("shop.purchase")
    part = _purchase_part(shop)
    for _ in range(entries // 10_000):
        mark_dirty(shop.classic, table, [["1", "3"]] * 10_000, PARTS)
    query = (
        "SELECT coalesce(sum(heap_blks_read + heap_blks_hit), 0)::bigint FROM pg_statio_user_tables"
        " WHERE schemaname = 'migrator' AND relname LIKE 'journal%'"
    )
    async with _open(shop.classic_dsn, shop.limitless_dsn, part, None, shop.options) as p:
        await run_cycle(p)  # applies the old ones; what it reads is what was new to it
        ids = sorted(p.tables)
        async with await connect_async(shop.classic_dsn, "test") as conn:
            await ring.summarise(conn, ids, 3, {})
            await conn.execute(FLUSH)  # else the blocks it read are counted when its process ends, perhaps later
        mark_dirty(shop.classic, table, [["1", str(n)] for n in range(1, 11)], PARTS)
        shop.classic.execute(FLUSH)

        async def count() -> int:
            await p.reader.execute(FLUSH)
            row = await (await p.reader.execute(query)).fetchone()
            await p.reader.execute("SELECT pg_stat_clear_snapshot()")
            assert row is not None
            return int(row[0])

        await count()
        before = await count()
        stats = await run_cycle(p)
        await count()
        after = await count()
    assert stats is not None and stats.rows > 0
    return after - before


async def test_a_transaction_left_open_makes_no_cycle_dearer(shop: Shop) -> None:
    """Nothing can be emptied, and its xid keeps every snapshot open at the bottom; a cycle still reads what is new."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()
    with psycopg.connect(shop.classic_dsn) as old:
        old.execute("UPDATE shop.purchase SET total = 1 WHERE id = 5")
        few = await _blocks(shop, 0)
        many = await _blocks(shop, 200_000)
        size = sum(w.bytes for w in waiting(shop.classic).parts), waiting(shop.classic).bytes // 8192

    assert size[1] > 1000
    assert many <= few + 3 * 3 * 16, f"{many} blocks instead of {few}"  # the ranges not summarised yet, a few looks


def test_over_the_limit_no_copy_starts() -> None:
    """And the reason names both figures."""
    held = throttle_reason(Load(journal_mb=4097), Limits(journal_limit_mb=4096))
    assert held == "the journal holds 4097 MB (limit 4096)"
    assert throttle_reason(Load(journal_mb=4096), Limits(journal_limit_mb=4096)) is None

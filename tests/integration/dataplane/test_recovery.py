"""What was quarantined comes back; what cannot be trusted is copied again; what is old costs nothing."""

from __future__ import annotations

import asyncio
import re

import psycopg
import pytest

from migrator.dataplane import recovery
from migrator.dataplane.capture import ring
from migrator.dataplane.capture.install import mark_dirty
from migrator.dataplane.mirror import rows_sql
from migrator.dataplane.mirror.cycle import run_cycle
from migrator.dataplane.mirror.run import _open
from migrator.db.connect import connect_async
from migrator.errors import HistoryForked, PreconditionFailed
from migrator.model.position import Snapshot
from tests.fixtures.rows import value
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import TIMEOUT_S, until
from tests.fixtures.world import PARTS

pytestmark = [pytest.mark.pg]


async def test_a_quarantined_tenant_is_copied_again(shop: Shop) -> None:
    """Once the cause is gone, and only then it is a member again."""
    await shop.start()
    shop.limitless.execute("ALTER TABLE shop.purchase ADD CONSTRAINT small CHECK (total < 100000)")
    async with shop.mirrors():
        await shop.copy_all()
        shop.classic.execute("UPDATE shop.purchase SET total = 500000 WHERE id = 3")  # tenant 1
        await shop.caught_up()
        assert [t for t, _ in recovery.quarantined(shop.classic)] == ["1"]
        with pytest.raises(PreconditionFailed):
            recovery.retry(shop.classic, ["1", "2"], "ana")
        shop.limitless.execute("ALTER TABLE shop.purchase DROP CONSTRAINT small")
        assert recovery.retry(shop.classic, ["1"], "ana") == ["1"]
        assert recovery.retry(shop.classic, None, "ana") == []
        await shop.copy_all()
        await shop.caught_up()

    assert (recovery.quarantined(shop.classic), shop.differences()) == ([], {})


async def test_after_history_forked_everything_is_copied_again(shop: Shop) -> None:
    """Classic is as it was an hour ago: rows, tenants, tokens. Limitless knows more, and must forget it."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        shop.classic.execute("INSERT INTO shop.tenant VALUES (77, 'made in the lost hour')")
        shop.classic.execute("INSERT INTO shop.purchase VALUES (9000, 77, 1, 5, 'ok', '{}')")
        await shop.copy_all()
        await shop.caught_up()
    # A restore: what was written since is gone, behind the back of every trigger.
    shop.classic.execute("SET session_replication_role = replica")
    shop.classic.execute("SELECT set_config('migrator.ddl', 'allowed', false)")
    for table in ("purchase", "tenant"):
        shop.classic.execute(f"ALTER TABLE shop.{table} DISABLE TRIGGER ALL")
    shop.classic.execute("DELETE FROM shop.purchase WHERE id = 9000 OR id < 50")
    shop.classic.execute("DELETE FROM shop.tenant WHERE tenant_id = 77")
    for table in ("purchase", "tenant"):
        shop.classic.execute(f"ALTER TABLE shop.{table} ENABLE TRIGGER ALL")
    shop.classic.execute("DELETE FROM migrator.tenant WHERE tenant_id = '77'")
    shop.classic.execute("UPDATE migrator.heartbeat SET token = gen_random_uuid(), base_token = gen_random_uuid()")
    shop.fallbacks.clear()
    with pytest.raises(HistoryForked):
        await shop.mirror(1)
    assert [t for t, _ in shop.fallbacks] == [""], "reads left before the mirror gave up"

    recovery.recopy(shop.classic, shop.limitless, "ana", "restored")
    recovery.recopy(shop.classic, shop.limitless, "ana", "restored")
    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()

    assert shop.differences() == {}


def _pages(plan: object) -> int:
    text = str(plan)
    return sum(int(n) for n in re.findall(r"'Shared (?:Hit|Read) Blocks': (\d+)", text.split("'Plans'")[0]))


async def test_a_look_costs_what_is_new_and_not_what_is_old(shop: Shop) -> None:
    """A transaction stays open, so nothing can be emptied; 200 000 old entries cost a cycle next to nothing."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
    with psycopg.connect(shop.classic_dsn) as old:
        old.execute("UPDATE shop.purchase SET total = 1 WHERE id = 5")
        table = shop.table("shop.purchase")
        for _ in range(20):
            mark_dirty(shop.classic, table, [["1", "3"]] * 10_000, PARTS)
        number = value(shop.classic, "SELECT table_id FROM migrator.captured_table WHERE qualified = 'shop.purchase'")
        async with await connect_async(shop.classic_dsn, "test") as conn:
            await ring.summarise(conn, [number], 3, {})
        snapshot = Snapshot.parse(value(shop.classic, "SELECT pg_current_snapshot()::text"))
        assert snapshot.xip, "the old transaction is running"
        async with _open(shop.classic_dsn, shop.limitless_dsn, 1, None, shop.options) as p:
            query = rows_sql.any_entries([(number, table)], 1, snapshot)
            shown = await (
                await p.reader.execute(
                    psycopg.sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT {}").format(query)
                )
            ).fetchone()
        size = value(shop.classic, f"SELECT pg_relation_size('migrator.journal_{number}_0') / 8192")

    assert size > 1000 and shown is not None
    assert _pages(shown[0][0]) < size / 10
    assert "Bitmap Heap Scan" in str(shown)


async def test_a_journal_over_its_limit_is_an_incident_and_loses_nothing(shop: Shop) -> None:
    """One incident, however long it lasts; the entries stay."""
    await shop.start()
    shop.options = type(shop.options)(journal_limit_mb=0.01)
    async with shop.mirrors():
        await shop.copy_all()
        with psycopg.connect(shop.classic_dsn) as old:
            old.execute("UPDATE shop.purchase SET total = 1 WHERE id = 5")
            await asyncio.to_thread(shop.classic.execute, "UPDATE shop.line SET sku = sku || '!'")

            async def alarmed() -> bool:
                row = shop.classic.execute("SELECT count(*) FROM migrator.incident WHERE kind = 'journal'").fetchone()
                return row == (1,)

            await until(alarmed, "an incident is recorded")
        await shop.caught_up()

    assert shop.differences() == {}


async def test_two_mirrors_that_claim_one_partition_leave_one(shop: Shop) -> None:
    """The second one wins; the first one ends with LeaseLost, and nothing is applied twice or lost."""
    await shop.start()
    async with shop.mirrors() as tasks:
        await shop.copy_all()
        second = shop.mirror(1)
        await asyncio.wait([tasks[1]], timeout=TIMEOUT_S)
        assert type(tasks[1].exception()).__name__ == "LeaseLost"
        tasks[1] = second
        shop.classic.execute("UPDATE shop.purchase SET total = 3")
        await shop.caught_up()

    assert shop.differences() == {}


async def test_a_mirror_reads_nothing_while_it_has_nothing(shop: Shop) -> None:
    """An idle cycle without a fence writes nothing on Limitless."""
    await shop.start()
    async with _open(shop.classic_dsn, shop.limitless_dsn, 1, None, shop.options) as p:
        await run_cycle(p)
        assert await run_cycle(p) is None

"""A mirror process that stops at a chosen instant: in the middle of a transaction, or between two chunks of a batch.

The instant is chosen with a lock: the mirror waits on Limitless for a row that the test holds.
"""

from __future__ import annotations

import signal

import psycopg
import pytest

from migrator.dataplane import recovery
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import until
from tests.integration.dataplane.processes import process

pytestmark = [pytest.mark.pg]

IDLE_LIMIT_S = 10.0
"""After so long the server ends the session of a mirror that stands still in a transaction."""


async def waits_for_a_lock(shop: Shop) -> None:
    """Wait until a mirror's session on Limitless waits for a row."""

    async def waiting() -> bool:
        return shop.limitless.execute(
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name LIKE 'migrator mirror%%'"
            " AND wait_event_type = 'Lock' AND datname = current_database()"
        ).fetchone() == (True,)

    await until(waiting, "a mirror waits for the row")


async def copied(shop: Shop) -> None:
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()


@pytest.mark.slow  # the limit it waits for is ten seconds
async def test_a_mirror_frozen_in_a_transaction_does_not_hold_its_successor(shop: Shop) -> None:
    """It holds the position and rows; its session is ended by the server, and once thawed it does no harm."""
    await copied(shop)
    with process(shop, batch_rows=20_000) as frozen, psycopg.connect(shop.limitless_dsn) as holder:
        holder.execute("SELECT FROM shop.purchase WHERE id = 241 FOR UPDATE")
        shop.classic.execute("UPDATE shop.purchase SET total = 4711")
        await waits_for_a_lock(shop)
        frozen.send_signal(signal.SIGSTOP)
        holder.rollback()  # the statement ends, and nobody goes on in its transaction
        async with shop.mirrors():
            await shop.caught_up(IDLE_LIMIT_S + 30)
            assert shop.differences() == {}
            frozen.send_signal(signal.SIGCONT)
            shop.classic.execute("UPDATE shop.purchase SET total = 4712")
            await shop.caught_up()

            async def ended() -> bool:
                return frozen.poll() is not None

            await until(ended, "the thawed mirror finds out and ends")
    assert frozen.returncode == 0
    assert shop.differences() == {}


async def test_a_mirror_killed_between_two_chunks(shop: Shop) -> None:
    """Some chunks are committed, the position is not moved: the successor does all of it again."""
    await copied(shop)
    where = "SELECT part, snapshot FROM migrator.mirror_position ORDER BY part"
    changed = "SELECT count(*) FROM shop.purchase WHERE total = 4711"
    with process(shop, batch_rows=20) as child, psycopg.connect(shop.limitless_dsn) as holder:
        # A derived table comes after its parent, so that chunks of purchases are committed before a line is met.
        holder.execute("SELECT FROM shop.line WHERE id = 700 FOR UPDATE")
        with shop.classic.transaction():
            shop.classic.execute("UPDATE shop.purchase SET total = 4711, slot = slot + 50000")
            shop.classic.execute("UPDATE shop.line SET sku = sku || '!'")
            shop.classic.execute("DELETE FROM shop.remark WHERE line_id % 3 = 0")

        async def partly() -> bool:
            row = shop.limitless.execute(changed).fetchone()
            return row is not None and row[0] > 0

        await until(partly, "a chunk of purchases is committed")
        await waits_for_a_lock(shop)
        part = shop.limitless.execute(
            "SELECT right(application_name, 1)::int FROM pg_stat_activity"
            " WHERE application_name LIKE 'migrator mirror%%' AND wait_event_type = 'Lock'"
        ).fetchone()
        assert part is not None
        before = dict(shop.limitless.execute(where).fetchall())
        child.kill()
        child.wait()
        holder.rollback()
    assert shop.differences() != {}, "it died in between"
    assert dict(shop.limitless.execute(where).fetchall())[part[0]] == before[part[0]]
    shop.options = type(shop.options)(batch_rows=20)
    async with shop.mirrors():
        await shop.caught_up(60)

    assert shop.differences() == {}
    assert {scope for scope, _ in shop.fallbacks} == {""}, "readers of the partition were sent to classic first"


@pytest.mark.parametrize("table", ["purchase", "line"])
async def test_a_tenant_refused_in_a_big_batch_is_put_aside_alone(shop: Shop, table: str) -> None:
    """In its own chunk, and among rows that were found beside: a child that came along with a moved parent."""
    await copied(shop)
    shop.options = type(shop.options)(batch_rows=50)
    condition = {"purchase": "total <> 500000", "line": "sku <> 'refused' OR tenant_id <> 5"}[table]
    shop.limitless.execute(f"ALTER TABLE shop.{table} ADD CONSTRAINT small CHECK ({condition})")
    async with shop.mirrors():
        with shop.classic.transaction():
            shop.classic.execute("UPDATE shop.purchase SET total = 7, slot = slot + 10000")
            if table == "purchase":
                shop.classic.execute("UPDATE shop.purchase SET total = 500000 WHERE id = 4")  # of tenant 5
            else:
                shop.classic.execute("UPDATE shop.line SET sku = 'refused' WHERE id = 240")
                shop.classic.execute("UPDATE shop.purchase SET tenant_id = 5 WHERE id = 241")  # its parent
        await shop.caught_up(60)
        assert [tenant for tenant, _ in recovery.quarantined(shop.classic)] == ["5"]
        shop.limitless.execute(f"ALTER TABLE shop.{table} DROP CONSTRAINT small")
        assert recovery.retry(shop.classic, None, "ana") == ["5"]
        await shop.copy_all()
        await shop.caught_up()

    assert shop.differences() == {}
    assert {scope for scope, _ in shop.fallbacks} == {"", "5"}


async def test_two_processes_claim_one_partition(shop: Shop) -> None:
    """The later one stays; the first one ends in order, and what was written between arrives once."""
    await copied(shop)
    with process(shop, batch_rows=20_000) as first:
        shop.classic.execute("UPDATE shop.purchase SET total = 1")
        await shop.caught_up()
        with process(shop, batch_rows=20_000) as second:

            async def ended() -> bool:
                shop.classic.execute("UPDATE shop.purchase SET total = total + 1 WHERE id % 10 = 0")
                return first.poll() is not None

            await until(ended, "the first one finds out")
            await shop.caught_up()
            assert (first.returncode, second.poll()) == (0, None)
    epochs = shop.limitless.execute("SELECT DISTINCT epoch FROM migrator.mirror_position").fetchall()

    assert shop.differences() == {}
    assert len(epochs) == 1, "each of them claimed every partition"

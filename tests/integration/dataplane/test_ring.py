"""A slot of the ring is emptied when nobody needs it any more: no position, no copy, no writer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
import pytest

from migrator.dataplane.backfill import snapshot as snapshots
from migrator.dataplane.capture import ring
from migrator.dataplane.mirror.cycle import run_cycle
from migrator.dataplane.mirror.run import _open
from migrator.db.connect import connect_async
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import until
from tests.fixtures.world import PARTS

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

SLOTS = 3


@dataclass
class Ring:
    """The cleaner, and the positions it looks at."""

    shop: Shop
    conn: psycopg.AsyncConnection[tuple[object, ...]]

    def waiting(self) -> int:
        row = self.shop.classic.execute(f"SELECT count(*) FROM migrator.journal_{self._purchase()}").fetchone()
        assert row is not None
        return int(row[0])

    def _purchase(self) -> int:
        row = self.shop.classic.execute(
            "SELECT table_id FROM migrator.captured_table WHERE qualified = 'shop.purchase'"
        ).fetchone()
        assert row is not None
        return int(row[0])

    def write(self) -> None:
        self.shop.classic.execute("UPDATE shop.purchase SET total = total + 1 WHERE id = 5")

    def pass_all(self, but: int | None = None) -> None:
        """Every position, but one, sees all that is committed now."""
        self.shop.classic.execute(
            "UPDATE migrator.position SET snapshot = pg_current_snapshot()::text WHERE part IS DISTINCT FROM %s", (but,)
        )

    async def clean(self) -> int:
        """Clean once; returns how many entries are left."""
        ids = [int(n) for (n,) in self.shop.classic.execute("SELECT table_id FROM migrator.captured_table")]
        await ring.clean(self.conn, sorted(ids), SLOTS, PARTS)
        return self.waiting()


@asynccontextmanager
async def a_ring(shop: Shop) -> AsyncIterator[Ring]:
    await shop.start()
    async with await connect_async(shop.classic_dsn, "test") as conn:
        yield Ring(shop, conn)


async def test_what_a_copy_has_not_seen_is_kept_until_it_lets_go(shop: Shop) -> None:
    """Every position has passed the entry; the copy's snapshot has not: the mirror asks for it when it joins."""
    async with a_ring(shop) as found:
        await snapshots.pin(found.conn, "unit", None)
        found.write()
        found.pass_all()

        assert await found.clean() == 1, "the copy's hold keeps the entry"

        shop.classic.execute("DELETE FROM migrator.hold")
        assert await found.clean() == 0


async def test_the_oldest_hold_counts(shop: Shop) -> None:
    """A hold taken later, or a range that borrows an old snapshot, does not shorten what another one keeps."""
    async with a_ring(shop) as found:
        await snapshots.pin(found.conn, "early", None)
        found.write()
        await snapshots.pin(found.conn, "late", None)
        found.pass_all()
        assert await found.clean() == 1
        shop.classic.execute("DELETE FROM migrator.hold WHERE holder = 'early'")
        assert await found.clean() == 0, "the late one began after the entry was committed"

        shop.classic.execute("DELETE FROM migrator.hold")
        # A range of a huge tenant began before the entry; its second try keeps what the first one kept.
        await snapshots.pin(found.conn, "range", "1")
        found.write()
        found.pass_all()
        await snapshots.pin(found.conn, "range", "1")
        assert await found.clean() == 1


async def test_one_position_that_stands_still_keeps_everything(shop: Shop) -> None:
    """Also one that was never published: that partition needs all there is."""
    async with a_ring(shop) as found:
        for part in range(PARTS + 1):
            found.write()
            found.pass_all(but=part)
            assert await found.clean() == 1, f"partition {part} has not passed the entry"
            found.pass_all()
            assert await found.clean() == 0
        found.write()
        found.pass_all()
        shop.classic.execute("DELETE FROM migrator.position WHERE part = %s", (PARTS,))
        assert await found.clean() == 1, "a partition without a position needs everything"
        shop.classic.execute(
            "INSERT INTO migrator.position (part, epoch, snapshot, fresh_at) VALUES (%s, 0, '1:1:', now())", (PARTS,)
        )
        found.pass_all()
        assert await found.clean() == 0


async def test_an_entry_above_an_open_transaction_is_kept(shop: Shop) -> None:
    """The positions' snapshots do not see the writer: its entries, and those after it, are asked for again."""
    async with a_ring(shop) as found:
        with psycopg.connect(shop.classic_dsn) as writer:
            writer.execute("SELECT pg_current_xact_id()")  # a number below the entry's
            found.write()
            found.pass_all()
            assert await found.clean() == 1
        found.pass_all()
        assert await found.clean() == 0


async def test_a_reader_that_waited_for_the_ring_sees_what_was_committed_meanwhile(shop: Shop) -> None:
    """It takes its snapshot when it has the lock, not before: TRUNCATE heeds no older snapshot."""
    await shop.start()
    async with _open(shop.classic_dsn, shop.limitless_dsn, 1, None, shop.options) as p:
        await run_cycle(p)  # the first look at all is taken twice
        p.fresh_at = 0.0
        with psycopg.connect(shop.classic_dsn) as cleaner:
            cleaner.execute(b"LOCK TABLE " + b", ".join(_slots(shop)) + b" IN ACCESS EXCLUSIVE MODE")
            cycle = asyncio.create_task(run_cycle(p))

            async def waits() -> bool:
                query = "SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock'"
                return bool(shop.classic.execute(query).fetchall())

            await until(waits, "the mirror waits for the ring")
            ((xid,),) = shop.classic.execute("SELECT pg_current_xact_id()::text::bigint").fetchall()
        await cycle

        assert p.stand.snapshot.covers(xid)


def _slots(shop: Shop) -> list[bytes]:
    names = shop.classic.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent"
        " WHERE c.relnamespace = 'migrator'::regnamespace"
    )
    return [str(name).encode() for (name,) in names]


async def test_a_slot_with_a_reader_or_a_writer_is_left_alone(shop: Shop) -> None:
    """A reader locked it before its snapshot, a writer writes into it: neither waits, and neither loses a row."""
    async with a_ring(shop) as found:
        ids = [int(n) for (n,) in shop.classic.execute("SELECT table_id FROM migrator.captured_table")]
        found.write()
        found.pass_all()
        with psycopg.connect(shop.classic_dsn) as reader:
            reader.execute(ring.lock_for_reading(ids))
            assert await found.clean() == 1
        with psycopg.connect(shop.classic_dsn) as writer:
            writer.execute("UPDATE shop.purchase SET total = 0 WHERE id = 7")
            assert await found.clean() == 1  # the writer's own entry does not show yet
            writer.commit()
            assert await found.clean() == 2
        found.pass_all()
        assert await found.clean() == 0

"""A fence: many share one pause, and nobody who dies or dawdles holds the mirror or compares two moments."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from dataclasses import replace
from datetime import datetime

import pytest

from migrator.consistency import fence as fences
from migrator.consistency.run import validate
from migrator.dataplane.mirror import fence as mirror_fence
from migrator.dataplane.mirror.cycle import run_cycle
from migrator.dataplane.mirror.position import PartitionCheckpoint
from migrator.dataplane.mirror.run import _open
from migrator.db.connect import connect
from migrator.errors import ClusterUnavailable
from tests.fixtures.rows import row
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import TIMEOUT_S, until

pytestmark = [pytest.mark.pg, pytest.mark.asyncio]


def hold(shop: Shop, part: int = 1, timeout_s: float = 20) -> contextlib.AbstractAsyncContextManager[fences.Fence]:
    return fences.hold(shop.classic_dsn, shop.limitless_dsn, part, timeout_s)


async def test_many_share_a_pause_and_all_see_the_same(shop: Shop) -> None:
    """Validators that ask together get one snapshot and one pause, reported; later writes are in none of them."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        async with contextlib.AsyncExitStack() as stack:
            held = await asyncio.gather(*(stack.enter_async_context(hold(shop)) for _ in range(4)))
            shop.classic.execute("UPDATE shop.tenant SET name = 'later'")
            await shop.caught_up()
            names = set()
            for one in held:
                for conn in (one.classic, one.limitless):
                    cursor = await conn.execute("SELECT count(*) FROM shop.tenant WHERE name = 'later'")
                    names.add((await cursor.fetchall())[0][0])
            stamps = {one.at < datetime.now(one.at.tzinfo) for one in held}
        left = shop.classic.execute("SELECT count(*) FROM migrator.fence").fetchone()

    assert names == {0}, "eight frozen sides see the moment of their fence"
    assert len({one.snapshot for one in held}) < 4, "at least two of them shared a pause"
    assert all(one.pause_ms > 0 for one in held) and stamps == {True}
    assert left == (0,)


async def test_the_dead_and_the_slow_hold_nobody(shop: Shop) -> None:
    """A dead validator costs no pause at all, a slow one at most the limit, a mirror that dies costs it a new try."""
    await shop.start()
    shop.options = replace(shop.options, fence_wait_s=0.5)
    async with shop.mirrors() as tasks:
        await shop.copy_all()

        with connect(shop.classic_dsn, "dying") as dying:
            dying.execute("INSERT INTO migrator.fence (fence_id, part) VALUES (gen_random_uuid(), 1)")
            pid = dying.execute("SELECT pg_backend_pid()").fetchone()
            shop.classic.execute("SELECT pg_terminate_backend(%s, 5000)", pid)
        await shop.caught_up()
        await until(
            lambda: asyncio.to_thread(lambda: not shop.classic.execute("SELECT FROM migrator.fence").fetchall()),
            "the dead are buried",
        )

        slow = uuid.uuid4()
        shop.classic.execute("INSERT INTO migrator.fence (fence_id, part) VALUES (%s, 1)", (slow,))
        shop.classic.execute("UPDATE shop.tenant SET name = 'still moving'")
        await shop.caught_up()
        state, pause_ms = row(shop.classic, "SELECT state, pause_ms FROM migrator.fence WHERE fence_id = %s", (slow,))
        shop.classic.execute("DELETE FROM migrator.fence")

        # The mirror's task is cancelled while a fence is open.
        shop.classic.execute("INSERT INTO migrator.fence (fence_id, part) VALUES (%s, 1)", (slow,))

        async def is_open() -> bool:
            return shop.classic.execute("SELECT state FROM migrator.fence").fetchone() == ("open",)

        shop.options = replace(shop.options, fence_wait_s=30)
        tasks[1].cancel()
        await asyncio.gather(tasks[1], return_exceptions=True)
        tasks[1] = shop.mirror(1)
        shop.classic.execute("UPDATE migrator.fence SET state = 'requested'")
        await until(is_open, "the mirror waits for somebody who does not answer")
        tasks[1].cancel()
        await asyncio.gather(tasks[1], return_exceptions=True)
        tasks[1] = shop.mirror(1)
        await until(
            lambda: asyncio.to_thread(
                lambda: shop.classic.execute("SELECT state FROM migrator.fence").fetchone() == ("expired",)
            ),
            "its successor takes the fence back",
        )
        shop.classic.execute("UPDATE shop.tenant SET name = 'moving again'")
        await asyncio.wait_for(shop.caught_up(), TIMEOUT_S)
        report = await validate(shop.classic_dsn, shop.limitless_dsn)

    assert state == "expired" and pause_ms > 450
    assert report.clean, report


async def test_whoever_is_late_asks_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mirror went on, and is in the middle of a batch in chunks: the position says nothing, the fence does.

    The position is still the fence's, and Limitless is not at it any more. Compared now, equal sides would differ.
    """
    await shop.start()
    shop.options = replace(shop.options, fence_wait_s=0.2, batch_rows=100)
    tries: list[tuple[str, int] | None] = []
    take_limitless = fences.take_limitless

    async def dawdle(limitless: fences.Connection, part: int) -> tuple[str, int] | None:
        """The first time, wait until half of a large batch is there."""
        if not tries and part == 1:
            tries.append(None)

            async def half() -> bool:
                found = shop.classic.execute("SELECT count(*) FROM migrator.fence WHERE state = 'open'").fetchone()
                return found == (0,)

            await until(half, "the mirror lost patience")
            # What a chunk does: rows change under the same position.
            shop.limitless.execute("UPDATE shop.purchase SET total = total + 1 WHERE tenant_id IN (2, 3, 4, 5)")
        seen = await take_limitless(limitless, part)
        tries.append(seen)
        return seen

    async with shop.mirrors():
        await shop.copy_all()
        monkeypatch.setattr(fences, "take_limitless", dawdle)
        async with hold(shop) as held:
            monkeypatch.undo()
            await shop.caught_up()

    # A busy machine may be late again, by itself.
    assert len(tries) >= 3, "the late try was given up, and another one was made"
    assert tries[-1] is not None and tries[-1][0] == held.snapshot
    assert held.pause_ms >= 0


async def test_a_superseded_mirrors_fence_is_worth_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror freezes between its commit and the fence; its successor goes on, and then it wakes up and lends its old
    snapshot of classic. Limitless is not there any more: its own snapshot says whose state it sees."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        await shop.caught_up()
    dsns = (shop.classic_dsn, shop.limitless_dsn)
    frozen, thawed = asyncio.Event(), asyncio.Event()
    serve = mirror_fence.serve

    async def freeze(control: fences.Connection, exported: str, stand: PartitionCheckpoint, wait_s: float) -> float:
        frozen.set()
        await thawed.wait()
        return await serve(control, exported, stand, wait_s)

    async def asked() -> bool:
        return shop.classic.execute("SELECT state FROM migrator.fence").fetchall() == [("requested",)]

    async def look() -> tuple[int, int]:
        found = []
        async with hold(shop) as held:
            for conn in (held.classic, held.limitless):
                cursor = await conn.execute("SELECT count(*) FROM shop.tenant WHERE name = 'later'")
                found.append((await cursor.fetchall())[0][0])
        return found[0], found[1]

    async with _open(*dsns, 1, None, shop.options) as old:
        monkeypatch.setattr(mirror_fence, "serve", freeze)
        shop.classic.execute("INSERT INTO migrator.fence (fence_id, part) VALUES (gen_random_uuid(), 1)")
        zombie = asyncio.create_task(run_cycle(old))
        await asyncio.wait_for(frozen.wait(), TIMEOUT_S)
        monkeypatch.undo()
        shop.classic.execute("DELETE FROM migrator.fence")  # whoever asked gave up
        async with _open(*dsns, 1, None, shop.options) as new:
            shop.classic.execute("UPDATE shop.tenant SET name = 'later'")
            await run_cycle(new)
            validator = asyncio.create_task(look())
            await until(asked, "the validator asks for a fence")
            thawed.set()
            await zombie
            while not validator.done():  # the mirror that has the partition gives one that is worth something
                await run_cycle(new)
                await asyncio.sleep(0.005)  # one turn of the mirror and the next; the loop ends with the validator
            on_classic, on_limitless = await validator

    members = shop.limitless.execute("SELECT count(*) FROM migrator.mirrored WHERE part = 1").fetchone()
    assert members == (on_limitless,)
    assert on_classic == 12, "classic was looked at where Limitless is, not where the old mirror stood"


async def test_without_a_mirror_there_is_no_fence(shop: Shop) -> None:
    await shop.start()

    with pytest.raises(ClusterUnavailable, match="no fence in time"):
        async with hold(shop, timeout_s=0.3):
            raise AssertionError("nobody opened it")
    assert shop.classic.execute("SELECT count(*) FROM migrator.fence").fetchone() == (0,)

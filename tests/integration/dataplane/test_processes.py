"""Mirrors as real processes, killed with SIGKILL; and every connection through a network that loses answers."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import subprocess
from collections.abc import Callable

import pytest

from migrator.local.proxy import Proxy
from tests.fixtures.rows import value
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import until
from tests.integration.dataplane.processes import process
from tests.integration.dataplane.test_equality import Writers

pytestmark = [pytest.mark.pg]


async def _moved(shop: Shop) -> None:
    """Wait until the mirrors have published something new."""
    query = "SELECT max(fresh_at) FROM migrator.position"
    before = value(shop.classic, query)

    async def newer() -> bool:
        return bool(value(shop.classic, query) > before)

    await until(newer, "a position moves")


@pytest.mark.parametrize("seed", [1, *(pytest.param(s, marks=pytest.mark.slow) for s in (2, 3, 4))])
async def test_mirror_processes_killed_at_any_instant(shop: Shop, seed: int) -> None:
    """SIGKILL after a random moment, again and again, and one that is frozen while its successor works."""
    r = random.Random(seed)
    await shop.start()
    with Writers(shop.classic_dsn, seed, 1) as writers:
        for round_ in range(6):
            with process(shop) as child:
                for unit in await asyncio.to_thread(shop.units):
                    await shop.copy(unit)
                await _moved(shop)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    await asyncio.to_thread(child.wait, r.random() * 0.3)
                if round_ == 2:
                    child.send_signal(signal.SIGSTOP)
                    with process(shop):
                        await _moved(shop)
                        child.send_signal(signal.SIGCONT)
                        await asyncio.to_thread(child.wait, 30)  # it finds out and ends
                        await _moved(shop)
        writers.stop.set()
        for thread in writers.threads:
            thread.join()
        async with shop.mirrors():
            await shop.copy_all()
            await shop.caught_up()

    assert shop.differences() == {}


LOST = [("classic", b"COMMIT"), ("limitless", b"COMMIT"), ("classic", b"heartbeat"), ("limitless", b"mirror_position")]


@pytest.mark.parametrize(("side", "request_"), LOST)
async def test_the_answer_is_lost(shop: Shop, proxy: Callable[[str], Proxy], side: str, request_: bytes) -> None:
    """The server did it, nobody was told: the position says what was done."""
    classic, limitless = proxy(shop.classic_dsn), proxy(shop.limitless_dsn)
    direct = shop.classic_dsn, shop.limitless_dsn
    await shop.start()
    shop.classic_dsn, shop.limitless_dsn = classic.dsn(direct[0]), limitless.dsn(direct[1])
    faulty = classic if side == "classic" else limitless
    with Writers(direct[0], 5, 1) as writers:
        async with shop.mirrors():
            await shop.copy_all()
            for _ in range(4):
                faulty.lose_reply_to(request_)
                await _moved(shop)
            faulty.reset_all()
            await _moved(shop)
            writers.stop.set()
            for thread in writers.threads:
                thread.join()
            await shop.caught_up()

    assert shop.differences() == {}


async def test_a_slow_limitless_slows_nothing_but_the_mirror(shop: Shop, proxy: Callable[[str], Proxy]) -> None:
    """Writers go on at their pace; once it is fast again the mirror catches up."""
    limitless = proxy(shop.limitless_dsn)
    direct = shop.limitless_dsn
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
    shop.limitless_dsn = limitless.dsn(direct)
    async with shop.mirrors():
        await _moved(shop)
        limitless.stall()
        with Writers(shop.classic_dsn, 6, 1) as writers:

            async def written() -> bool:
                return writers.committed > 100

            await until(written, "a hundred transactions while Limitless stands still")
        limitless.resume()
        await shop.caught_up(60)

    assert shop.differences() == {}

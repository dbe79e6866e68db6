"""A mirror that was superseded and has not noticed yet does no harm, neither on Limitless nor on classic."""

from __future__ import annotations

import asyncio

import pytest

from migrator.dataplane.mirror.cycle import _commit_token, run_cycle
from migrator.dataplane.mirror.run import _open
from migrator.errors import HistoryForked, LeaseLost
from tests.fixtures.shop import Shop

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]


async def test_a_superseded_mirror_cannot_overwrite_its_successors_token(shop: Shop) -> None:
    """The token of the last cycle is on classic only once; a late predecessor must not take it away, or the
    successor would believe that classic lost its tail."""
    await shop.start()
    dsns = (shop.classic_dsn, shop.limitless_dsn)
    async with _open(*dsns, 1, None, shop.options) as old:
        await run_cycle(old)
        async with _open(*dsns, 1, None, shop.options) as new:
            shop.classic.execute("INSERT INTO shop.tenant VALUES (1001, 'late')")
            new.fresh_at = 0.0
            await run_cycle(new)
            with pytest.raises(LeaseLost):
                await _commit_token(old, set())
            with pytest.raises(LeaseLost):
                await run_cycle(old)
            new.fresh_at = 0.0
            stats = await run_cycle(new)

    assert stats is not None


@pytest.mark.parametrize("restored", ["an older token", "no token", "no row"])
async def test_a_classic_without_the_last_token_is_another_one(shop: Shop, restored: str) -> None:
    """Whatever else it holds: what Limitless has of it may never have been. Nothing more is applied."""
    await shop.start()
    async with _open(shop.classic_dsn, shop.limitless_dsn, 1, None, shop.options) as p:
        await run_cycle(p)
        before = p.stand
        if restored == "no row":
            shop.classic.execute("DELETE FROM migrator.heartbeat")
        else:
            base = "gen_random_uuid()" if restored == "an older token" else "NULL"
            shop.classic.execute(f"UPDATE migrator.heartbeat SET token = gen_random_uuid(), base_token = {base}")  # noqa: S608 - own text
        p.fresh_at = 0.0
        cycle = asyncio.create_task(run_cycle(p))
        await asyncio.wait({cycle})

    assert isinstance(cycle.exception(), HistoryForked)
    assert p.stand == before

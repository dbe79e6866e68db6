"""A mirror that was superseded and has not noticed yet does no harm, neither on Limitless nor on classic."""

from __future__ import annotations

import pytest

from migrator.errors import LeaseLost
from migrator.mirror.cycle import _commit_token, run_cycle
from migrator.mirror.run import _open
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

"""Rolled back and forward again: each wave is of tenants that move, and the last one ends it."""

from __future__ import annotations

import asyncio

import pytest

from migrator.model.route import Level
from migrator.traffic.cutover import facts
from migrator.traffic.cutover.stop import hold
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.promote import promote_reads
from migrator.traffic.route.tenant_hold import release
from tests.fixtures.plans import small_plan
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import TIMEOUT_S
from workflows.activities.cutover import _advance, _forward, _next_wave
from workflows.messages import Forward, NextWave, WaveStep

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

PLAN = small_plan(waves={"sizes": [3, 20], "hot_ratio": 1000.0})


def waves(shop: Shop, at_most: int = 8) -> list[int]:
    """Run waves until nobody waits; how many tenants each of them moved."""
    moved: list[int] = []
    while len(moved) < at_most:
        todo: NextWave = _next_wave(shop.classic, PLAN, late=False)
        if todo.done or todo.held:
            assert todo.done, todo.held
            return moved
        assert todo.wave is not None
        tenants = facts.wave_tenants(shop.classic, todo.wave.number)
        step = WaveStep(plan=PLAN.name, number=todo.wave.number, pct=100)
        advanced = _advance(shop.classic, PLAN, step)
        assert advanced.done, advanced
        where = facts.standings(shop.classic, tenants)
        moved.append(sum(where[t].level is Level.LIMITLESS for t in tenants if t in where))
    raise AssertionError(f"it does not end: {moved}")


@pytest.mark.parametrize("again", [1, 2], ids=["once", "twice"])
async def test_a_wave_that_an_operator_rolled_back_moves_again(shop: Shop, again: int) -> None:
    """Also when it was rolled back before: what an earlier wave did is not held against this one."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        first = await asyncio.to_thread(waves, shop)  # the mirrors live in this loop
        for _ in range(again):
            last = facts.last_wave(shop.classic)
            roll_back(shop.classic, wave=last, who="ana", reason="drill")
            back = facts.rolled_back(shop.classic)
            assert hold(Level.LIMITLESS, "", "", back, facts.GUARD, 1)[0], "a person said so: it waits for a person"
            assert release(shop.classic, [b.tenant_id for b in back], who="ana", reason="mended")
            _forward(shop.classic, Forward(plan=PLAN.name, who="ana"))
            moved = await asyncio.to_thread(waves, shop)
            assert sum(moved) == len(back) and 0 not in moved

    assert first == [3, 9]
    assert facts.left_behind(shop.classic) == 0


async def test_a_tenant_moved_by_hand_is_no_wave_for_ever(shop: Shop) -> None:
    """It reads from Limitless without a wave of its own; the waves end all the same."""
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
        tenant = sorted(facts.waiting(shop.classic))[0]
        by_hand = await asyncio.to_thread(
            promote_reads, shop.classic, tenants=[tenant], who="ana", reason="first", timeout_s=TIMEOUT_S
        )
        assert by_hand.done

        moved = await asyncio.to_thread(waves, shop)

    assert moved
    assert facts.left_behind(shop.classic) == 0

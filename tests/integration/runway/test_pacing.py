"""A side that becomes slow slows copies down, with the reason shown, and they come back to their pace with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from migrator.consistency import order
from migrator.consistency.run import _rest
from migrator.control.pace import ask_classic, current_pace, current_share, store_pace
from migrator.control.status import collect
from migrator.dataplane.backfill import copy
from migrator.db.connect import connect, connect_async
from migrator.errors import ClusterUnavailable
from migrator.local.proxy import Proxy
from migrator.model.pace import Pace
from migrator.plan.load import dump, from_body
from migrator.plan.schema import Plan
from migrator.runway.pacing import Pacer
from tests.fixtures.proxy import MakeProxy
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import eventually
from workflows.activities.dual_write import _next_units
from workflows.messages import UnitsInput

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]
Connection = psycopg.Connection[Any]


def plan_of(shop: Shop, **pace: float) -> Plan:
    body = dump(shop.plan)
    body["backfill"]["concurrency"] = 4
    body["pace"] |= {"classic_ms": 60_000.0, "limitless_ms": 60_000.0, **pace}  # whatever else this machine does
    return from_body(body)


@pytest.fixture
def slowed(shop: Shop, proxy: MakeProxy) -> Iterator[tuple[Pacer, Proxy]]:
    """A pacer that reaches Limitless through a proxy."""
    there = proxy(shop.limitless_dsn)
    pacer = Pacer(lambda: connect(there.dsn(shop.limitless_dsn), "migrator worker", statement_timeout_s=10))
    yield pacer, there
    pacer.close()


async def test_copies_slow_down_with_limitless_and_come_back(shop: Shop, slowed: tuple[Pacer, Proxy]) -> None:
    """Fewer at once while its answers are late, all of them again afterwards; status says what is measured."""
    pacer, there = slowed
    plan = plan_of(shop, limitless_ms=400.0)
    await shop.start()
    shop.units(rows=1, tenants=1)

    def at_once() -> int | None:
        return _next_units(shop.classic, plan, UnitsInput(plan="shop", limit=10, running=(), wait_s=0)).concurrency

    def at_full_pace() -> bool:
        pacer.step(shop.classic, plan)
        return at_once() == 4 and collect(shop.classic).pace.reason == ""

    eventually(at_full_pace, "the pace of a Limitless that answers in time")

    there.delay(1.0)
    seen: list[int] = []
    while not seen or seen[-1] > 1:
        pacer.step(shop.classic, plan)
        seen.append(at_once() or 0)
        assert len(seen) < 20, "it never slows down"
    assert seen == sorted(seen, reverse=True)
    status = collect(shop.classic)
    assert status.pace.share < 0.4 and "answers of Limitless take" in status.pace.reason
    assert "(target 400)" in status.pace.reason

    there.delay(0.0)
    while seen[-1] < 4:
        pacer.step(shop.classic, plan)
        seen.append(at_once() or 0)
        assert len(seen) < 200, "it never comes back"


async def test_another_worker_goes_on_from_there(shop: Shop, slowed: tuple[Pacer, Proxy]) -> None:
    """A worker that takes over begins with the pace that was, unless that is too old to mean anything."""
    pacer, _ = slowed
    store_pace(shop.classic, Pace(0.3, "slow"))
    pacer.step(shop.classic, plan_of(shop))
    assert current_pace(shop.classic).share == 0.3
    shop.classic.execute("UPDATE migrator.pace SET at = now() - interval '5 minutes'")
    late = Pacer(pacer.open_limitless)
    late.step(shop.classic, plan_of(shop))
    late.close()
    assert current_pace(shop.classic).share == 1.0


async def test_a_limitless_that_does_not_answer_is_far_too_slow(shop: Shop, slowed: tuple[Pacer, Proxy]) -> None:
    """And copies keep their floor: what they do about an unreachable side is not the pace's business."""
    pacer, there = slowed
    plan = plan_of(shop, floor=0.25)
    there.refuse()
    there.reset_all()
    for _ in range(10):
        pacer.step(shop.classic, plan)

    assert current_pace(shop.classic).share == 0.25

    there.accept()
    for _ in range(4):
        pacer.step(shop.classic, plan)
    assert current_pace(shop.classic).share > 0.25


async def test_classic_is_looked_at_too(shop: Shop, slowed: tuple[Pacer, Proxy]) -> None:
    """Its commits against their target; its sessions before the limit that stops copies altogether."""
    pacer, _ = slowed
    for _ in range(3):
        pacer.step(shop.classic, plan_of(shop, classic_ms=0.0001))
    slow = current_pace(shop.classic)
    assert slow.share < 1 and slow.reason.startswith("commits on classic take")
    body = dump(plan_of(shop))
    body["backfill"]["max_active_sessions"] = 1
    busy = Pacer(pacer.open_limitless)
    for _ in range(2):
        busy.step(shop.classic, from_body(body))
    busy.close()
    assert current_pace(shop.classic).reason.startswith("statements that classic runs at once: 1 (target 0.8)")
    assert ask_classic(shop.classic).replica_lag_s is None, "there is no replica"


async def test_a_running_copy_takes_its_share(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that changes while it runs counts within half a second; a pace without a worker counts as none."""
    shop.classic.execute(
        "INSERT INTO shop.line SELECT g, 1 + g % 600, repeat('x', 500), NULL FROM generate_series(5001, 45000) g"
    )
    await shop.start()
    unit = shop.units(rows=10**9, tenants=100)[-1]  # of tenants; reference tables come first
    monkeypatch.setattr(copy, "_LOOK_S", 0.0)
    shares: list[float] = []

    def idle_s(worked_s: float, share: float) -> float:
        shares.append(share)
        if len(shares) == 5:
            store_pace(shop.classic, Pace(0.5, "by the test"))
        if len(shares) == 15:
            shop.classic.execute("UPDATE migrator.pace SET at = now() - interval '2 minutes'")
        return 0.0

    monkeypatch.setattr(copy, "idle_s", idle_s)
    await copy.copy_unit(shop.classic_dsn, shop.limitless_dsn, unit, "w")

    assert set(shares) == {1.0, 0.5} and shares[:5] == [1.0] * 5 and shares[-1] == 1.0, shares
    assert len(shares) > 20


async def test_scheduled_validation_rests_for_longer(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def rest_s(worked_s: float, share: float) -> float:
        asked.append(share)
        return 0.0

    monkeypatch.setattr(order, "rest_s", rest_s)
    async with await connect_async(shop.classic_dsn, "test") as control:
        budget = order.Budget(60.0, 0.5)
        await _rest(control, budget, asyncio.get_running_loop().time(), 1.0)
        store_pace(shop.classic, Pace(0.2, "slow"))
        await _rest(control, budget, asyncio.get_running_loop().time(), 1.0)
        assert await current_share(control) == 0.2

    assert asked == [0.5, pytest.approx(0.1)]


async def test_no_connection_is_kept_to_a_side_that_failed(shop: Shop) -> None:
    tries = []

    def fails() -> Connection:
        tries.append(1)
        raise ClusterUnavailable("limitless", "it is unreachable")

    pacer = Pacer(fails)
    for _ in range(3):
        pacer.step(shop.classic, plan_of(shop))

    assert len(tries) == 3

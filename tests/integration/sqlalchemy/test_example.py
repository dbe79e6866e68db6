"""The example is migrated while its users work: there, back, there again; its own ledger says that nothing was lost."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from examples.sqlalchemy import __main__ as command
from examples.sqlalchemy.shop import DDL, Shop
from examples.sqlalchemy.traffic import Entry, Ledger, Traffic, wrong
from migrator.model.route import FallbackScope
from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.shim import Settings, Shim
from migrator.sqlalchemy import ShimSessions
from migrator.traffic.incident.rollback import roll_back
from migrator.traffic.route.fallback import raise_fallback
from migrator.traffic.route.promote import promote_reads
from tests.fixtures.postgres import Machines
from tests.fixtures.waiting import TIMEOUT_S, until
from tests.fixtures.world import World, build, plan_of

pytestmark = [pytest.mark.pg, pytest.mark.once, pytest.mark.slow]

PLAN = plan_of("shop")
TENANTS = ("a", "Größe 1", "select")
PATIENT = Settings(
    staleness_s=3.0, poll_s=0.1, ack_wait_s=TIMEOUT_S, max_lag_s=TIMEOUT_S, read_timeout_s=60.0, p99_ms=1e6
)
"""On a busy machine, too, reads go back when the test says so; no monitor would bring them forward again."""
WORDS: dict[str, Any] = {"who": "test", "reason": "test"}

ROWS = """
SELECT o.id, o.state, o.total, coalesce(jsonb_object_agg(i.sku, i.price::text) FILTER (WHERE i.id IS NOT NULL), '{}')
  FROM shop.customer_order o LEFT JOIN shop.item i ON i.order_id = o.id AND i.tenant_id = o.tenant_id
 WHERE o.tenant_id = %s GROUP BY o.tenant_id, o.id, o.state, o.total
"""


def rows(conn: psycopg.Connection[Any], tenant: str) -> list[tuple[uuid.UUID, str, Decimal, dict[str, Decimal]]]:
    found = conn.execute(ROWS, (tenant,)).fetchall()
    return [(key, state, total, {sku: Decimal(p) for sku, p in prices.items()}) for key, state, total, prices in found]


class Sides:
    """Counts where the sessions' transactions went."""

    def __init__(self) -> None:
        self.counts: Counter[Side] = Counter()

    def __call__(self, connection: psycopg.Connection[Any], side: Side) -> None:
        self.counts[side] += 1

    async def more(self, side: Side, times: int = 20) -> None:
        before = self.counts[side]

        async def seen() -> bool:
            return self.counts[side] >= before + times

        await until(seen, f"{times} transactions on {side}")


async def there_and_back(world: World, sides: Sides) -> None:
    """An operator's work."""
    with psycopg.connect(world.classic_dsn, autocommit=True) as conn:

        async def promoted(**what: Any) -> None:
            found = await asyncio.to_thread(promote_reads, conn, **what, **WORDS, timeout_s=TIMEOUT_S)
            assert found.done, found

        await promoted(tenants=[TenantId(t) for t in TENANTS])
        await sides.more(Side.LIMITLESS)
        await asyncio.to_thread(roll_back, conn, all=True, **WORDS)
        limitless = sides.counts[Side.LIMITLESS]
        await sides.more(Side.CLASSIC)
        assert sides.counts[Side.LIMITLESS] <= limitless + len(TENANTS), "none begins there; some may have begun"
        await promoted(switch=True)
        await sides.more(Side.LIMITLESS)
        raise_fallback(conn, FallbackScope.TENANT, TENANTS[0], by="test", reason="test")
        await sides.more(Side.CLASSIC)
        await promoted(fallback=(FallbackScope.TENANT, TENANTS[0]))
        await sides.more(Side.LIMITLESS)


def stopped(users: Sequence[Traffic]) -> list[Ledger]:
    for user in users:
        user.stop()
    for user in users:
        user.join()
    assert [user.error for user in users] == [None] * len(users)
    return [user.ledger for user in users]


@pytest.mark.asyncio(loop_scope="session")
async def test_it_is_migrated_under_its_users(machines: Machines) -> None:
    dsns = machines.new_pair("example", lambda classic, limitless: build(classic, limitless, PLAN, DDL))
    with World.opened(*dsns, PLAN) as world, Shim(*dsns, "example", settings=PATIENT) as shim:
        sides = Sides()
        shop = Shop(ShimSessions(shim, configure=sides))
        users = [Traffic(shop, tenant, number) for number, tenant in enumerate(TENANTS)]
        for user in users:
            user.start()
        try:
            await sides.more(Side.CLASSIC)
            await world.start()
            async with world.mirrors():
                await world.copy_all()
                await there_and_back(world, sides)
                ledgers = await asyncio.to_thread(stopped, users)
                await world.caught_up()
        finally:
            for user in users:
                user.stop()
        for tenant, ledger in zip(TENANTS, ledgers, strict=True):
            assert ledger.missed == []
            assert wrong(ledger, rows(world.classic, tenant)) == []
            assert wrong(ledger, rows(world.limitless, tenant)) == []
            assert ledger.reads > 10
            assert ledger.writes > 10
    machines.drop_pair(dsns)


def test_its_ledger_finds_what_was_lost() -> None:
    keys = [uuid.uuid4() for _ in range(4)]
    one = {"a": Decimal(1)}
    ledger = Ledger({key: Entry("t", one) for key in keys[:2]} | {keys[2]: Entry("t", one, doubt=True)})
    good = [(key, "open", Decimal(1), one) for key in keys[:3]]

    assert wrong(ledger, good) == wrong(ledger, good[:2]) == []
    assert len(wrong(ledger, good[1:])) == 1
    assert len(wrong(ledger, [*good, (keys[3], "open", Decimal(1), one)])) == 1
    assert len(wrong(ledger, [(keys[0], "paid", Decimal(1), one), *good[1:]])) == 1
    assert len(wrong(ledger, [(keys[0], "open", Decimal(2), one), *good[1:]])) == 1
    assert len(wrong(ledger, [(keys[0], "open", Decimal(1), {}), *good[1:]])) == 1


def test_it_runs_as_a_program(machines: Machines, capsys: pytest.CaptureFixture[str]) -> None:
    dsns = machines.new_pair("example", lambda classic, limitless: build(classic, limitless, PLAN, DDL))
    assert command.main(*dsns, "0.2", "a") == 0
    assert "missed: []" in capsys.readouterr().out
    machines.drop_pair(dsns)

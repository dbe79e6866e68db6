"""What persons say about single tenants while a cutover runs is taken up without restarting anything."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from migrator.consistency.run import validate
from migrator.control.history import all_decisions
from migrator.model.tenant import TenantId
from migrator.plan.schema import Plan
from migrator.traffic.cutover import order
from migrator.traffic.incident.rollback import hold
from migrator.traffic.route.tenant_hold import release
from tests.fixtures.plans import small_plan, stored
from tests.fixtures.rows import value
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import until
from tests.workflow.test_plan_taken_up import apply, changed, watched, working
from tests.workflow.test_whole_migration import begun
from workflows import names

pytestmark = [pytest.mark.temporal, pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

WAVES = {"sizes": [2, 2, 3], "soak_s": 86_400.0, "baseline_s": 0.2, "hot_ratio": 3.0, "canaries": ["9"]}


@pytest.fixture
def plan(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Plan:
    monkeypatch.setenv("MIGRATOR_HOME", str(tmp_path))
    monkeypatch.setattr("migrator.dataplane.backfill.links.IDLE_S", 0.1)
    return stored(shop, small_plan(rehearsal=None, waves={**WAVES, "new_tenants": "next_wave"}), monkeypatch)


def waves(shop: Shop) -> list[list[str]]:
    """The tenants of each wave, in the order the waves were chosen."""
    return [d["after"]["tenants"] for d in all_decisions(shop.classic) if d["kind"] == "wave.chosen"]


async def test_a_cutover_that_runs_takes_up_what_is_said_of_single_tenants(
    temporal_env: WorkflowEnvironment, shop: Shop, plan: Plan
) -> None:
    """While the first wave soaks: another order, a hold, a merge, a sign-up. Then the waves go on as they were told."""
    async with working(temporal_env, plan):
        handle = await begun(temporal_env, plan)
        try:
            await until(lambda: watched(shop))
            assert len(waves(shop)) == 1 and "9" in waves(shop)[0]
            last, back, away, gone = [t for t in ("12", "8", "7", "6", "5") if t not in waves(shop)[0]][:4]
            order.put(shop.classic, plan, [TenantId(last)], 2, who="ann", reason="they asked")
            order.put(shop.classic, plan, [TenantId(back)], 4, who="ann", reason="they asked")
            await asyncio.to_thread(hold, shop.classic, [TenantId(away)], who="ann", reason="their release")
            with shop.classic.transaction():
                shop.classic.execute(
                    "UPDATE shop.purchase SET slot = NULL, tenant_id = 9 WHERE tenant_id = %s", (gone,)
                )
                shop.classic.execute("DELETE FROM shop.tenant WHERE tenant_id = %s", (gone,))
                shop.classic.execute("INSERT INTO shop.tenant VALUES (99, 'new')")

            async def mirrored() -> bool:
                state = shop.classic.execute("SELECT state FROM migrator.tenant WHERE tenant_id = '99'").fetchone()
                return state == ("mirrored",)

            await until(mirrored)
            await shop.caught_up()
            await validate(shop.classic_dsn, shop.limitless_dsn)
            assert len(waves(shop)) == 1
            apply(shop.classic, changed(plan, waves={"soak_s": 0.2}))

            async def held_up() -> bool:
                blockers = value(shop.classic, "SELECT blockers FROM migrator.phase WHERE phase = 'cutover'")
                return any(f"1 tenant is held on classic ({away})" in line for line in blockers)

            await until(held_up)
            release(shop.classic, [TenantId(away)], who="ann", reason="it is out")

            async def over() -> bool:
                row = shop.classic.execute("SELECT state FROM migrator.phase WHERE phase = 'stabilize'").fetchone()
                return row is not None

            await until(over)
        finally:
            for workflow_id in (
                handle.id,
                *(f(plan.name) for f in (names.dual_write_id, names.backfill_id, names.breaker_id, names.cutover_id)),
            ):
                with contextlib.suppress(RPCError):
                    await temporal_env.client.get_workflow_handle(workflow_id).terminate()

    chosen = waves(shop)
    assert last in chosen[1] and back in chosen[3] and chosen[-1] == [away]
    assert not any(gone in tenants for tenants in chosen), "nothing waits for a tenant without rows"
    assert any("99" in tenants for tenants in chosen[1:])
    there = "SELECT count(*) FROM migrator.route WHERE level = 'limitless' AND reads_pct = 100"
    assert value(shop.classic, there) == 12, "eleven of the first day, and the new one"

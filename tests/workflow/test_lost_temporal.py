"""Temporal is lost with all it knew: a migration that is run again on another one goes on from what is on classic."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from migrator.control import rehearsal
from migrator.db.connect import connect
from migrator.plan.load import digest
from migrator.plan.schema import Plan
from tests.fixtures.plans import small_plan, stored
from tests.fixtures.shop import Shop
from tests.fixtures.temporal import skipping
from tests.fixtures.waiting import TIMEOUT_S, until
from workflows import names
from workflows.messages import Approve, MigrationInput
from workflows.migration import MigrationWorkflow
from workflows.worker import served, workers

# Two Temporal servers, and a migration on each.
pytestmark = [pytest.mark.slow, pytest.mark.temporal, pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

COPIED = "SELECT unit_id, state, finished_at FROM migrator.copy_unit ORDER BY unit_id"
# By the moment of the last move: an epoch also comes of the monitor, which samples tenants in turn after their wave.
ROUTES = "SELECT tenant_id, level, wave, changed_at FROM migrator.route ORDER BY tenant_id"
GENERATIONS = "SELECT tenant_id, generation FROM migrator.tenant ORDER BY tenant_id"
WINDOW = "SELECT body ->> 'started_s' FROM migrator.report WHERE kind = 'stabilize' ORDER BY id DESC LIMIT 1"


@pytest.fixture
def plan(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Plan:
    monkeypatch.setenv("MIGRATOR_HOME", str(tmp_path))
    rehearsal.mark(shop.classic)
    return stored(shop, small_plan(), monkeypatch)


async def run(env: WorkflowEnvironment, plan: Plan) -> WorkflowHandle[Any, Any]:
    """What `migrator run` asks of Temporal."""
    with env.with_time_skipping_disabled():
        return await env.client.start_workflow(
            MigrationWorkflow.run,
            MigrationInput(plan=plan.name, digest=digest(plan)),
            id=names.migration_id(plan.name),
            task_queue=names.queue(plan.name, names.Queue.CONTROL),
        )


async def until_decommission(handle: WorkflowHandle[Any, Any]) -> None:
    async def waiting() -> bool:
        found = await handle.query(MigrationWorkflow.status)
        assert found.state != "blocked" or found.phase not in ("audit", "provision"), found.blockers
        return bool(found.waiting_for == "decommission")

    await until(waiting)


@contextlib.asynccontextmanager
async def watched(dsn: str) -> AsyncIterator[set[str]]:
    """Which levels tenants' reads had meanwhile."""
    seen: set[str] = set()

    async def look() -> None:
        with connect(dsn, "application") as conn:
            while True:
                seen.update(level for (level,) in conn.execute("SELECT DISTINCT level FROM migrator.route_status"))
                await asyncio.sleep(0.02)

    task = asyncio.create_task(look())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_the_migration_goes_on_from_classic(temporal_env: WorkflowEnvironment, plan: Plan, shop: Shop) -> None:
    """At the end of the 90 days, with every tenant on Limitless: nothing is copied, moved or counted a second time."""
    async with skipping() as lost:
        async with served(workers(lost.client, plan)):
            await until_decommission(await run(lost, plan))
    facts = (COPIED, ROUTES, GENERATIONS, WINDOW)
    before = [shop.classic.execute(query.encode()).fetchall() for query in facts]
    shop.classic.execute("UPDATE shop.purchase SET total = total + 1 WHERE id % 7 = 0")  # nobody mirrors it now

    async with served(workers(temporal_env.client, plan)), watched(shop.classic_dsn) as levels:
        handle = await run(temporal_env, plan)
        await until_decommission(handle)
        after = [shop.classic.execute(query.encode()).fetchall() for query in facts]
        reads = set(levels)
        await handle.execute_update(MigrationWorkflow.approve, Approve(gate="decommission", approver="ana"))
        await asyncio.wait_for(handle.result(), TIMEOUT_S)

    assert len(before[0]) > 2 and len(before[1]) >= 12 and before[3] not in ([], [(None,)])
    assert after == before
    assert reads == {"limitless"}
    assert shop.differences() == {}
    assert shop.classic.execute("SELECT write_mode FROM migrator.switch").fetchone() == ("limitless_only",)

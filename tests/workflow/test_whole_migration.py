"""A whole migration with the real activities on real servers; only the traffic is small."""

from __future__ import annotations

import asyncio
import contextlib
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
from tests.fixtures.waiting import TIMEOUT_S, until
from workflows import names
from workflows.messages import Approve, MigrationInput
from workflows.migration import MigrationWorkflow
from workflows.worker import workers

pytestmark = [pytest.mark.temporal, pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture
def plan(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Plan:
    monkeypatch.setenv("MIGRATOR_HOME", str(tmp_path))
    rehearsal.mark(shop.classic)
    return stored(shop, small_plan(), monkeypatch)


async def begun(env: WorkflowEnvironment, plan: Plan) -> WorkflowHandle[Any, Any]:
    with env.with_time_skipping_disabled():
        return await env.client.start_workflow(
            MigrationWorkflow.run,
            MigrationInput(plan=plan.name, digest=digest(plan)),
            id=names.migration_id(plan.name),
            task_queue=names.queue(plan.name, names.Queue.CONTROL),
        )


async def write_for_ever(dsn: str, stop: asyncio.Event) -> int:
    """Write like a job that knows no shim; returns how many writes classic took before it closed."""
    taken = 0
    with connect(dsn, "job") as conn:
        while not stop.is_set():
            done = await asyncio.to_thread(_write_once, conn, taken)
            if not done:
                break
            taken += 1
            await asyncio.sleep(0.01)
    return taken


def _write_once(conn: Any, number: int) -> bool:
    import psycopg

    try:
        conn.execute(
            "INSERT INTO shop.purchase VALUES (%s, 1 + %s %% 12, NULL, 1, 'ok', '{}')", (1_000_000 + number, number)
        )
    except psycopg.Error as error:
        assert error.sqlstate == "MG001", error
        return False
    return True


async def test_a_migration_goes_from_audit_to_decommission(
    temporal_env: WorkflowEnvironment, plan: Plan, shop: Shop
) -> None:
    """All phases on real servers while a job writes; at the end both sides are equal."""
    stop = asyncio.Event()
    job = asyncio.create_task(write_for_ever(shop.classic_dsn, stop))
    async with contextlib.AsyncExitStack() as stack:
        for worker in workers(temporal_env.client, plan):
            await stack.enter_async_context(worker)
        handle = await begun(temporal_env, plan)

        async def waiting() -> bool:
            found = await handle.query(MigrationWorkflow.status)
            assert not (found.state == "blocked" and found.phase in ("audit", "provision")), found.blockers
            return bool(found.waiting_for == "decommission")

        try:
            await until(waiting, "decommission waits", 2 * TIMEOUT_S)  # a whole migration, 90 days included
        except AssertionError:
            raise AssertionError(await explain(shop, handle)) from None
        await handle.execute_update(MigrationWorkflow.approve, Approve(gate="decommission", approver="ana"))
        try:
            await asyncio.wait_for(handle.result(), 2 * TIMEOUT_S)
        except TimeoutError:
            raise AssertionError(await explain(shop, handle)) from None
    stop.set()
    taken = await job

    assert taken > 0
    assert shop.differences() == {}
    assert shop.classic.execute("SELECT write_mode FROM migrator.switch").fetchone() == ("limitless_only",)
    assert shop.limitless.execute("SELECT write_mode FROM migrator.settled").fetchone() == ("limitless_only",)
    phases = shop.classic.execute("SELECT phase, state FROM migrator.phase ORDER BY started_at").fetchall()
    assert phases == [(p, "done") for p in ("audit", "provision", "dual_write", "cutover", "stabilize", "decommission")]


async def explain(shop: Shop, handle: WorkflowHandle[Any, Any]) -> str:
    """What status would say, for a test that failed."""
    found = shop.classic.execute(
        "SELECT phase, state, detail, blockers, next_step FROM migrator.phase ORDER BY started_at"
    ).fetchall()
    return f"{await handle.query(MigrationWorkflow.status)}\n" + "\n".join(map(str, found))

"""The decommission on real servers, broken off at every step: the next run enters where it stood."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from temporalio.client import WorkflowFailureError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from migrator.decommission import attempt
from migrator.errors import ClusterUnavailable
from migrator.model.route import WriteMode
from migrator.plan.schema import Plan
from migrator.traffic.route.write_mode import write_mode
from tests.fixtures.plans import small_plan, stored
from tests.fixtures.shop import Shop
from tests.fixtures.waiting import TIMEOUT_S, until
from tests.workflow.serving import begun, serving
from tests.workflow.test_every_step_fails import FailsOnce
from workflows import names
from workflows.activities.base import Context
from workflows.activities.decommission import DecommissionActivities
from workflows.decommission import DecommissionWorkflow
from workflows.messages import DecommissionInput, DecommissionResult, PlanInput
from workflows.worker import activities

pytestmark = [pytest.mark.temporal, pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

STEPS = {
    "decommission_stand", "decommission_prepare", "validate", "decommission_close", "decommission_drain",
    "decommission_validate", "decommission_sequences", "decommission_positions", "decommission_hand_over",
    "decommission_reopen", "decommission_settle", "remove_schedule", "decommission_export", "decommission_release",
}  # fmt: skip


@pytest.fixture
async def plan(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Plan:
    """A shop whose rows are all on Limitless and follow classic as soon as a worker mirrors them."""
    monkeypatch.setenv("MIGRATOR_HOME", str(tmp_path))
    found = stored(shop, small_plan(), monkeypatch)
    await shop.start()
    async with shop.mirrors():
        await shop.copy_all()
    return found


def everything(plan: Plan) -> list[Any]:
    return [one for some in activities(Context(plan)).values() for one in some]


async def tried(env: WorkflowEnvironment, plan: Plan) -> DecommissionResult | None:
    """One run of the decommission; None when it failed, which a migration shows as a blocker."""
    argument = DecommissionInput(plan=plan.name, approver="ana")
    handle = await begun(env, plan.name, DecommissionWorkflow.run, argument, f"decommission-{uuid.uuid4().hex[:6]}")
    try:
        return await asyncio.wait_for(handle.result(), TIMEOUT_S)
    except WorkflowFailureError:
        return None


@asynccontextmanager
async def ended_afterwards(env: WorkflowEnvironment, plan: Plan) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for workflow_id in names.WATCHED.values():
            try:
                await env.client.get_workflow_handle(workflow_id(plan.name)).terminate()
            except Exception as error:  # ended already
                assert "not found" in str(error) or "completed" in str(error), error


def retired(shop: Shop) -> None:
    """Limitless is authoritative, says so, holds everything, and classic takes no write."""
    assert shop.differences() == {}
    assert shop.limitless.execute("SELECT write_mode FROM migrator.settled").fetchone() == ("limitless_only",)
    assert shop.classic.execute("SELECT state FROM migrator.phase WHERE phase = 'decommission'").fetchone() == ("done",)
    with pytest.raises(psycopg.Error) as refused:
        shop.classic.execute("INSERT INTO shop.tenant VALUES (5001, 'x')")
    assert refused.value.sqlstate == "MG001"
    actions = shop.limitless.execute("SELECT DISTINCT confdeltype FROM pg_constraint WHERE contype = 'f'").fetchall()
    assert actions == [("c",)], "foreign keys are as the application knows them"


@pytest.mark.parametrize("after", [False, True], ids=["before-it-acted", "answer-lost"])
async def test_each_step_fails_for_good_and_the_next_run_goes_on(
    temporal_env: WorkflowEnvironment, plan: Plan, shop: Shop, after: bool
) -> None:
    """As often as it fails it is begun again, as resume does; in the end classic is retired, handed over once."""
    failing = FailsOnce(retryable=False, after=after, only=STEPS)
    async with (
        ended_afterwards(temporal_env, plan),
        serving(temporal_env.client, plan.name, everything(plan), failing),
    ):
        results: list[DecommissionResult | None] = []
        while len(results) < 2 * len(STEPS) and not (results and results[-1] and results[-1].done):
            results.append(await tried(temporal_env, plan))

    assert results[-1] is not None and results[-1].done
    assert set(failing.failed) >= STEPS
    retired(shop)
    handed = shop.classic.execute("SELECT count(*) FROM migrator.report WHERE body->>'state' = 'handed_over'")
    assert handed.fetchone() == (1,)


async def test_a_worker_that_ends_behind_the_point_of_no_return_is_followed_by_another(
    temporal_env: WorkflowEnvironment, plan: Plan, shop: Shop
) -> None:
    """Its run is terminated with it, in the middle of settling; the next one enters there although no mirror runs."""

    async def handed_over() -> bool:
        return shop.classic.execute("SELECT write_mode FROM migrator.switch").fetchone() == ("limitless_only",)

    # A process that confirms that writes are closed and then nothing more: settling waits for it.
    shop.classic.execute(
        "INSERT INTO migrator.process (process_id, name, applied_epoch, staleness_s, seen_at)"
        " SELECT 'p', 'slow', epoch + 1, 3600, now() + interval '1 hour' FROM migrator.switch"
    )
    # Settling waits twice the staleness, and a plan's own 3 s may be over before this test has ended the worker.
    patient = plan.model_copy(update={"shim": plan.shim.model_copy(update={"staleness_s": TIMEOUT_S})})
    async with ended_afterwards(temporal_env, plan):
        async with serving(temporal_env.client, plan.name, everything(patient)):
            argument = DecommissionInput(plan=plan.name, approver="ana")
            handle = await begun(temporal_env, plan.name, DecommissionWorkflow.run, argument, "decommission")
            await until(handed_over)
            await handle.terminate()
            for workflow_id in names.WATCHED.values():
                await temporal_env.client.get_workflow_handle(workflow_id(plan.name)).terminate()
        number = attempt.latest(shop.classic)
        assert number is not None and attempt.read(shop.classic, number).settled_at is None
        shop.classic.execute("DELETE FROM migrator.process")
        async with serving(temporal_env.client, plan.name, everything(plan)):
            result = await tried(temporal_env, plan)

    assert result is not None and result.done
    retired(shop)


async def test_writes_that_a_dead_run_left_closed_are_opened_before_anything_else(
    temporal_env: WorkflowEnvironment, plan: Plan, shop: Shop
) -> None:
    """A new run, and a whole new migration, open them first; a second approval is not needed to hand over then."""

    attempt.begin(shop.classic, "ana")
    write_mode(shop.classic, WriteMode.CLOSED, who="test", reason="a run that died")

    entered = await ActivityEnvironment().run(DecommissionActivities(Context(plan)).enter, PlanInput(plan=plan.name))

    assert (entered.done, entered.approver) == ((), "")
    assert shop.classic.execute("SELECT write_mode FROM migrator.switch").fetchone() == ("dual",)
    async with ended_afterwards(temporal_env, plan), serving(temporal_env.client, plan.name, everything(plan)):
        result = await tried(temporal_env, plan)
    assert result is not None and result.done
    retired(shop)


async def test_a_classic_that_is_gone_is_no_outage_once_it_was_being_retired(
    temporal_env: WorkflowEnvironment, plan: Plan, shop: Shop
) -> None:
    """Release was begun and classic does not answer any more: the next run releases, and asks classic nothing."""
    async with ended_afterwards(temporal_env, plan), serving(temporal_env.client, plan.name, everything(plan)):
        first = await tried(temporal_env, plan)

    class Gone(Context):
        def open_classic(self, lock_timeout_s: float | None = 10) -> psycopg.Connection[Any]:
            raise ClusterUnavailable("classic", "it is gone")

    served = [one for some in activities(Gone(plan)).values() for one in some]
    async with serving(temporal_env.client, plan.name, served):
        second = await tried(temporal_env, plan)

    assert first is not None and first.done
    assert second is not None and second.done

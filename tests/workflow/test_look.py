"""What doctor reads of Temporal: the server and its namespace, who polls, and what is tried again and again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from migrator.errors import ClusterUnavailable
from migrator.plan.schema import Plan
from tests.fixtures.plans import small_plan
from tests.fixtures.waiting import until
from tests.workflow.serving import begun, serving
from workflows.breaker import BreakerWorkflow
from workflows.look import TemporalLook
from workflows.messages import PlanInput

pytestmark = [pytest.mark.temporal, pytest.mark.asyncio(loop_scope="session")]


@activity.defn(name="watch_breakers")
async def fails(_: PlanInput) -> None:
    raise ApplicationError("classic is unavailable: no answer", next_retry_delay=None)


@pytest.fixture
def plan(temporal_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setenv("MIGRATOR_HOME", str(tmp_path))
    return small_plan(temporal={"address": temporal_address}, rehearsal=None)


async def test_server_pollers_and_tries(temporal_env: WorkflowEnvironment, plan: Plan) -> None:
    def look() -> tuple[object, ...]:
        asked = TemporalLook(plan)
        try:
            return asked.found(), asked.polled(), asked.running()
        finally:
            asked.close()

    before = await asyncio.to_thread(look)
    async with serving(temporal_env.client, plan.name, [fails]):
        handle = await begun(temporal_env, plan.name, BreakerWorkflow.run, PlanInput(plan=plan.name), "breaker")

        async def tried() -> tuple[object, ...] | None:
            found = await asyncio.to_thread(look)
            running = found[2]
            assert isinstance(running, tuple)
            everybody = all(one.activities and one.workflows != 0 for one in found[1])  # type: ignore[attr-defined]
            return found if everybody and running and running[0].tries > 1 else None

        found, _, (breaker,) = await until(tried, "all queues are polled, and the activity is tried again")
        await handle.terminate()

    assert [(one.activities, one.workflows or 0) for one in before[1]] == [(0, 0)] * 4  # type: ignore[attr-defined]
    assert before[2] == ()
    assert found.version and found.namespace == "default" and found.retention_s > 0
    assert (breaker.name, breaker.activity) == (f"breaker/{plan.name}", "watch_breakers")
    assert "no answer" in breaker.failure and breaker.events > 2


async def test_a_server_that_is_not_there(plan: Plan) -> None:
    lost = plan.model_copy(update={"temporal": plan.temporal.model_copy(update={"address": "127.0.0.1:1"})})

    with pytest.raises(ClusterUnavailable, match="no answer from"):
        await asyncio.to_thread(TemporalLook, lost)

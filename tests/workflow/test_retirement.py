"""What becomes of classic after the hand-over is looked at until nothing is left to do, and outlives the migration."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.testing import WorkflowEnvironment

from migrator.decommission.retire import Looked
from tests.fixtures.waiting import until
from tests.workflow.fakes import World, fakes
from tests.workflow.histories import keep
from tests.workflow.serving import begun, serving
from workflows import names
from workflows.decommission import DecommissionWorkflow
from workflows.messages import DecommissionInput, PlanInput
from workflows.retirement import RetirementWorkflow

pytestmark = [pytest.mark.temporal, pytest.mark.asyncio(loop_scope="session")]

WEEKS = 14 * 86_400.0


async def test_it_looks_again_when_it_is_told_and_ends_when_nothing_is_left(
    temporal_env: WorkflowEnvironment, plan: str
) -> None:
    world = World(retirement_look=[Looked("kept", False, WEEKS), Looked("deleted", True, 0.0)])
    async with serving(temporal_env.client, plan, fakes(world)):
        handle = await begun(temporal_env, plan, RetirementWorkflow.run, PlanInput(plan=plan), "retirement")

        async def looked() -> bool:
            return world.calls.count("retirement_look") == 1

        await until(looked, "the first look")
        await handle.signal("look")

        assert await handle.result() == "deleted"
        await keep(handle, "retirement")
    assert world.calls == ["retirement_look", "retirement_look"]


async def test_a_decommission_leaves_it_running(temporal_env: WorkflowEnvironment, plan: str) -> None:
    """The migration ends; this goes on for weeks. What classic held is stored before it is stopped."""
    world = World(retirement_look=[Looked("kept", False, WEEKS)])
    async with serving(temporal_env.client, plan, fakes(world)):
        argument = DecommissionInput(plan=plan, approver="ana")
        handle = await begun(temporal_env, plan, DecommissionWorkflow.run, argument, "decommission")
        assert (await handle.result()).done
        await keep(handle, "decommission-keeps-classic")

        left = temporal_env.client.get_workflow_handle(names.retirement_id(plan))
        assert (await left.describe()).status is WorkflowExecutionStatus.RUNNING
        await left.terminate()
    assert world.calls.index("fingerprint") < world.calls.index("release")

"""The workflows of one step or one loop: rollback, breaker, audit, provision and validation."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.fixtures.waiting import TIMEOUT_S, until
from tests.workflow.fakes import World, called, fakes
from tests.workflow.histories import keep
from tests.workflow.serving import begun, serving
from workflows.audit import AuditWorkflow, ProvisionWorkflow
from workflows.breaker import BreakerWorkflow, RollbackWorkflow
from workflows.messages import PlanInput, RollbackInput, ValidateInput, ValidationOutcome
from workflows.validation import ValidationWorkflow

pytestmark = [pytest.mark.temporal, pytest.mark.asyncio(loop_scope="session")]


async def test_rollback_and_breaker_run_on_the_incident_queue(temporal_env: WorkflowEnvironment, plan: str) -> None:
    world = World()
    async with serving(temporal_env.client, plan, fakes(world)):
        rollback = await begun(
            temporal_env,
            plan,
            RollbackWorkflow.run,
            RollbackInput(plan=plan, all=True, who="ana", reason="drill"),
            "rollback",
        )
        outcome = await rollback.result()
        await keep(rollback, "rollback")
        breaker = await begun(temporal_env, plan, BreakerWorkflow.run, PlanInput(plan=plan), "breaker")
        await until(lambda: called(world, "watch_breakers"))
        await breaker.signal(BreakerWorkflow.finish)
        await asyncio.wait_for(breaker.result(), TIMEOUT_S)
        await keep(breaker, "breaker")

    assert outcome.changed == 1


async def test_audit_provision_and_validation_return_what_was_found(
    temporal_env: WorkflowEnvironment, plan: str
) -> None:
    """A divergence is a result, not a failure."""
    world = World(validate=[ValidationOutcome(clean=False, divergent_rows=2)])
    async with serving(temporal_env.client, plan, fakes(world)):
        for run, name in ((AuditWorkflow.run, "audit"), (ProvisionWorkflow.run, "provision")):
            handle = await begun(temporal_env, plan, run, PlanInput(plan=plan), name)
            await handle.result()
            await keep(handle, name)
        handle = await begun(temporal_env, plan, ValidationWorkflow.run, ValidateInput(plan=plan), "validate")
        found = await handle.result()
        await keep(handle, "validation")

    assert found.divergent_rows == 2

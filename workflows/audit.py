"""Phases 1 and 2: audit classic, then build the schema on Limitless."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import names, policies
    from workflows.activities.prepare import PrepareActivities
    from workflows.messages import Outcome, PlanInput


@workflow.defn(name="Audit")
class AuditWorkflow:
    @workflow.run
    async def run(self, inp: PlanInput) -> Outcome:
        control = names.queue(inp.plan, names.Queue.CONTROL)
        return await workflow.execute_activity_method(PrepareActivities.audit, inp, **policies.WORK.on(control))


@workflow.defn(name="Provision")
class ProvisionWorkflow:
    @workflow.run
    async def run(self, inp: PlanInput) -> Outcome:
        control = names.queue(inp.plan, names.Queue.CONTROL)
        return await workflow.execute_activity_method(PrepareActivities.provision, inp, **policies.WORK.on(control))

"""What becomes of classic after the hand-over, for weeks: kept stopped, deleted once that is approved, its copy kept.

It outlives the migration. What is due is judged anew at every look, from what Limitless holds and what AWS says, so a
run that was terminated is followed by one that goes on (`migrator decommission delete` starts it).
"""

from __future__ import annotations

import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from workflows import names, policies
    from workflows.activities.decommission import DecommissionActivities
    from workflows.messages import PlanInput


@workflow.defn(name="Retirement")
class RetirementWorkflow:
    def __init__(self) -> None:
        self.looks = 0

    @workflow.run
    async def run(self, inp: PlanInput) -> str:
        control = names.queue(inp.plan, names.Queue.CONTROL)
        while True:
            seen = self.looks
            found = await workflow.execute_activity_method(
                DecommissionActivities.look, inp, **policies.AFTER.on(control, summary="what is due of classic")
            )
            workflow.set_current_details(found.text)
            if found.done:
                return found.text
            await self._wait(seen, found.again_s)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(inp)

    async def _wait(self, seen: int, again_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: self.looks > seen, timeout=timedelta(seconds=again_s))

    @workflow.signal
    def look(self) -> None:
        """Something changed: the deletion was approved, or that was withdrawn."""
        self.looks += 1


async def start(plan: str) -> None:
    """Start it, unless it runs."""
    with contextlib.suppress(WorkflowAlreadyStartedError):
        await workflow.start_child_workflow(
            RetirementWorkflow.run,
            PlanInput(plan=plan),
            id=names.retirement_id(plan),
            task_queue=names.queue(plan, names.Queue.CONTROL),
            parent_close_policy=ParentClosePolicy.ABANDON,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )

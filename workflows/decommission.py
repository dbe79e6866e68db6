"""The end: close, drain, hand over, retire classic.

Three stretches. Before the pause: everything slow. The pause: writes are closed, steps follow each other at once,
and when the plan's limit is over or a step says no, writes open again. Behind the point of no return: only
forward. Which side of that point we are on is decided by one row on classic, never here.
"""

from __future__ import annotations

import asyncio
import contextlib

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from workflows import names, policies
    from workflows.activities.decommission import DecommissionActivities
    from workflows.activities.validation import ValidationActivities
    from workflows.failures import blockers_of
    from workflows.messages import Closing, DecommissionInput, DecommissionResult, PlanInput, ValidateInput


@workflow.defn(name="Decommission")
class DecommissionWorkflow:
    def __init__(self) -> None:
        self.step = "preparing"

    @workflow.run
    async def run(self, inp: DecommissionInput) -> DecommissionResult:
        control = names.queue(inp.plan, names.Queue.CONTROL)
        plan = PlanInput(plan=inp.plan)
        try:
            closing = await self._prepare(inp, control)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return DecommissionResult(blockers=blockers_of(error), text="nothing was closed")
        if closing.reason:
            return DecommissionResult(blockers=(closing.reason,), text="nothing was closed")
        trouble = await self._pause(closing, control)
        if trouble:
            reopened = await workflow.execute_activity_method(
                DecommissionActivities.reopen,
                closing.model_copy(update={"reason": trouble[0]}),
                **policies.AFTER.on(control, summary="open writes on classic again"),
            )
            if not reopened.done:
                return reopened.model_copy(update={"blockers": trouble})
        self.step = "settling"
        settled = await workflow.execute_activity_method(
            DecommissionActivities.settle, closing, **policies.AFTER.on(control, summary="settle on Limitless")
        )
        for workflow_id in (names.dual_write_id(inp.plan), names.breaker_id(inp.plan)):
            with contextlib.suppress(FailureError):  # it ended already
                await workflow.get_external_workflow_handle(workflow_id).signal("finish")
        await workflow.execute_activity_method(ValidationActivities.remove_schedule, plan, **policies.QUICK.on(control))
        self.step = "retiring classic"
        await workflow.execute_activity_method(
            DecommissionActivities.export, closing, **policies.AFTER.on(control, summary="export the decision log")
        )
        # The last one: on this machine and on AWS alike, classic does not answer any more afterwards.
        await workflow.execute_activity_method(
            DecommissionActivities.release, closing, **policies.AFTER.on(control, summary="release classic")
        )
        self.step = "done"
        return settled

    async def _prepare(self, inp: DecommissionInput, control: str) -> Closing:
        closing = Closing(plan=inp.plan, approver=inp.approver)
        await workflow.execute_activity_method(
            DecommissionActivities.prepare, closing, **policies.WORK.on(control, summary="indexes and foreign keys")
        )
        # What is clean before the pause need not be compared inside it, unless it changes again.
        await workflow.execute_activity_method(
            ValidationActivities.validate,
            ValidateInput(plan=inp.plan, kind="decommission"),
            **policies.WATCH.on(control, summary="validation before the pause"),
        )
        self.step = "closing"
        return await workflow.execute_activity_method(
            DecommissionActivities.close, closing, **policies.PAUSED_STEP.on(control, summary="close writes on classic")
        )

    async def _pause(self, closing: Closing, control: str) -> tuple[str, ...]:
        """Run the steps of the pause; return what went wrong, nothing when the hand-over is done."""
        deadline = workflow.time() + closing.max_pause_s
        try:
            async with asyncio.timeout(closing.max_pause_s):
                for step, name in (
                    (DecommissionActivities.drain, "draining the mirrors"),
                    (DecommissionActivities.validate, "validating what changed"),
                    (DecommissionActivities.sequences, "restarting sequences"),
                    (DecommissionActivities.close_positions, "fencing off late mirrors"),
                    (DecommissionActivities.hand_over, "POINT OF NO RETURN"),
                ):
                    self.step = name
                    if workflow.time() >= deadline:
                        raise TimeoutError  # the step before swallowed the cancellation by succeeding
                    await workflow.execute_activity_method(
                        step, closing, **policies.PAUSED_STEP.on(control, summary=name)
                    )
        except TimeoutError:
            return (f"the pause would have been longer than {closing.max_pause_s:g} s (while {self.step})",)
        except asyncio.CancelledError:
            return (f"it was cancelled while {self.step}",)  # writes must not stay closed
        except ActivityError as error:
            if is_cancelled_exception(error):
                return (f"the pause ended after {closing.max_pause_s:g} s (while {self.step})",)
            return blockers_of(error)
        return ()

    @workflow.query
    def progress(self) -> str:
        return self.step

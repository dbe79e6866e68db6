"""Phase 5: the stabilization window, with classic as a fallback.

The window's deadline is state, waited for in checks, so that an incident, a pause or a changed plan only moves the
deadline. Every check validates everything, prices the day, looks for incidents and cuts over late sign-ups.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ChildWorkflowError, WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from workflows import names, policies
    from workflows.activities.stabilize import StabilizeActivities
    from workflows.activities.validation import ValidationActivities
    from workflows.cutover import CutoverWorkflow
    from workflows.messages import (
        CheckInput,
        ContinueWindow,
        CutoverInput,
        PlanInput,
        StabilizeInput,
        StabilizeResult,
        ValidateInput,
        WindowState,
    )


@workflow.defn(name="Stabilize")
class StabilizeWorkflow:
    @workflow.init
    def __init__(self, inp: StabilizeInput) -> None:
        self.plan = inp.plan
        self.window = inp.window
        self.text = ""
        self.looks = 0
        self.continues = 0
        self.late: asyncio.Task[None] | None = None

    @workflow.run
    async def run(self, inp: StabilizeInput) -> StabilizeResult:
        control = names.queue(self.plan, names.Queue.CONTROL)
        continued = self.continues
        due = False  # a check out of turn, because an incident was reported, does not wait for a validation
        while True:
            looks = self.looks
            if due and self.window is not None:
                await workflow.execute_activity_method(
                    ValidationActivities.validate,
                    ValidateInput(plan=self.plan, kind="stabilize"),
                    **policies.WATCH.on(control, summary="daily validation"),
                )
                await workflow.execute_activity_method(
                    StabilizeActivities.cost, PlanInput(plan=self.plan), **policies.QUICK.on(control)
                )
            if self.continues > continued and self.window is not None:
                continued = self.continues
                self.window = await workflow.execute_activity_method(
                    StabilizeActivities.go_on,
                    ContinueWindow(plan=self.plan, now_s=workflow.time(), window=self.window),
                    **policies.QUICK.on(control),
                )
            check = await workflow.execute_activity_method(
                StabilizeActivities.check,
                CheckInput(plan=self.plan, now_s=workflow.time(), window=self.window),
                **policies.QUICK.on(control),
            )
            self.window, self.text = check.window, check.text
            workflow.set_current_details(check.text)
            if check.over:
                await workflow.wait_condition(workflow.all_handlers_finished)
                return StabilizeResult(text=check.text, restarts=check.window.restarts, checks=check.window.checks)
            if check.late_tenants and (self.late is None or self.late.done()):
                # Beside the daily checks: a wave may soak as long as a day.
                self.late = asyncio.create_task(self._late_tenants(control))
            due = await self._tick(check.next_s, looks)
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(inp.model_copy(update={"window": self.window}))

    async def _tick(self, seconds: float, looks: int) -> bool:
        """Wait for the next check; return whether a day's work is due, False when a check was requested."""
        continues = self.continues
        if seconds <= 0:
            return True
        try:
            await workflow.wait_condition(
                lambda: self.looks > looks or self.continues > continues,
                timeout=timedelta(seconds=seconds),
                timeout_summary="next check",
            )
        except TimeoutError:
            return True
        return False

    async def _late_tenants(self, control: str) -> None:
        """Cut over late sign-ups; what fails is tried again at the next check."""
        with contextlib.suppress(ChildWorkflowError, WorkflowAlreadyStartedError):
            await workflow.execute_child_workflow(
                CutoverWorkflow.run,
                CutoverInput(plan=self.plan, late=True),
                id=names.cutover_id(self.plan),
                task_queue=control,
                parent_close_policy=ParentClosePolicy.ABANDON,  # a wave under way ends by itself
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            )

    @workflow.signal
    def look(self) -> None:
        """Check now: an incident was reported."""
        self.looks += 1

    @workflow.signal
    def continue_window(self) -> None:
        """Resume a window that an incident paused."""
        self.continues += 1

    @workflow.query
    def progress(self) -> str:
        return self.text

    @workflow.query
    def state(self) -> WindowState | None:
        return self.window

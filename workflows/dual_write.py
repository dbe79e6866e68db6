"""Dual write, from phase 3 to the decommission: installs capture, keeps mirrors running, copies older rows.

The mirrors are one endless activity each, so this history grows only with mirrors that fail for good, which are started
again. It continues as new when it is long: the mirrors stop for a moment. Copying has a history of its own, the
backfill, which does so too; it is watched, and started again at `resume` when it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, FailureError, WorkflowAlreadyStartedError, is_cancelled_exception
from temporalio.workflow import ActivityCancellationType, ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from workflows import names, policies
    from workflows.activities.control import ControlActivities
    from workflows.activities.dual_write import DualWriteActivities
    from workflows.backfill import BackfillWorkflow
    from workflows.failures import reason
    from workflows.messages import (
        BackfillInput,
        DualWriteInput,
        MirrorInput,
        MirrorTrouble,
        Pause,
        PlanInput,
        WatchInput,
    )
    from workflows.steps import tell_from_workflow


@workflow.defn(name="DualWrite")
class DualWriteWorkflow:
    @workflow.init
    def __init__(self, inp: DualWriteInput) -> None:
        self.plan = inp.plan
        self.paused = inp.paused
        self.finished = False
        self.leaving = False  # about to continue as new
        self.retries = 0

    @workflow.run
    async def run(self, inp: DualWriteInput) -> None:
        control = names.queue(self.plan, names.Queue.CONTROL)
        goes_on = workflow.patched("dual-write-goes-on-2026-11")
        begin = DualWriteActivities.shape if inp.begun else DualWriteActivities.capture_on
        shape = await workflow.execute_activity_method(
            begin, PlanInput(plan=self.plan), **(policies.QUICK if inp.begun else policies.WORK).on(control)
        )
        mirrors = [asyncio.create_task(self._mirror(part)) for part in range(shape.parts + 1)]
        await self._start_backfill()
        if workflow.cancellation_reason() is not None:
            # A cancellation that comes while a child starts reaches only the child.
            raise asyncio.CancelledError
        if workflow.patched("watch-backfill-2026-11"):
            mirrors.append(asyncio.create_task(self._watch_backfill()))
        try:
            await workflow.wait_condition(
                lambda: self.finished or (goes_on and workflow.info().is_continue_as_new_suggested())
            )
            self.leaving = not self.finished
        finally:
            for mirror in mirrors:
                mirror.cancel()
        if not self.finished:
            await workflow.wait(mirrors)
            await workflow.wait_condition(workflow.all_handlers_finished)
            if not self.finished:
                workflow.continue_as_new(inp.model_copy(update={"paused": self.paused, "begun": True}))
        with contextlib.suppress(FailureError):  # it ended already
            await workflow.get_external_workflow_handle(names.backfill_id(self.plan)).signal("finish")
        await workflow.wait(mirrors)

    @property
    def over(self) -> bool:
        """Whether nothing is started any more, in this history at least."""
        return self.finished or self.leaving

    async def _start_backfill(self) -> None:
        with contextlib.suppress(WorkflowAlreadyStartedError):
            await workflow.start_child_workflow(
                BackfillWorkflow.run,
                BackfillInput(plan=self.plan, paused=self.paused),
                id=names.backfill_id(self.plan),
                task_queue=names.queue(self.plan, names.Queue.CONTROL),
                parent_close_policy=ParentClosePolicy.ABANDON,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            )

    async def _watch_backfill(self) -> None:
        """Notice when the backfill ends; status says so, and `resume` starts it again."""
        while not self.over:
            seen = self.retries
            # The old attempt only reads, so there is no need to wait for its end.
            config = policies.ENDLESS.on(names.queue(self.plan, names.Queue.CONTROL), summary="does the backfill run?")
            config["cancellation_type"] = ActivityCancellationType.TRY_CANCEL
            try:
                await workflow.execute_activity_method(
                    ControlActivities.watch, WatchInput(plan=self.plan, workflows=("backfill",)), **config
                )
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise asyncio.CancelledError from error
                tell_from_workflow("backfill.not_watched", reason=reason(error)[1])
            await self._go_ahead(seen)
            if not self.over:
                await self._start_backfill()

    async def _mirror(self, part: int) -> None:
        """Keep one partition mirrored until the end. Temporal chooses the worker; one activity per partition."""
        mirror = names.queue(self.plan, names.Queue.MIRROR)
        control = names.queue(self.plan, names.Queue.CONTROL)
        while not self.over:  # asked each time: a cancellation is lost when the activity succeeds at that moment
            seen = self.retries
            try:
                await workflow.execute_activity_method(
                    DualWriteActivities.mirror,
                    MirrorInput(plan=self.plan, part=part),
                    **policies.ENDLESS.on(mirror, summary=f"mirror partition {part}"),
                )
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise asyncio.CancelledError from error
                kind, text = reason(error)
                with contextlib.suppress(ActivityError):  # it is started again even if status cannot be written
                    await workflow.execute_activity_method(
                        DualWriteActivities.mirror_failed,
                        MirrorTrouble(plan=self.plan, part=part, error=kind, message=text),
                        **policies.QUICK.on(control),
                    )
            await self._go_ahead(seen, timedelta(seconds=policies.TROUBLE_RETRY_S))

    async def _go_ahead(self, seen: int, timeout: timedelta | None = None) -> None:
        """Wait until an operator has resumed more than *seen* times, or for the end; no longer than *timeout*."""
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: self.retries > seen or self.over, timeout=timeout)

    @workflow.signal
    def finish(self) -> None:
        """Stop mirroring: the migration is over, or was aborted."""
        self.finished = True

    @workflow.signal
    def retry(self) -> None:
        self.retries += 1

    @workflow.signal
    def set_paused(self, order: Pause) -> None:
        self.paused = order.paused  # mirrors go on; only the backfill obeys it

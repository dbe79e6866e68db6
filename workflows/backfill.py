"""Copies all tenants in a sliding window, then waits for sign-ups and copies those.

Which units exist and which come first is stored on classic; the workflow is only a window of activities. The long poll
sits inside an activity, so an idle backfill of months adds a handful of events per hour.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from workflows import names, policies
    from workflows.activities.dual_write import DualWriteActivities
    from workflows.messages import BackfillInput, CopyInput, Pause, PlanInput, Units, UnitsInput


@workflow.defn(name="Backfill")
class BackfillWorkflow:
    @workflow.init
    def __init__(self, inp: BackfillInput) -> None:
        self.plan = inp.plan
        self.paused = inp.paused
        self.copied, self.failed = inp.copied, inp.failed
        self.running: dict[str, asyncio.Task[None]] = {}
        self.finished = False
        self.retried = False
        self.turn = 0
        self.concurrency = 0  # as the plan says; see next_units

    @workflow.run
    async def run(self, inp: BackfillInput) -> None:
        control = names.queue(self.plan, names.Queue.CONTROL)
        shape = await workflow.execute_activity_method(
            DualWriteActivities.shape, PlanInput(plan=self.plan), **policies.QUICK.on(control)
        )
        self.concurrency = shape.concurrency
        while not self.finished:
            if workflow.info().is_continue_as_new_suggested():
                break
            if self.paused:
                await workflow.wait_condition(lambda: not self.paused or self.finished)
                continue
            if self.retried:
                self.retried = False
                await workflow.execute_activity_method(
                    DualWriteActivities.retry_failed, PlanInput(plan=self.plan), **policies.QUICK.on(control)
                )
            await self._fill(control)
        await self._drain()
        await workflow.wait_condition(workflow.all_handlers_finished)
        if not self.finished:
            workflow.continue_as_new(
                inp.model_copy(update={"paused": self.paused, "copied": self.copied, "failed": self.failed})
            )

    async def _fill(self, control: str) -> None:
        """Start copies for the free places of the window, then wait until something ends."""
        free = self.concurrency - len(self.running)
        polled = Units()
        if free > 0:
            poll = asyncio.create_task(self._next_units(free, control))
            await workflow.wait_condition(lambda: poll.done() or self.finished or self.paused or self.retried)
            if not poll.done():
                poll.cancel()
                await workflow.wait([poll])
                return
            polled = poll.result()
            self.concurrency = polled.concurrency or self.concurrency
        for unit in polled.units:
            self.running[unit] = asyncio.create_task(self._copy(unit))
        turn = self.turn
        if self.running and (not polled.units or len(self.running) >= self.concurrency):
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: self.turn > turn or self.finished or self.paused, timeout=timedelta(seconds=30)
                )

    async def _next_units(self, free: int, control: str) -> Units:
        try:
            return await workflow.execute_activity_method(
                DualWriteActivities.next_units,
                UnitsInput(
                    plan=self.plan,
                    limit=free,
                    running=tuple(sorted(self.running)),
                    wait_s=0 if self.running else policies.LONG_POLL_S,
                ),
                **policies.WATCH.on(control, summary="next copy units"),
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error
            await workflow.sleep(timedelta(seconds=policies.TROUBLE_RETRY_S))
            return Units()

    async def _copy(self, unit: str) -> None:
        try:
            await workflow.execute_activity_method(
                DualWriteActivities.copy_unit,
                CopyInput(plan=self.plan, unit=unit),
                **policies.COPY.on(names.queue(self.plan, names.Queue.BULK), summary=unit),
            )
            self.copied += 1
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error
            self.failed += 1  # the reason is on classic, with the unit
        finally:
            self.running.pop(unit, None)
            self.turn += 1

    async def _drain(self) -> None:
        """Wait for running copies; cancel them when the migration is over."""
        tasks = list(self.running.values())
        if self.finished:
            for task in tasks:
                task.cancel()
        if tasks:
            await workflow.wait(tasks)

    @workflow.signal
    def set_paused(self, order: Pause) -> None:
        self.paused = order.paused

    @workflow.signal
    def retry(self) -> None:
        self.retried = True

    @workflow.signal
    def finish(self) -> None:
        self.finished = True

    @workflow.query
    def progress(self) -> dict[str, int]:
        return {"copied": self.copied, "failed": self.failed, "running": len(self.running)}

"""Runs the breaker monitor for all processes together, and rolls back on request.

Both run on the incident queue, so that nothing else can delay them. Neither is needed for reads to fall back:
processes do that by themselves, and `migrator rollback` needs classic alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from workflows import names, policies
    from workflows.activities.incident import IncidentActivities
    from workflows.failures import reason
    from workflows.messages import PlanInput, RollbackInput, RollbackOutcome
    from workflows.steps import tell_from_workflow


@workflow.defn(name="Breaker")
class BreakerWorkflow:
    def __init__(self) -> None:
        self.finished = False

    @workflow.run
    async def run(self, inp: PlanInput) -> None:
        queue = names.queue(inp.plan, names.Queue.INCIDENT)
        while not self.finished:
            await self._until_finished(asyncio.create_task(self._watch(inp, queue)))
            if not self.finished:
                with contextlib.suppress(TimeoutError):
                    await workflow.wait_condition(
                        lambda: self.finished, timeout=timedelta(seconds=policies.TROUBLE_RETRY_S)
                    )
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(inp)

    async def _until_finished(self, watch: asyncio.Task[None]) -> None:
        try:
            await workflow.wait_condition(lambda: self.finished or watch.done())
        finally:
            watch.cancel()
        await workflow.wait([watch])

    async def _watch(self, inp: PlanInput, queue: str) -> None:
        try:
            await workflow.execute_activity_method(
                IncidentActivities.watch_breakers, inp, **policies.ENDLESS.on(queue, summary="breaker monitor")
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error
            tell_from_workflow("breaker.monitor_failed", reason=reason(error)[1])

    @workflow.signal
    def finish(self) -> None:
        self.finished = True


@workflow.defn(name="Rollback")
class RollbackWorkflow:
    """Started by any client; does the same as `migrator rollback`, which does not need it."""

    @workflow.run
    async def run(self, inp: RollbackInput) -> RollbackOutcome:
        queue = names.queue(inp.plan, names.Queue.INCIDENT)
        return await workflow.execute_activity_method(IncidentActivities.roll_back, inp, **policies.INCIDENT.on(queue))

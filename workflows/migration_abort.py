"""Aborts a migration: reads go back to classic first, then everything stops."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from migrator.model.phase import ORDER, Phase
    from workflows import names, policies
    from workflows.activities.incident import IncidentActivities
    from workflows.activities.validation import ValidationActivities
    from workflows.failures import blockers_of
    from workflows.messages import Order, PlanInput, RollbackInput
    from workflows.migration_state import Migration


async def abort(m: Migration, work: asyncio.Task[bool], order: Order) -> None:
    """Abort: reads go back to classic first, then what runs is cancelled; capture and copies stay as they are.

    When reads cannot go back nothing is stopped, and the abort has to be ordered again.
    """
    before = (m.state, m.waiting_for, m.blockers)
    m.show("aborted")
    mirrored = m.phase is not None and ORDER.index(m.phase) >= ORDER.index(Phase.DUAL_WRITE)
    if mirrored:
        try:
            await workflow.execute_activity_method(
                IncidentActivities.roll_back,
                RollbackInput(plan=m.plan, all=True, who=order.who, reason=f"aborted: {order.reason}"),
                **policies.INCIDENT.on(names.queue(m.plan, names.Queue.INCIDENT)),
            )
        except ActivityError as error:
            m.abort_order = None
            m.show(before[0], waiting_for=before[1], blockers=before[2])
            await m.note(
                "blocked",
                "the abort did not happen: reads could not be brought back to classic",
                blockers=blockers_of(error),
                next_step="migrator rollback --all, then abort again",
            )
            return
    if m.watching is not None:
        m.watching.cancel()  # what ends now was told to
    while not work.done():
        # Repeated: a cancellation is lost when the awaited work succeeds at that moment.
        work.cancel()
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(work.done, timeout=timedelta(seconds=1))
    with contextlib.suppress(asyncio.CancelledError, ActivityError, ChildWorkflowError):
        await work  # as requested
    left = ""
    if mirrored:
        await m.signal_background("finish")
        try:
            await workflow.execute_activity_method(
                ValidationActivities.remove_schedule, PlanInput(plan=m.plan), **policies.QUICK.on(m.control)
            )
        except ActivityError as error:
            left = f"; the schedule of validation is still there: {blockers_of(error)[0]}"
    await m.note(
        "failed",
        f"aborted by {order.who}: {order.reason}{left}",
        next_step="migrator run starts again; migrator undo dual-write takes capture off",
    )
    await workflow.wait_condition(workflow.all_handlers_finished)
    raise ApplicationError(f"aborted by {order.who}: {order.reason}", type="Aborted", non_retryable=True)

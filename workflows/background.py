"""Starts what runs beside the phases, from dual write to the hand-over: mirrors, backfill and breaker monitor.

They outlive the run that starts them; later runs start them again and find them running already.
"""

from __future__ import annotations

import contextlib

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from workflows import names
    from workflows.breaker import BreakerWorkflow
    from workflows.dual_write import DualWriteWorkflow
    from workflows.messages import DualWriteInput, PlanInput

WATCHED = ("dual-write", "breaker")
"""The workflows that a migration watches; the backfill is watched by dual write."""


async def start(plan: str, *, paused: bool = False) -> None:
    """Start those that do not run."""
    with contextlib.suppress(WorkflowAlreadyStartedError):  # an earlier run of this migration started it
        await workflow.start_child_workflow(
            DualWriteWorkflow.run,
            DualWriteInput(plan=plan, paused=paused),
            id=names.dual_write_id(plan),
            task_queue=names.queue(plan, names.Queue.CONTROL),
            parent_close_policy=ParentClosePolicy.ABANDON,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )
    with contextlib.suppress(WorkflowAlreadyStartedError):
        await workflow.start_child_workflow(
            BreakerWorkflow.run,
            PlanInput(plan=plan),
            id=names.breaker_id(plan),
            task_queue=names.queue(plan, names.Queue.INCIDENT),
            parent_close_policy=ParentClosePolicy.ABANDON,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )

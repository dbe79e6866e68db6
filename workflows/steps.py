"""Logs what workers do: each step and each workflow, when it begins, ends, fails, is refused or handed over.

A workflow's code runs again when its history is replayed; what it logged then is not logged again.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)
from temporalio.workflow import ContinueAsNewError

from migrator.log_events import tell

POLLED = frozenset({"gate", "watch", "note", "next_units", "next_wave", "soak", "stand"})
"""Steps that only ask or note, again and again; a migration of months has thousands of them."""

REFUSALS = frozenset({"NoGo", "WorkerOutdated", "PlanMismatch", "PreconditionFailed", "WrongVersion", "NotInstalled"})

ABOUT = {"phase": "phase", "part": "partition", "unit": "unit", "wave": "wave", "number": "wave", "gate": "gate"}
"""What of a step's input says what it is about, and the word for it. Never a value of a row."""


def subject(arguments: tuple[Any, ...] | list[Any]) -> dict[str, str | int]:
    """Return what *arguments* say a step is about. Pure."""
    found = {}
    for argument in arguments:
        for attribute, key in ABOUT.items():
            value = getattr(argument, attribute, None)
            if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                found[key] = value if isinstance(value, int) else str(value)
    return found


def is_told(tries: int) -> bool:
    """Return whether a failure at this try is logged: at 1, 2, 4, 8 and so on, since a step may fail for days. Pure."""
    return tries & (tries - 1) == 0


def tell_from_workflow(name: str, **keys: Any) -> None:
    """Log the event *name* from a workflow's code, unless it is replayed."""
    if not workflow.unsafe.is_replaying():
        with workflow.unsafe.sandbox_unrestricted():
            tell(name, **keys)


class Steps(Interceptor):
    """Logs the activities and workflows of a worker; goes before what translates errors."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Activities(super().intercept_activity(next))

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        return _Workflows


class _Activities(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        keys: dict[str, Any] = {"step": info.activity_type, "workflow": info.workflow_id, "tries": info.attempt}
        keys |= subject(list(input.args))
        tell("step.begun", **keys)
        began = time.monotonic()
        try:
            result = await super().execute_activity(input)
        except (asyncio.CancelledError, FailureError) as error:
            _ended(error, info.attempt, keys)
            raise
        seconds = round(time.monotonic() - began, 3)
        tell("step.polled" if info.activity_type in POLLED else "step.finished", seconds=seconds, **keys)
        return result


def _ended(error: BaseException, tries: int, keys: dict[str, Any]) -> None:
    """Log how a step ended that is not done; errors hold no values by then (failures.py)."""
    if is_cancelled_exception(error) or not isinstance(error, ApplicationError):
        tell("step.cancelled", **keys)
    elif error.type == "WorkerDraining":
        tell("step.handed_over", **keys)
    elif error.type == "Throttled":
        tell("step.polled", **keys)
    elif error.type in REFUSALS:
        if is_told(tries):
            tell("step.refused", error=error.type, reason=error.message, **keys)
    elif error.type == "LeaseLost":
        tell("lease.lost", reason=error.message, **{k: v for k, v in keys.items() if k in ("partition", "unit")})
    elif is_told(tries):
        tell("step.failed", error=error.type, reason=error.message, retried=not error.non_retryable, **keys)


class _Workflows(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        info = workflow.info()
        keys = {"workflow": info.workflow_id, "kind": info.workflow_type}
        if info.continued_run_id is None:
            tell_from_workflow("workflow.begun", **keys)
        try:
            result = await super().execute_workflow(input)
        except ContinueAsNewError:
            tell_from_workflow("workflow.continued", **keys)
            raise
        except (asyncio.CancelledError, FailureError) as error:
            if is_cancelled_exception(error):
                tell_from_workflow("workflow.cancelled", **keys)
            else:
                from workflows.failures import reason

                kind, text = reason(error)
                tell_from_workflow("workflow.failed", error=kind, reason=text, **keys)
            raise
        tell_from_workflow("workflow.finished", **keys)
        return result

    async def handle_signal(self, input: HandleSignalInput) -> None:
        self._ordered(input.signal)
        await super().handle_signal(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:
        self._ordered(input.update)
        return await super().handle_update_handler(input)

    def _ordered(self, order: str) -> None:
        info = workflow.info()
        tell_from_workflow("workflow.ordered", workflow=info.workflow_id, kind=info.workflow_type, order=order)

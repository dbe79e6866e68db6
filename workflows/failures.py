"""Translates the tool's errors into Temporal's.

Once, here: every activity's exception becomes an ApplicationError that says whether a retry makes sense and that
holds no row data. PostgreSQL quotes values in its messages ("Key (email)=(…) already exists"), and a workflow's
history is kept for months: migrator.db.error_text owns what is said.
"""

from __future__ import annotations

from typing import Any

import psycopg
from temporalio import activity
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    FailureError,
    TimeoutType,
)
from temporalio.exceptions import TimeoutError as TimedOut
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from migrator.db.error_text import described, next_step
from migrator.db.origin import origin_of
from migrator.errors import LeaseLost, MigratorError, NoGo, WrongVersion
from migrator.model.blocker import Blocker
from migrator.model.sqlstate import Fault, fault_of

RETRYABLE_FAULTS = frozenset({Fault.UNREACHABLE, Fault.OVERLOADED, Fault.CONFLICT})


def failure(error: Exception, step: str = "") -> ApplicationError:
    """Return *error* for Temporal: a type, one line, and whether the same call may succeed later.

    Args:
        step: the activity that it ended; named beside what the error itself does not say.
    """
    details: dict[str, Any]
    if isinstance(error, MigratorError):
        details = {"hint": error.hint}
        if isinstance(error, NoGo):
            details["blockers"] = list(error.blockers)
        # A lease lost to another worker soon clears: the next try takes the lease again, or finds it closed.
        # On tables of another version a worker of that one can do it, or this one after the upgrade.
        retry = error.retryable or isinstance(error, LeaseLost | WrongVersion)
        return ApplicationError(str(error), details, type=type(error).__name__, non_retryable=not retry)
    told = f"{described(error)}, step {step}" if step else described(error)
    if isinstance(error, psycopg.Error):
        state, origin = error.sqlstate, origin_of(error)
        lost = state is None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        retry = lost or (state is not None and fault_of(state) in RETRYABLE_FAULTS)
        details = {
            "sqlstate": state,
            "side": origin.side,
            "table": error.diag.table_name,
            "constraint": error.diag.constraint_name,
            "statement": origin.statement,
            "hint": next_step(error),
        }
        return ApplicationError(told, details, type=f"pg.{state or type(error).__name__}", non_retryable=not retry)
    if isinstance(error, OSError):  # TimeoutError is one
        return ApplicationError(told, type=type(error).__name__)
    # A bug: its text may quote anything, so only its type and place are kept.
    return ApplicationError(f"unexpected {told}", type=type(error).__name__, non_retryable=True)


class Failures(Interceptor):
    """Translates the errors that activities raise."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _ActivityFailures(super().intercept_activity(next))


class _ActivityFailures(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await super().execute_activity(input)
        except FailureError:
            raise
        except Exception as error:
            raise failure(error, activity.info().activity_type) from None


def reason(error: BaseException) -> tuple[str, str]:
    """Return type and one line of the cause below an activity or child workflow error."""
    cause, above = _cause(error)
    if isinstance(cause, ApplicationError):
        return cause.type or "ApplicationError", cause.message
    if isinstance(cause, TimedOut) and isinstance(above, ActivityError):
        kind = cause.type or TimeoutType.START_TO_CLOSE
        return "TimeoutError", _TIMED_OUT[kind].format(above.activity_type)
    return type(cause).__name__, str(cause) or type(cause).__name__


_TIMED_OUT = {
    TimeoutType.START_TO_CLOSE: "step {} took longer than it may",
    TimeoutType.SCHEDULE_TO_START: "no worker took step {} in time: does one run for this plan? migrator worker",
    TimeoutType.SCHEDULE_TO_CLOSE: "step {} did not end in time, with all its tries",
    TimeoutType.HEARTBEAT: "the worker of step {} gave no sign of life: was its process or host stopped?",
}


def _cause(error: BaseException) -> tuple[BaseException, BaseException | None]:
    """Return the cause below activity and child workflow errors, and the error right above it."""
    cause, above = error, None
    while isinstance(cause, ActivityError | ChildWorkflowError) and cause.cause is not None:
        cause, above = cause.cause, cause
    return cause, above


def blockers_of(error: BaseException) -> tuple[Blocker, ...]:
    """Return the blockers of a NoGo below *error*, else its one line; only their texts came through Temporal."""
    cause, _ = _cause(error)
    if isinstance(cause, ApplicationError) and cause.details:
        first = cause.details[0]
        if isinstance(first, dict) and first.get("blockers"):
            return tuple(Blocker.read(str(b)) for b in first["blockers"])
    return (Blocker.read(reason(error)[1]),)

"""Translates the tool's errors into Temporal's.

Once, here: every activity's exception becomes an ApplicationError that says whether a retry makes sense and that
holds no row data. PostgreSQL quotes values in its messages ("Key (email)=(…) already exists"), and a workflow's
history is kept for months, so only the SQLSTATE and the names of table and constraint pass.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import psycopg
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError, FailureError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from migrator.errors import LeaseLost, MigratorError, NoGo, WrongVersion
from migrator.model.blocker import Blocker
from migrator.model.sqlstate import Fault, fault_of

RETRYABLE_FAULTS = frozenset({Fault.UNREACHABLE, Fault.OVERLOADED, Fault.CONFLICT})


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown place"


def failure(error: Exception) -> ApplicationError:
    """Return *error* for Temporal: a type, one line, and whether the same call may succeed later."""
    if isinstance(error, MigratorError):
        details: dict[str, Any] = {"hint": error.hint}
        if isinstance(error, NoGo):
            details["blockers"] = list(error.blockers)
        # A lease lost to another worker soon clears: the next try takes the lease again, or finds it closed.
        # On tables of another version a worker of that one can do it, or this one after the upgrade.
        retry = error.retryable or isinstance(error, LeaseLost | WrongVersion)
        return ApplicationError(str(error), details, type=type(error).__name__, non_retryable=not retry)
    if isinstance(error, psycopg.Error):
        diag = error.diag
        state = error.sqlstate
        lost = state is None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        retry = lost or (state is not None and fault_of(state) in RETRYABLE_FAULTS)
        return ApplicationError(
            f"PostgreSQL said {type(error).__name__} ({state or 'no SQLSTATE'}) at {_where(error)}",
            {"sqlstate": state, "table": diag.table_name, "constraint": diag.constraint_name},
            type=f"pg.{state or type(error).__name__}",
            non_retryable=not retry,
        )
    if isinstance(error, OSError | TimeoutError):
        return ApplicationError(f"{type(error).__name__} at {_where(error)}", type=type(error).__name__)
    # A bug: its text may quote anything, so only its type and place are kept.
    return ApplicationError(
        f"unexpected {type(error).__name__} at {_where(error)}", type=type(error).__name__, non_retryable=True
    )


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
            raise failure(error) from None


def reason(error: BaseException) -> tuple[str, str]:
    """Return type and one line of the cause below an activity or child workflow error."""
    cause: BaseException = error
    while isinstance(cause, ActivityError | ChildWorkflowError) and cause.cause is not None:
        cause = cause.cause
    if isinstance(cause, ApplicationError):
        return cause.type or "ApplicationError", cause.message
    return type(cause).__name__, str(cause) or type(cause).__name__


def blockers_of(error: BaseException) -> tuple[Blocker, ...]:
    """Return the blockers of a NoGo below *error*, else its one line; only their texts came through Temporal."""
    cause: BaseException = error
    while isinstance(cause, ActivityError | ChildWorkflowError) and cause.cause is not None:
        cause = cause.cause
    if isinstance(cause, ApplicationError) and cause.details:
        first = cause.details[0]
        if isinstance(first, dict) and first.get("blockers"):
            return tuple(Blocker.read(str(b)) for b in first["blockers"])
    return (Blocker.read(reason(error)[1]),)

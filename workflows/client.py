"""Sends the commands' requests to Temporal.

Synchronous, each bounded by a time limit, each failing with one of the tool's errors in one line. A rollback needs none
of this: `migrator rollback` writes classic first and informs Temporal afterwards, if it can.

Workflows, updates, queries and signals are named by text: their definitions import every activity, and with those all
that a worker needs, which a command would wait for. A test holds the texts to the definitions.
"""

from __future__ import annotations

import asyncio
import atexit
import time
import uuid
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from migrator.errors import ClusterUnavailable, MigratorError, PlanMismatch, PreconditionFailed
from migrator.plan.schema import Plan
from workflows import names
from workflows.connection import CONNECT_S, connect
from workflows.failures import reason as reason_of
from workflows.messages import (
    Answer,
    Approve,
    MigrationInput,
    MigrationStatus,
    Order,
    PlanInput,
    Report,
)
from workflows.policies import RPC_S

T = TypeVar("T")


@atexit.register
def _let_native_threads_end() -> None:
    """Give the threads of the SDK's native core a moment before the interpreter ends.

    Of short programs that used it, every fourth dies while exiting, after doing its work, with SIGSEGV or SIGABRT
    (temporalio/sdk-python issue 300; version 1.35: 17 of 60 without this pause, none of 60 with it).
    """
    time.sleep(0.1)


class OutcomeUnknown(MigratorError):
    """Temporal did not answer in time; the command may still take effect."""

    retryable = True


@dataclass(frozen=True)
class Described:
    """A migration as Temporal knows it. status: the answer of a running worker, None without one."""

    plan: str
    running: bool
    state: str
    status: MigrationStatus | None = None


def start(plan: Plan, digest: str, earlier: Collection[str] = ()) -> Answer:
    """Start the migration, or find it running.

    Args:
        earlier: other digests of the same values, see `control.install.earlier_digests`.

    Raises:
        PlanMismatch: it was started from other values of the plan.
    """

    async def act(client: Client) -> Answer:
        try:
            await client.start_workflow(
                "Migration",
                MigrationInput(plan=plan.name, digest=digest),
                id=names.migration_id(plan.name),
                task_queue=names.queue(plan.name, names.Queue.CONTROL),
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                memo={"digest": digest},
                static_summary=f"migration of {plan.name}",
                rpc_timeout=timedelta(seconds=RPC_S),
            )
        except WorkflowAlreadyStartedError:
            return await _found(client, plan, {digest, *earlier})
        return Answer(text=f"migration {plan.name} started")

    return _run(plan, act)


async def _found(client: Client, plan: Plan, digests: Collection[str]) -> Answer:
    described = await client.get_workflow_handle(names.migration_id(plan.name)).describe(
        rpc_timeout=timedelta(seconds=RPC_S)
    )
    known = await described.memo_value("digest", default="")
    if described.status is WorkflowExecutionStatus.COMPLETED:
        return Answer(text=f"migration {plan.name} has been completed", changed=False)
    if known and known not in digests:
        raise PlanMismatch(
            f"migration {plan.name} runs with other values of its plan",
            hint="Run the plan as it was, or abort the migration first: migrator abort.",
        )
    return Answer(text=f"migration {plan.name} is running already", changed=False)


def approve(plan: Plan, gate: str, approver: str) -> Answer:
    """Approve a gate. A second approval by the same person changes nothing and says so."""
    return _update(plan, "approve", Approve(gate=gate, approver=approver, again=plan.governance.binding))


def pause(plan: Plan, who: str, reason: str) -> Answer:
    return _update(plan, "pause", Order(who=who, reason=reason))


def resume(plan: Plan, who: str, reason: str = "") -> Answer:
    """Go on after a pause, and recheck what blocked."""
    return _update(plan, "resume", Order(who=who, reason=reason))


def abort(plan: Plan, who: str, reason: str) -> Answer:
    return _update(plan, "abort", Order(who=who, reason=reason))


def cut_over(plan: Plan, who: str, reason: str, timeout_s: float = 60.0) -> Answer:
    """Go forward again after a rollback; waits until reads have moved, or returns why not."""
    return _update(plan, "cut_over", Order(who=who, reason=reason), timeout_s)


def report_incident(plan: Plan, reason: str, reported_by: str) -> Answer:
    return _update(plan, "report_incident", Report(reason=reason, reported_by=reported_by))


async def _status(handle: WorkflowHandle[Any, Any]) -> MigrationStatus | None:
    try:
        status: MigrationStatus = await handle.query(
            "status", result_type=MigrationStatus, rpc_timeout=timedelta(seconds=3)
        )
        return status
    except (RPCError, WorkflowQueryFailedError, WorkflowQueryRejectedError):
        return None  # no worker runs; the caller reads classic's tables


def wait(
    plan: Plan,
    on_progress: Callable[[Described], None] | None = None,
    until: Callable[[Described], bool] | None = None,
    every_s: float = 1.0,
) -> Described:
    """Follow the migration until it ends, or until *until* says so.

    Raises:
        PreconditionFailed: it was aborted or failed.
    """

    async def act(client: Client) -> Described:
        handle = client.get_workflow_handle(names.migration_id(plan.name))
        while True:
            described = await handle.describe(rpc_timeout=timedelta(seconds=RPC_S))
            running = described.status is WorkflowExecutionStatus.RUNNING
            state = described.status.name.lower().replace("_", " ") if described.status else "unknown"
            seen = Described(plan.name, running, state, await _status(handle))
            if on_progress is not None:
                on_progress(seen)
            if running and not (until is not None and until(seen)):
                await asyncio.sleep(every_s)
                continue
            if not running and described.status is not WorkflowExecutionStatus.COMPLETED:
                raise PreconditionFailed(await _why(handle, state))
            return seen

    return _run(plan, act, timeout_s=None)


async def _why(handle: WorkflowHandle[Any, Any], state: str) -> str:
    try:
        await handle.result(rpc_timeout=timedelta(seconds=RPC_S))
    except WorkflowFailureError as error:
        return reason_of(error.cause)[1]
    return f"the migration is {state}"


def signal_rollback(plan: Plan) -> bool:
    """Have running workflows read classic now, after a rollback; returns whether any was reached.

    Best effort, and only a hint: the next step of a cutover finds the rollback on classic anyway. It must not carry
    the rollback itself, which would happen again whenever a worker comes back.
    """

    async def act(client: Client) -> bool:
        told = False
        for workflow_id in (names.cutover_id(plan.name), names.stabilize_id(plan.name)):
            try:
                await client.get_workflow_handle(workflow_id).signal("look", rpc_timeout=timedelta(seconds=3))
                told = True
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
        return told

    try:
        return _run(plan, act)
    except MigratorError:
        return False


def look_at_retirement(plan: Plan) -> bool:
    """Have the workflow that keeps classic look now, and start it where it does not run; returns whether it was
    reached. It looks by itself every few hours."""

    async def act(client: Client) -> bool:
        await client.start_workflow(
            "Retirement",
            PlanInput(plan=plan.name),
            id=names.retirement_id(plan.name),
            task_queue=names.queue(plan.name, names.Queue.CONTROL),
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal="look",
            rpc_timeout=timedelta(seconds=RPC_S),
        )
        return True

    try:
        return _run(plan, act)
    except MigratorError:
        return False


def _update(plan: Plan, name: str, argument: Approve | Order | Report, timeout_s: float = RPC_S) -> Answer:
    # Never the same twice, for an approval too: Temporal answers a known id with what it answered then, and would call
    # approved what was voided since. The workflow itself knows an approval that it has.
    update_id = f"{name}-{uuid.uuid4().hex[:12]}"

    async def act(client: Client) -> Answer:
        handle = client.get_workflow_handle(names.migration_id(plan.name))
        try:
            answer: Answer = await handle.execute_update(
                name, argument, id=update_id, result_type=Answer, rpc_timeout=timedelta(seconds=timeout_s)
            )
            return answer
        except WorkflowUpdateFailedError as error:
            raise PreconditionFailed(reason_of(error.cause)[1]) from None
        except WorkflowUpdateRPCTimeoutOrCancelledError:
            raise OutcomeUnknown(
                f"Temporal did not answer within {timeout_s:g} s; {name} may still take effect",
                hint=f"Is a worker running (migrator worker)? See migrator status; the update's id is {update_id}.",
            ) from None
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise PreconditionFailed(
                    f"no migration of plan {plan.name} is running", hint="Start it with: migrator run"
                ) from None
            raise

    return _run(plan, act, timeout_s=timeout_s + CONNECT_S)


def _run(plan: Plan, act: Callable[[Client], Awaitable[T]], timeout_s: float | None = CONNECT_S + RPC_S) -> T:
    async def whole() -> T:
        client = await connect(plan)
        return await act(client)

    async def bounded() -> T:
        async with asyncio.timeout(timeout_s):
            return await whole()

    try:
        return asyncio.run(bounded())
    except RPCError as error:
        status = error.status.name.lower() if error.status else "unknown"
        raise ClusterUnavailable(
            "temporal", f"it answered {status}", "See migrator status, which needs classic alone."
        ) from None
    except TimeoutError:
        raise ClusterUnavailable("temporal", f"no answer within {timeout_s} s") from None

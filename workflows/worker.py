"""The process that runs workflows and activities.

One Temporal worker per queue it serves. Workers hold no state: one may be killed at any time, another goes on from what
is in the databases. On SIGTERM the activities hand over at once.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from migrator import __version__
from migrator.plan.load import load
from migrator.plan.schema import Plan
from workflows import names, replay
from workflows.activities.base import Context
from workflows.activities.control import ControlActivities
from workflows.activities.cutover import CutoverActivities
from workflows.activities.decommission import DecommissionActivities
from workflows.activities.dual_write import DualWriteActivities
from workflows.activities.incident import IncidentActivities
from workflows.activities.prepare import PrepareActivities
from workflows.activities.stabilize import StabilizeActivities
from workflows.activities.validation import ValidationActivities, adjust_schedule
from workflows.audit import AuditWorkflow, ProvisionWorkflow
from workflows.backfill import BackfillWorkflow
from workflows.breaker import BreakerWorkflow, RollbackWorkflow
from workflows.connection import connect, keep_api_key
from workflows.cutover import CutoverWorkflow
from workflows.decommission import DecommissionWorkflow
from workflows.dual_write import DualWriteWorkflow
from workflows.failures import Failures
from workflows.fit import Fit, keep_known
from workflows.measuring import keep_measured
from workflows.migration import MigrationWorkflow
from workflows.notifying import keep_notified
from workflows.retirement import RetirementWorkflow
from workflows.sampling import keep_sampled
from workflows.stabilization import StabilizeWorkflow
from workflows.steps import Steps
from workflows.telemetry import telemetry
from workflows.validation import ValidationWorkflow
from workflows.wave import WaveWorkflow

CONTROL_WORKFLOWS = (
    MigrationWorkflow,
    AuditWorkflow,
    ProvisionWorkflow,
    DualWriteWorkflow,
    BackfillWorkflow,
    ValidationWorkflow,
    CutoverWorkflow,
    WaveWorkflow,
    StabilizeWorkflow,
    DecommissionWorkflow,
    RetirementWorkflow,
)
INCIDENT_WORKFLOWS = (BreakerWorkflow, RollbackWorkflow)
ALL_QUEUES: tuple[names.Queue, ...] = tuple(names.Queue)

GRACE = timedelta(seconds=20)
"""After SIGTERM activities have this long to end; they notice within a second."""

END = GRACE + timedelta(seconds=10)
"""After that the process ends without waiting for such a worker; see `served`."""

CANCEL_NOTICED = timedelta(seconds=1)
"""How often heartbeats go out, and so how soon a cancellation is noticed (the default is most of a timeout)."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Slots:
    """How much one process does at once; the connection budget of the process follows from it."""

    control: int = 20
    incident: int = 10
    mirror: int = 64
    bulk: int = 8


def workers(
    client: Client,
    plan: Plan,
    queues: Sequence[names.Queue] = ALL_QUEUES,
    slots: Slots | None = None,
    context: Context | None = None,
) -> list[Worker]:
    """Return one worker per queue, not yet started; *context*: what they share with `keep_known`."""
    context = context or Context(plan)
    slots = slots or Slots()
    workflows: dict[names.Queue, tuple[type, ...]] = {
        names.Queue.CONTROL: CONTROL_WORKFLOWS,
        names.Queue.INCIDENT: INCIDENT_WORKFLOWS,
    }
    size = {
        names.Queue.CONTROL: slots.control,
        names.Queue.INCIDENT: slots.incident,
        names.Queue.MIRROR: max(slots.mirror, plan.dual_write.parts + 1),
        names.Queue.BULK: slots.bulk,
    }
    by_queue, fit = activities(context), Fit(context)
    return [
        Worker(
            client,
            task_queue=names.queue(plan.name, queue),
            activities=by_queue[queue],
            workflows=workflows.get(queue, ()),
            interceptors=[Steps(), Failures(), fit],
            workflow_runner=runner(),
            max_concurrent_activities=size[queue],
            max_heartbeat_throttle_interval=CANCEL_NOTICED,
            default_heartbeat_throttle_interval=CANCEL_NOTICED,
            graceful_shutdown_timeout=GRACE,
        )
        for queue in queues
    ]


def activities(context: Context) -> dict[names.Queue, list[Callable[..., Any]]]:
    """Return every activity there is, by the queue that serves it."""
    control, dual_write = ControlActivities(context), DualWriteActivities(context)
    prepare, validation = PrepareActivities(context), ValidationActivities(context)
    cutover, stabilize = CutoverActivities(context), StabilizeActivities(context)
    decommission, incident = DecommissionActivities(context), IncidentActivities(context)
    return {
        names.Queue.CONTROL: [
            control.begin, control.note, control.gate, control.record_approval, control.record_incident,
            control.void_approval, control.watch,
            prepare.audit, prepare.provision, prepare.finish_limitless,
            dual_write.shape, dual_write.capture_on, dual_write.mirror_failed, dual_write.next_units,
            dual_write.retry_failed,
            validation.validate, validation.ensure_schedule, validation.remove_schedule,
            cutover.next_wave, cutover.baseline, cutover.gate, cutover.advance, cutover.soak, cutover.finish_wave,
            cutover.forward,
            stabilize.check, stabilize.go_on, stabilize.cost,
            decommission.enter, decommission.stand, decommission.prepare, decommission.close, decommission.drain,
            decommission.validate, decommission.sequences, decommission.close_positions, decommission.hand_over,
            decommission.reopen, decommission.settle, decommission.export, decommission.release,
            decommission.fingerprint, decommission.look,
        ],
        names.Queue.INCIDENT: [incident.roll_back, incident.watch_breakers],
        names.Queue.MIRROR: [dual_write.mirror],
        names.Queue.BULK: [dual_write.copy_unit],
    }  # fmt: skip


def runner() -> SandboxedWorkflowRunner:
    """Return the sandbox; our own packages pass through, since definitions call them for structure only."""
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules("migrator", "workflows", "pydantic")
    )


@asynccontextmanager
async def served(started: Sequence[Worker]) -> AsyncIterator[None]:
    """Run the workers *started*; at the end stop all of them at once and wait for `END`, no longer.

    The SDK's core may lose an activity's result when its last heartbeat is still on the way as the worker stops, and
    then waits for it without end (https://github.com/temporalio/sdk-rust/pull/1538). A process told to stop must
    end all the same: what it had not reported is tried again elsewhere, as after a kill.
    """
    entered: list[Worker] = []
    try:
        for worker in started:
            await worker.__aenter__()
            entered.append(worker)
        yield
    finally:
        error = sys.exc_info()
        endings = {asyncio.create_task(worker.__aexit__(*error)): worker.task_queue for worker in entered}
        if endings:
            _, late = await asyncio.wait(endings, timeout=END.total_seconds())
            for task in late:
                log.warning("worker.left_behind", queue=endings[task], after_s=END.total_seconds())
                task.cancel()
            for task in endings.keys() - late:
                task.result()


async def replayed(client: Client, plan: Plan) -> replay.Replayed:
    """Replay *plan*'s open workflows with the definitions of this release; raises as `replay.replay`."""
    return await replay.replay(client, plan.name, (*CONTROL_WORKFLOWS, *INCIDENT_WORKFLOWS), runner())


async def check(plan: Plan) -> replay.Replayed:
    """Return whether a worker of this release could go on with what is running; takes no work.

    Raises:
        ClusterUnavailable: Temporal cannot be reached.
    """
    return await replayed(await connect(plan), plan)


async def run_worker(
    plan: Plan | Path | str,
    queues: Sequence[names.Queue | str] = ALL_QUEUES,
    *,
    stop: asyncio.Event | None = None,
    slots: Slots | None = None,
    metrics: str | None = None,
    checked: bool = True,
) -> None:
    """Serve *plan*'s queues until SIGTERM or SIGINT, or until *stop* is set.

    Args:
        metrics: HOST:PORT to serve metrics at; the plan's when not given.
        checked: replay the open workflows first, where this worker is to run workflows.

    Raises:
        ClusterUnavailable: Temporal cannot be reached.
        NoGo: an open workflow cannot go on with this release.
        PlanInvalid, UsageError: the plan cannot be used.
    """
    loaded = plan if isinstance(plan, Plan) else load(plan)
    wanted = [names.Queue(q) for q in queues]
    stopping = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    context = Context(loaded)
    try:
        if checked and {names.Queue.CONTROL, names.Queue.INCIDENT} & set(wanted):
            # Before metrics are served: where they are, a probe finds a worker that is going to take work.
            found = await check(loaded)
            replay.require(found, __version__)
            log.info("worker.replayed", plan=loaded.name, workflows=len(found.workflows))
        with telemetry(loaded, metrics) as told:
            client = await connect(loaded, told.runtime, told.interceptors)

            async def on_plan(plan: Plan) -> None:
                if names.Queue.CONTROL in wanted:
                    await adjust_schedule(client, plan)

            async with served(workers(client, loaded, wanted, slots, context)):
                known = asyncio.create_task(keep_known(context, [q.value for q in wanted], on_plan))
                sampled = asyncio.create_task(keep_sampled(context))
                measured = asyncio.create_task(keep_measured(context))
                notified = asyncio.create_task(keep_notified(context))
                keyed = asyncio.create_task(keep_api_key(client, loaded))
                log.info("worker.started", plan=loaded.name, queues=[q.value for q in wanted])
                await stopping.wait()
                log.info("worker.stopping", plan=loaded.name)
                for beside in (known, sampled, measured, notified, keyed):
                    beside.cancel()
                await asyncio.wait({known, sampled, measured, notified, keyed})
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    log.info("worker.stopped", plan=loaded.name)

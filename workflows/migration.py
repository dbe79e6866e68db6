"""The whole migration: phases, gates, approvals.

Sequence and waiting only. What a gate thinks of the world, and what `status` shows of it, happens in activities;
this definition acts on their verdicts. It continues as new after every phase, so months fit in small histories.
Dual write, breaker monitor and validation schedule outlive those runs: they are children of their own, started
again by every run and found to be running already, and watched: one that ends is a blocker until `resume` starts it.

No failure of a step ends the migration. Whatever cannot be done becomes a blocker, and `resume` does it again; a
migration that was ended from outside is started again and enters where classic says it stands.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    FailureError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from temporalio.workflow import ActivityCancellationType

with workflow.unsafe.imports_passed_through():
    from migrator.errors import UsageError
    from migrator.model.gate import gate_of
    from migrator.model.phase import ORDER, Phase
    from workflows import background, names, policies
    from workflows.activities.control import ControlActivities
    from workflows.activities.cutover import CutoverActivities
    from workflows.activities.decommission import DecommissionActivities
    from workflows.activities.incident import IncidentActivities
    from workflows.activities.prepare import PrepareActivities
    from workflows.activities.validation import ValidationActivities
    from workflows.audit import AuditWorkflow, ProvisionWorkflow
    from workflows.cutover import CutoverWorkflow
    from workflows.decommission import DecommissionWorkflow
    from workflows.failures import blockers_of
    from workflows.messages import (
        Answer,
        Approval,
        Approve,
        CutoverInput,
        DecommissionInput,
        Forward,
        GateAnswer,
        MigrationInput,
        MigrationResult,
        MigrationStatus,
        Order,
        Pause,
        PhaseInput,
        PhaseNote,
        PlanInput,
        Report,
        RollbackInput,
        StabilizeInput,
        ValidateInput,
        WatchInput,
    )
    from workflows.stabilization import StabilizeWorkflow
    from workflows.validation import ValidationWorkflow

GATE_OF: dict[Phase, str] = {
    Phase.AUDIT: "audit",
    Phase.PROVISION: "provision",
    Phase.DUAL_WRITE: "dual_write",
    Phase.CUTOVER: "cutover",
    Phase.STABILIZE: "decommission",
}
"""The gate that has to be passed to leave a phase."""

APPROVAL_RECHECK_S = 120.0
"""While an approval is awaited the gate is asked again this often, so that status shows what became of its evidence."""


@workflow.defn(name="Migration")
class MigrationWorkflow:
    @workflow.init
    def __init__(self, inp: MigrationInput) -> None:
        self.plan = inp.plan
        self.inp = inp
        self.control = names.queue(inp.plan, names.Queue.CONTROL)
        self.done = list(inp.done)
        self.approvals = {a.gate: a for a in inp.approvals}
        self.pause_order = inp.pause
        self.phase: Phase | None = None
        self.state = "running"
        self.waiting_for = ""
        self.blockers: tuple[str, ...] = ()
        self.retries = 0
        self.looks = 0
        self.approver = ""
        self.ended: tuple[str, ...] = ()
        self.watching: asyncio.Task[None] | None = None
        self.abort_order: Order | None = None
        self.lock = asyncio.Lock()

    # -- the main line ----------------------------------------------------------------------------------------

    @workflow.run
    async def run(self, inp: MigrationInput) -> MigrationResult:
        work = asyncio.create_task(self._migrate())
        while not work.done():
            try:
                await workflow.wait_condition(lambda: work.done() or self.abort_order is not None)
            except asyncio.CancelledError:
                self.abort_order = Order(who="temporal", reason="the workflow was cancelled")
            if self.abort_order is not None and not work.done():
                await self._stop(work, self.abort_order)
        if self.watching is not None:
            self.watching.cancel()
        more = await work
        await workflow.wait_condition(workflow.all_handlers_finished)
        if more:
            workflow.continue_as_new(
                MigrationInput(
                    plan=self.plan,
                    digest=inp.digest,
                    done=tuple(self.done),
                    approvals=tuple(self.approvals.values()),
                    pause=self.pause_order,
                )
            )
        return MigrationResult(plan=self.plan, text="migrated")

    async def _migrate(self) -> bool:
        """Do the next phase; return whether there is more to do in another run."""
        if not self.done and workflow.patched("enter-2026-11"):  # before, every run began with the audit
            await self._enter()
        for phase in ORDER:
            if phase.value in self.done:
                continue
            self.phase = phase
            if not await self._pass(phase):
                return True
            self.done.append(phase.value)
            return phase is not ORDER[-1]
        return False

    async def _enter(self) -> None:
        """Ask where this migration stands: a run before this one may have been ended from outside."""
        while True:
            seen = self.retries
            try:
                entered = await workflow.execute_activity_method(
                    DecommissionActivities.enter,
                    PlanInput(plan=self.plan),
                    **policies.WATCH.on(self.control, summary="where does it stand?"),
                )
            except ActivityError as error:
                if self.abort_order is not None or is_cancelled_exception(error):
                    raise
                self._is("blocked", blockers=blockers_of(error))
                await workflow.wait_condition(lambda: self.retries > seen)  # noqa: B023  # awaited in this turn
            else:
                self.done += [phase for phase in entered.done if phase not in self.done]
                self.approver = entered.approver
                return

    async def _begin(self, phase: Phase) -> None:
        await workflow.execute_activity_method(
            ControlActivities.begin,
            PhaseInput(plan=self.plan, phase=phase.value, digest=self.inp.digest),
            **policies.QUICK.on(self.control),
        )
        if self._is_mirrored(phase):
            await background.start(self.plan, paused=self.pause_order is not None)
            await workflow.execute_activity_method(
                ValidationActivities.ensure_schedule, PlanInput(plan=self.plan), **policies.QUICK.on(self.control)
            )
            if self.watching is None and workflow.patched("watch-2026-11"):
                self.watching = asyncio.create_task(self._watch())

    @staticmethod
    def _is_mirrored(phase: Phase | None) -> bool:
        """Whether what runs beside the phases is this workflow's to start: the end starts and stops it itself."""
        return phase in (Phase.DUAL_WRITE, Phase.CUTOVER, Phase.STABILIZE)

    async def _watch(self) -> None:
        """Notice when something beside the phases ends; have status say so, and start it again at `resume`."""
        while True:
            seen = self.retries
            # Nobody waits for the old attempt to let go: it only looks.
            config = policies.ENDLESS.on(self.control, summary="do the mirrors and the breaker monitor run?")
            config["cancellation_type"] = ActivityCancellationType.TRY_CANCEL
            try:
                found = await workflow.execute_activity_method(
                    ControlActivities.watch, WatchInput(plan=self.plan, workflows=background.WATCHED), **config
                )
                self.ended = found.lines
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise asyncio.CancelledError from error
                self.ended = blockers_of(error)
            # Status has the reason from classic; a note of the phase would hide what the phase itself waits for.
            await workflow.wait_condition(lambda: self.retries > seen)  # noqa: B023  # awaited in this turn
            await background.start(self.plan, paused=self.pause_order is not None)
            self.ended = ()

    async def _pass(self, phase: Phase) -> bool:
        """Do *phase* until its gate lets it go; False when the history is long enough for another run."""
        work, begun = True, False
        while True:
            if begun:
                await workflow.wait_condition(lambda: self.pause_order is None)
            seen, looks = self.retries, self.looks
            self._is("running")
            if not begun:
                trouble = await self._tried(self._begin(phase))
                if trouble:
                    await self._blocked(phase, trouble, seen, None)
                    continue
                begun = True
                continue
            if work:
                trouble = await self._work(phase)
                if trouble:
                    await self._blocked(phase, trouble, seen, None)
                    continue
                work = False
            gate = GATE_OF.get(phase)
            if gate is None:
                return True
            approval = self.approvals.get(gate)
            answer = await self._ask(phase, approval)
            if answer.go and (not answer.needs_approval or approval is not None):
                return True
            if answer.go:
                await self._await_approval(gate, seen, looks)
            elif answer.again:
                # What was approved is not what is true any more: days without incident that have to begin again.
                await self._void(gate)
                work = True
            elif answer.validate_now:
                await self._validate(phase)
            elif answer.late_tenants:
                await self._late_tenants()
            else:
                await self._blocked(phase, answer.blockers, seen, answer.recheck_s, noted=True)
                # Audit and provision look again at the cluster when a person says that something was mended.
                work = self.retries > seen and phase in (Phase.AUDIT, Phase.PROVISION)
            if workflow.info().is_continue_as_new_suggested():
                return False

    async def _tried(self, step: Coroutine[Any, Any, None]) -> tuple[str, ...]:
        """Run *step*; return why it could not be done, nothing when it was."""
        try:
            await step
        except ActivityError as error:
            if self.abort_order is not None or is_cancelled_exception(error):
                raise
            return blockers_of(error)
        return ()

    async def _ask(self, phase: Phase, approval: Approval | None) -> GateAnswer:
        try:
            return await workflow.execute_activity_method(
                ControlActivities.gate,
                PhaseInput(plan=self.plan, phase=phase.value, approver=approval.approver if approval else ""),
                **policies.WATCH.on(self.control, summary=f"gate of {phase.value}"),
            )
        except ActivityError as error:
            if self.abort_order is not None or is_cancelled_exception(error):
                raise
            return GateAnswer(blockers=blockers_of(error))  # a gate that cannot be asked is shut

    async def _work(self, phase: Phase) -> tuple[str, ...]:
        """Do what *phase* is about; return what stands in its way, nothing when it is done."""
        plan, paused = self.plan, self.pause_order is not None
        try:
            match phase:
                case Phase.AUDIT:
                    await self._child(AuditWorkflow.run, PlanInput(plan=plan), names.audit_id(plan))
                case Phase.PROVISION:
                    await self._child(ProvisionWorkflow.run, PlanInput(plan=plan), names.provision_id(plan))
                case Phase.DUAL_WRITE:
                    pass  # runs in the background; its gate watches it
                case Phase.CUTOVER:
                    if workflow.patched("finish-limitless-2026-11"):  # migrations begun before built them at the end
                        await workflow.execute_activity_method(
                            PrepareActivities.finish_limitless,
                            PlanInput(plan=plan),
                            **policies.WORK.on(self.control, summary="indexes and foreign keys on Limitless"),
                        )
                    await self._child(
                        CutoverWorkflow.run, CutoverInput(plan=plan, paused=paused), names.cutover_id(plan)
                    )
                case Phase.STABILIZE:
                    await self._child(
                        StabilizeWorkflow.run, StabilizeInput(plan=plan, paused=paused), names.stabilize_id(plan)
                    )
                case Phase.DECOMMISSION:
                    given = self.approvals.get("decommission")
                    approver = given.approver if given is not None else self.approver
                    result = await workflow.execute_child_workflow(
                        DecommissionWorkflow.run,
                        DecommissionInput(plan=plan, approver=approver),
                        id=names.decommission_id(plan),
                        task_queue=self.control,
                    )
                    return () if result.done else result.blockers
        except ChildWorkflowError as error:
            if self.abort_order is not None:
                raise
            return blockers_of(error)
        except ActivityError as error:
            if self.abort_order is not None or is_cancelled_exception(error):
                raise
            return blockers_of(error)
        except WorkflowAlreadyStartedError:
            return (f"an earlier run of {phase.value} has not ended yet",)
        return ()

    async def _child(self, run: object, arg: object, workflow_id: str) -> Any:
        return await workflow.execute_child_workflow(
            run,  # type: ignore[arg-type]  # one helper for children of several types
            arg,
            id=workflow_id,
            task_queue=self.control,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )

    async def _validate(self, phase: Phase) -> None:
        try:
            await self._child(
                ValidationWorkflow.run,
                ValidateInput(plan=self.plan, kind="gate"),
                f"{names.validate_id(self.plan)}/gate-{phase.value}",
            )
        except (ChildWorkflowError, WorkflowAlreadyStartedError):
            if self.abort_order is not None:
                raise
            # It could not run; the gate goes on saying that nothing is validated. Do not hammer a sick cluster.
            await workflow.sleep(timedelta(seconds=5))

    async def _late_tenants(self) -> None:
        """Cut over who signed up after the last wave; come back after a while when that could not be done."""
        moved = True
        try:
            result = await self._child(
                CutoverWorkflow.run, CutoverInput(plan=self.plan, late=True), names.cutover_id(self.plan)
            )
            if workflow.patched("late-2026-11"):  # runs begun before asked again at once, for as long as waves are held
                moved = result.waves > 0
        except (ChildWorkflowError, WorkflowAlreadyStartedError):  # the window's own late wave may still soak
            if self.abort_order is not None:
                raise
            moved = False
        if not moved:
            await workflow.sleep(timedelta(seconds=5))

    async def _await_approval(self, gate: str, seen: int, looks: int) -> None:
        """Wait until the gate is to be asked again; *seen* and *looks* are from before it was asked.

        What came in between would be missed: an incident reported while the answer travels and is noted.
        """
        self._is("waiting", waiting_for=gate)
        await self._note(
            "waiting", f"waiting for an approval of {gate}", next_step=f"migrator approve {gate} --as NAME"
        )
        if not workflow.patched("looks-2026-11"):  # as runs did that were begun before
            looks = self.looks
        with contextlib.suppress(TimeoutError):  # the gate is asked again: what waits to be approved may have changed
            await workflow.wait_condition(
                lambda: gate in self.approvals or self.retries > seen or self.looks > looks,
                timeout=timedelta(seconds=APPROVAL_RECHECK_S),
            )

    async def _void(self, gate: str) -> None:
        approval = self.approvals.pop(gate, None)  # first, so that it counts no more whatever follows
        if approval is not None:
            await self._tried(
                workflow.execute_activity_method(
                    ControlActivities.void_approval, approval, **policies.QUICK.on(self.control)
                )
            )

    async def _blocked(
        self, phase: Phase, blockers: tuple[str, ...], seen: int, recheck_s: float | None, noted: bool = False
    ) -> None:
        self._is("blocked", blockers=blockers)
        if not noted:
            await self._note(
                "blocked",
                f"{phase.value} cannot go on",
                blockers=blockers,
                next_step="mend it, then: migrator resume",
            )
        timeout = timedelta(seconds=recheck_s) if recheck_s is not None else None
        with contextlib.suppress(TimeoutError):  # look again
            await workflow.wait_condition(lambda: self.retries > seen, timeout=timeout)

    def _is(self, state: str, *, waiting_for: str = "", blockers: tuple[str, ...] = ()) -> None:
        self.state, self.waiting_for, self.blockers = state, waiting_for, blockers
        phase = self.phase.value if self.phase else ""
        workflow.set_current_details("\n".join([f"**{phase}**: {state} {waiting_for}", *(f"- {b}" for b in blockers)]))

    async def _note(self, state: str, detail: str, blockers: tuple[str, ...] = (), next_step: str = "") -> None:
        """Have status say so. One that cannot be written stops nothing: the status query knows it too."""
        if self.phase is None:
            return
        last = self.phase is Phase.DECOMMISSION  # classic may be gone for good
        with contextlib.suppress(ActivityError):
            await workflow.execute_activity_method(
                ControlActivities.note,
                PhaseNote(
                    plan=self.plan,
                    phase=self.phase.value,
                    state=state,
                    detail=detail,
                    blockers=blockers,
                    next_step=next_step,
                ),
                **(policies.LAST_NOTE if last else policies.QUICK).on(self.control),
            )

    async def _stop(self, work: asyncio.Task[bool], order: Order) -> None:
        """Abort: reads go back to classic first, then what runs is cancelled; capture and copies stay as they are.

        When reads cannot go back nothing is stopped, and the abort has to be ordered again.
        """
        before = (self.state, self.waiting_for, self.blockers)
        self._is("aborted")
        mirrored = self.phase is not None and ORDER.index(self.phase) >= ORDER.index(Phase.DUAL_WRITE)
        if mirrored:
            try:
                await workflow.execute_activity_method(
                    IncidentActivities.roll_back,
                    RollbackInput(plan=self.plan, all=True, who=order.who, reason=f"aborted: {order.reason}"),
                    **policies.INCIDENT.on(names.queue(self.plan, names.Queue.INCIDENT)),
                )
            except ActivityError as error:
                self.abort_order = None
                self._is(before[0], waiting_for=before[1], blockers=before[2])
                await self._note(
                    "blocked",
                    "the abort did not happen: reads could not be put back on classic",
                    blockers=blockers_of(error),
                    next_step="migrator rollback --all, then abort again",
                )
                return
        if self.watching is not None:
            self.watching.cancel()  # what ends now ends because it is told to
        while not work.done():
            # Again and again: a cancellation is lost when what was awaited ends well at that moment.
            work.cancel()
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(work.done, timeout=timedelta(seconds=1))
        with contextlib.suppress(asyncio.CancelledError, ActivityError, ChildWorkflowError):
            await work  # that is what was asked for
        left = ""
        if mirrored:
            await self._tell_background("finish")
            try:
                await workflow.execute_activity_method(
                    ValidationActivities.remove_schedule, PlanInput(plan=self.plan), **policies.QUICK.on(self.control)
                )
            except ActivityError as error:
                left = f"; the schedule of validation is still there: {blockers_of(error)[0]}"
        await self._note(
            "failed",
            f"aborted by {order.who}: {order.reason}{left}",
            next_step="migrator run starts again; migrator undo dual-write takes capture off",
        )
        await workflow.wait_condition(workflow.all_handlers_finished)
        raise ApplicationError(f"aborted by {order.who}: {order.reason}", type="Aborted", non_retryable=True)

    async def _tell_background(self, signal: str) -> None:
        for workflow_id in (names.dual_write_id(self.plan), names.breaker_id(self.plan)):
            await self._tell(workflow_id, signal)

    async def _tell(self, workflow_id: str, signal: str, arg: object | None = None) -> None:
        handle = workflow.get_external_workflow_handle(workflow_id)
        with contextlib.suppress(FailureError):  # not running: nobody to tell
            await (handle.signal(signal) if arg is None else handle.signal(signal, arg))

    # -- messages ---------------------------------------------------------------------------------------------

    @workflow.update
    async def approve(self, request: Approve) -> Answer:
        async with self.lock:
            old = self.approvals.get(request.gate)
            if old is not None:
                if old.approver != request.approver:
                    raise ApplicationError(f"{request.gate} was approved by {old.approver}", type="AlreadyApproved")
                return Answer(text=f"{request.gate} is approved by {old.approver}", changed=False)
            approval = Approval(gate=request.gate, approver=request.approver, at=workflow.now().isoformat())
            await workflow.execute_activity_method(
                ControlActivities.record_approval, approval, **policies.QUICK.on(self.control)
            )
            self.approvals[request.gate] = approval
        if request.gate.startswith("wave-"):
            await self._tell(names.cutover_id(self.plan), "look")
        return Answer(text=f"{request.gate} approved by {request.approver}")

    @approve.validator
    def _may_approve(self, request: Approve) -> None:
        if not request.approver.strip():
            raise ApplicationError("an approval needs a name", type="UsageError")
        old = self.approvals.get(request.gate)
        if old is not None:
            if old.approver != request.approver:
                raise ApplicationError(f"{request.gate} was approved by {old.approver}", type="AlreadyApproved")
            return
        if request.gate.startswith("wave-") and request.gate[5:].isdigit():
            if self.phase is not Phase.CUTOVER:
                raise ApplicationError("no wave waits for an approval", type="NotWaiting")
            return
        try:
            gate_of(request.gate)
        except UsageError as error:
            raise ApplicationError(str(error), type="UsageError") from None
        if self.waiting_for != request.gate:
            now = f"it is in phase {self.phase.value}, {self.state}" if self.phase else "it has just begun"
            # Approving ahead would approve evidence that does not exist yet.
            raise ApplicationError(f"{request.gate} does not wait for an approval: {now}", type="NotWaiting")

    @workflow.update
    async def pause(self, order: Order) -> Answer:
        changed = self.pause_order is None
        self.pause_order = Pause(paused=True, who=order.who, reason=order.reason)
        await self._tell_pause(self.pause_order)
        if changed and self.phase is not None:
            await self._note("waiting", f"paused by {order.who}: {order.reason}", next_step="migrator resume")
        return Answer(text=f"paused by {order.who}" if changed else "it was paused already", changed=changed)

    @workflow.update
    async def resume(self, order: Order) -> Answer:
        """Go on after a pause, and look again at whatever blocks."""
        return await self._go_on(order)

    async def _go_on(self, order: Order) -> Answer:
        changed = self.pause_order is not None
        self.pause_order = None
        self.retries += 1
        await self._tell_pause(Pause(paused=False, who=order.who, reason=order.reason))
        for workflow_id in (names.backfill_id(self.plan), names.dual_write_id(self.plan)):
            await self._tell(workflow_id, "retry")
        await self._tell(names.cutover_id(self.plan), "look")
        await self._tell(names.stabilize_id(self.plan), "continue_window")
        if changed and self.phase is not None:
            await self._note("running", f"resumed by {order.who}")
        return Answer(text="resumed" if changed else "looking again", changed=changed)

    @workflow.update
    async def retry(self, order: Order) -> Answer:
        return await self._go_on(order)

    @workflow.update
    async def abort(self, order: Order) -> Answer:
        self.abort_order = order
        return Answer(text="aborting: reads go back to classic, then everything stops")

    @abort.validator
    def _may_abort(self, order: Order) -> None:
        if self.phase is Phase.DECOMMISSION:
            raise ApplicationError(
                "the hand-over is running; it reopens writes by itself when it cannot be finished", type="TooLate"
            )
        if not order.reason.strip():
            raise ApplicationError("an abort needs a reason", type="UsageError")

    @workflow.update
    async def cut_over(self, order: Order) -> Answer:
        """Go forward again after a rollback."""
        outcome = await workflow.execute_activity_method(
            CutoverActivities.forward,
            Forward(plan=self.plan, who=order.who, reason=order.reason),
            **policies.WATCH.on(self.control),
        )
        if not outcome.blockers:
            await self._tell(names.cutover_id(self.plan), "look")
            await self._tell(names.stabilize_id(self.plan), "look")
        return Answer(text="; ".join((outcome.text, *outcome.blockers)), changed=not outcome.blockers)

    @cut_over.validator
    def _may_cut_over(self, order: Order) -> None:
        if self.phase not in (Phase.CUTOVER, Phase.STABILIZE):
            now = self.phase.value if self.phase else "beginning"
            raise ApplicationError(
                f"there is nothing to cut over in phase {now}; the cutover begins by itself when dual_write is left",
                type="NotWaiting",
            )

    @workflow.update
    async def report_incident(self, report: Report) -> Answer:
        await workflow.execute_activity_method(
            ControlActivities.record_incident, report, **policies.QUICK.on(self.control)
        )
        self.looks += 1
        await self._tell(names.stabilize_id(self.plan), "look")
        return Answer(text="incident recorded")

    @report_incident.validator
    def _may_report(self, report: Report) -> None:
        if not report.reason.strip() or not report.reported_by.strip():
            raise ApplicationError("an incident needs a reason and a name", type="UsageError")

    async def _tell_pause(self, order: Pause) -> None:
        for workflow_id in (names.dual_write_id(self.plan), names.backfill_id(self.plan), names.cutover_id(self.plan)):
            await self._tell(workflow_id, "set_paused", order)

    @workflow.query
    def status(self) -> MigrationStatus:
        return MigrationStatus(
            plan=self.plan,
            phase=self.phase.value if self.phase else "",
            state=self._shown_state(),
            done=tuple(self.done),
            waiting_for=self.waiting_for,
            blockers=(*self.ended, *self.blockers),
            approvals=tuple(self.approvals.values()),
        )

    def _shown_state(self) -> str:
        if self.state != "running":
            return self.state
        if self.ended:
            return "blocked"
        return "paused" if self.pause_order else "running"

"""Runs one phase of a migration until its gate passes.

Failed steps and the gate's objections become blockers; `resume` tries again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ChildWorkflowError, WorkflowAlreadyStartedError, is_cancelled_exception
from temporalio.workflow import ActivityCancellationType

with workflow.unsafe.imports_passed_through():
    from migrator.model.phase import Phase
    from workflows import background, names, policies
    from workflows.activities.control import ControlActivities
    from workflows.activities.decommission import DecommissionActivities
    from workflows.activities.prepare import PrepareActivities
    from workflows.activities.validation import ValidationActivities
    from workflows.audit import AuditWorkflow, ProvisionWorkflow
    from workflows.cutover import CutoverWorkflow
    from workflows.decommission import DecommissionWorkflow
    from workflows.failures import blockers_of
    from workflows.messages import (
        Approval,
        CutoverInput,
        DecommissionInput,
        GateAnswer,
        PhaseInput,
        PlanInput,
        StabilizeInput,
        ValidateInput,
        WatchInput,
    )
    from workflows.migration_state import Migration
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
"""While an approval is awaited the gate is asked again this often, so that status shows the present evidence."""


async def enter(m: Migration) -> None:
    """Ask where this migration stands: a run before this one may have been ended from outside."""
    while True:
        seen = m.retries
        try:
            entered = await workflow.execute_activity_method(
                DecommissionActivities.enter,
                PlanInput(plan=m.plan),
                **policies.WATCH.on(m.control, summary="where to enter"),
            )
        except ActivityError as error:
            if m.abort_order is not None or is_cancelled_exception(error):
                raise
            m.show("blocked", blockers=blockers_of(error))
            await m.go_ahead(seen)
        else:
            m.done += [phase for phase in entered.done if phase not in m.done]
            m.approver = entered.approver
            return


async def pass_phase(m: Migration, phase: Phase) -> bool:
    """Do *phase* until its gate passes; False when the history is long enough for another run."""
    work, begun = True, False
    while True:
        if begun:
            await workflow.wait_condition(lambda: m.pause_order is None)
        seen, looks = m.retries, m.looks
        m.show("running")
        if not begun:
            trouble = await tried(m, begin(m, phase))
            if trouble:
                await blocked(m, phase, trouble, seen, None)
                continue
            begun = True
            continue
        if work:
            trouble = await carry_out(m, phase)
            if trouble:
                await blocked(m, phase, trouble, seen, None)
                continue
            work = False
        gate = GATE_OF.get(phase)
        if gate is None:
            return True
        approval = m.approvals.get(gate)
        answer = await ask_gate(m, phase, approval)
        if answer.go and answer.approval_void:  # expired, or of other evidence: the activity has voided it on classic
            m.approvals.pop(gate, None)
            approval = None
        if answer.go and (not answer.needs_approval or approval is not None):
            return True
        if answer.go:
            await await_approval(m, gate, seen, looks)
        elif answer.again:
            # The approved evidence is no longer true: days without incident have to begin again.
            await void_approval(m, gate)
            work = True
        elif answer.validate_now:
            await validate_now(m, phase)
        elif answer.late_tenants:
            await cut_over_late_tenants(m)
        else:
            await blocked(m, phase, answer.blockers, seen, answer.recheck_s, noted=True)
            # Audit and provision read the cluster again when a person resumes after a correction.
            work = m.retries > seen and phase in (Phase.AUDIT, Phase.PROVISION)
        if workflow.info().is_continue_as_new_suggested():
            return False


async def begin(m: Migration, phase: Phase) -> None:
    await workflow.execute_activity_method(
        ControlActivities.begin,
        PhaseInput(plan=m.plan, phase=phase.value, digest=m.digest),
        **policies.QUICK.on(m.control),
    )
    if is_mirrored(phase):
        await background.start(m.plan, paused=m.pause_order is not None)
        await workflow.execute_activity_method(
            ValidationActivities.ensure_schedule, PlanInput(plan=m.plan), **policies.QUICK.on(m.control)
        )
        if m.watching is None and workflow.patched("watch-2026-11"):
            m.watching = asyncio.create_task(watch(m))


def is_mirrored(phase: Phase | None) -> bool:
    """Whether this workflow starts what runs beside the phases: the decommission starts and stops it itself."""
    return phase in (Phase.DUAL_WRITE, Phase.CUTOVER, Phase.STABILIZE)


async def watch(m: Migration) -> None:
    """Notice when something beside the phases ends; have status say so, and start it again at `resume`."""
    while True:
        seen = m.retries
        # The old attempt only reads, so there is no need to wait for its end.
        config = policies.ENDLESS.on(m.control, summary="do the mirrors and the breaker monitor run?")
        config["cancellation_type"] = ActivityCancellationType.TRY_CANCEL
        try:
            found = await workflow.execute_activity_method(
                ControlActivities.watch, WatchInput(plan=m.plan, workflows=background.WATCHED), **config
            )
            m.ended = found.lines
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error
            m.ended = blockers_of(error)
        # Status has the reason from classic; a note of the phase would hide what the phase itself waits for.
        await m.go_ahead(seen)
        await background.start(m.plan, paused=m.pause_order is not None)
        m.ended = ()


async def tried(m: Migration, step: Coroutine[Any, Any, None]) -> tuple[str, ...]:
    """Run *step*; return the blockers, none when it was done."""
    try:
        await step
    except ActivityError as error:
        if m.abort_order is not None or is_cancelled_exception(error):
            raise
        return blockers_of(error)
    return ()


async def ask_gate(m: Migration, phase: Phase, approval: Approval | None) -> GateAnswer:
    try:
        return await workflow.execute_activity_method(
            ControlActivities.gate,
            PhaseInput(plan=m.plan, phase=phase.value, approver=approval.approver if approval else ""),
            **policies.WATCH.on(m.control, summary=f"gate of {phase.value}"),
        )
    except ActivityError as error:
        if m.abort_order is not None or is_cancelled_exception(error):
            raise
        return GateAnswer(blockers=blockers_of(error))  # a gate that cannot be asked blocks


async def carry_out(m: Migration, phase: Phase) -> tuple[str, ...]:
    """Do the work of *phase*; return the blockers, none when it is done."""
    plan, paused = m.plan, m.pause_order is not None
    try:
        match phase:
            case Phase.AUDIT:
                await child(m, AuditWorkflow.run, PlanInput(plan=plan), names.audit_id(plan))
            case Phase.PROVISION:
                await child(m, ProvisionWorkflow.run, PlanInput(plan=plan), names.provision_id(plan))
            case Phase.DUAL_WRITE:
                pass  # runs in the background; its gate watches it
            case Phase.CUTOVER:
                if workflow.patched("finish-limitless-2026-11"):  # migrations begun before built them at the end
                    await workflow.execute_activity_method(
                        PrepareActivities.finish_limitless,
                        PlanInput(plan=plan),
                        **policies.WORK.on(m.control, summary="indexes and foreign keys on Limitless"),
                    )
                await child(m, CutoverWorkflow.run, CutoverInput(plan=plan, paused=paused), names.cutover_id(plan))
            case Phase.STABILIZE:
                await child(
                    m, StabilizeWorkflow.run, StabilizeInput(plan=plan, paused=paused), names.stabilize_id(plan)
                )
            case Phase.DECOMMISSION:
                given = m.approvals.get("decommission")
                approver = given.approver if given is not None else m.approver
                result = await workflow.execute_child_workflow(
                    DecommissionWorkflow.run,
                    DecommissionInput(plan=plan, approver=approver),
                    id=names.decommission_id(plan),
                    task_queue=m.control,
                )
                return () if result.done else result.blockers
    except ChildWorkflowError as error:
        if m.abort_order is not None:
            raise
        return blockers_of(error)
    except ActivityError as error:
        if m.abort_order is not None or is_cancelled_exception(error):
            raise
        return blockers_of(error)
    except WorkflowAlreadyStartedError:
        return (f"an earlier run of {phase.value} has not ended yet",)
    return ()


async def child(m: Migration, run: Any, arg: object, workflow_id: str) -> Any:
    return await workflow.execute_child_workflow(
        run,
        arg,
        id=workflow_id,
        task_queue=m.control,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )


async def validate_now(m: Migration, phase: Phase) -> None:
    try:
        await child(
            m,
            ValidationWorkflow.run,
            ValidateInput(plan=m.plan, kind="gate"),
            f"{names.validate_id(m.plan)}/gate-{phase.value}",
        )
    except (ChildWorkflowError, WorkflowAlreadyStartedError):
        if m.abort_order is not None:
            raise
        # It could not run, and the gate still blocks. Wait, so as not to load an unhealthy cluster.
        await workflow.sleep(timedelta(seconds=5))


async def cut_over_late_tenants(m: Migration) -> None:
    """Cut over late sign-ups; return after a while when that could not be done."""
    moved = True
    try:
        result = await child(m, CutoverWorkflow.run, CutoverInput(plan=m.plan, late=True), names.cutover_id(m.plan))
        if workflow.patched("late-2026-11"):  # runs begun before asked again at once while the cutover was stopped
            moved = result.waves > 0
    except (ChildWorkflowError, WorkflowAlreadyStartedError):  # the window's own late wave may still soak
        if m.abort_order is not None:
            raise
        moved = False
    if not moved:
        await workflow.sleep(timedelta(seconds=5))


async def await_approval(m: Migration, gate: str, seen: int, looks: int) -> None:
    """Wait until the gate is to be asked again; *seen* and *looks* are from before it was asked.

    What came in between would be missed otherwise: an incident reported while the answer travels and is noted.
    """
    m.show("waiting", waiting_for=gate)
    await m.note("waiting", f"waiting for an approval of {gate}", next_step=f"migrator approve {gate} --as NAME")
    if not workflow.patched("looks-2026-11"):  # as runs did that were begun before
        looks = m.looks
    with contextlib.suppress(TimeoutError):  # the gate is asked again: what waits to be approved may have changed
        await workflow.wait_condition(
            lambda: gate in m.approvals or m.retries > seen or m.looks > looks,
            timeout=timedelta(seconds=APPROVAL_RECHECK_S),
        )


async def void_approval(m: Migration, gate: str) -> None:
    approval = m.approvals.pop(gate, None)  # first, so that it counts no more whatever follows
    if approval is not None:
        await tried(
            m,
            workflow.execute_activity_method(ControlActivities.void_approval, approval, **policies.QUICK.on(m.control)),
        )


async def blocked(
    m: Migration, phase: Phase, blockers: tuple[str, ...], seen: int, recheck_s: float | None, noted: bool = False
) -> None:
    m.show("blocked", blockers=blockers)
    if not noted:
        await m.note(
            "blocked",
            f"{phase.value} cannot go on",
            blockers=blockers,
            next_step="correct the cause, then: migrator resume",
        )
    timeout = timedelta(seconds=recheck_s) if recheck_s is not None else None
    await m.go_ahead(seen, timeout)

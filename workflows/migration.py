"""The workflow of the whole migration: phases, gates, approvals.

Sequence and waiting only. Gates are asked, and `status` is written, in activities; this definition acts on their
verdicts. It continues as new after every phase, so months fit in small histories.
Dual write, breaker monitor and validation schedule outlive those runs: they are children of their own, started
again by every run and found to be running already, and watched: one that ends is a blocker until `resume` starts it.

No failure of a step ends the migration. Whatever cannot be done becomes a blocker, and `resume` does it again; a
migration that was ended from outside is started again and enters where classic says it stands.
"""

from __future__ import annotations

import asyncio

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from migrator.model.phase import ORDER
    from workflows import migration_orders as orders
    from workflows import names, policies
    from workflows.activities.control import ControlActivities
    from workflows.activities.cutover import CutoverActivities
    from workflows.messages import (
        Answer,
        Approval,
        Approve,
        Forward,
        MigrationInput,
        MigrationResult,
        MigrationStatus,
        Order,
        Pause,
        Report,
    )
    from workflows.migration_abort import abort
    from workflows.migration_phase import enter, pass_phase
    from workflows.migration_state import Migration


@workflow.defn(name="Migration")
class MigrationWorkflow:
    @workflow.init
    def __init__(self, inp: MigrationInput) -> None:
        self.m = Migration(inp)
        self.lock = asyncio.Lock()

    @workflow.run
    async def run(self, inp: MigrationInput) -> MigrationResult:
        work = asyncio.create_task(self._migrate())
        while not work.done():
            try:
                await workflow.wait_condition(lambda: work.done() or self.m.abort_order is not None)
            except asyncio.CancelledError:
                self.m.abort_order = Order(who="temporal", reason="the workflow was cancelled")
            if self.m.abort_order is not None and not work.done():
                await abort(self.m, work, self.m.abort_order)
        if self.m.watching is not None:
            self.m.watching.cancel()
        more = await work
        await workflow.wait_condition(workflow.all_handlers_finished)
        if more:
            workflow.continue_as_new(self.m.next_run())
        return MigrationResult(plan=self.m.plan, text="migrated")

    async def _migrate(self) -> bool:
        """Do the next phase; return whether there is more to do in another run."""
        if not self.m.done and workflow.patched("enter-2026-11"):  # before, every run began with the audit
            await enter(self.m)
        for phase in ORDER:
            if phase.value in self.m.done:
                continue
            self.m.phase = phase
            if not await pass_phase(self.m, phase):
                return True
            self.m.done.append(phase.value)
            return phase is not ORDER[-1]
        return False

    # -- orders -----------------------------------------------------------------------------------------------

    @workflow.update
    async def approve(self, request: Approve) -> Answer:
        async with self.lock:
            old = self.m.approvals.get(request.gate)
            if old is not None and not orders.is_renewal(request):
                if old.approver != request.approver:
                    raise ApplicationError(f"{request.gate} was approved by {old.approver}", type="AlreadyApproved")
                return Answer(text=f"{request.gate} is approved by {old.approver}", changed=False)
            approval = Approval(gate=request.gate, approver=request.approver, at=workflow.now().isoformat())
            await workflow.execute_activity_method(
                ControlActivities.record_approval, approval, **policies.QUICK.on(self.m.control)
            )
            self.m.approvals[request.gate] = approval
        if request.gate.startswith("wave-"):
            await self.m.send(names.cutover_id(self.m.plan), "look")
        return Answer(text=f"{request.gate} approved by {request.approver}")

    @approve.validator
    def _may_approve(self, request: Approve) -> None:
        orders.may_approve(self.m, request)

    @workflow.update
    async def pause(self, order: Order) -> Answer:
        changed = self.m.pause_order is None
        self.m.pause_order = Pause(paused=True, who=order.who, reason=order.reason)
        await self.m.send_pause(self.m.pause_order)
        if changed and self.m.phase is not None:
            await self.m.note("waiting", f"paused by {order.who}: {order.reason}", next_step="migrator resume")
        return Answer(text=f"paused by {order.who}" if changed else "it was paused already", changed=changed)

    @workflow.update
    async def resume(self, order: Order) -> Answer:
        """Go on after a pause, and recheck what blocked."""
        return await self._go_on(order)

    async def _go_on(self, order: Order) -> Answer:
        changed = self.m.pause_order is not None
        self.m.pause_order = None
        self.m.retries += 1
        await self.m.send_pause(Pause(paused=False, who=order.who, reason=order.reason))
        for workflow_id in (names.backfill_id(self.m.plan), names.dual_write_id(self.m.plan)):
            await self.m.send(workflow_id, "retry")
        await self.m.send(names.cutover_id(self.m.plan), "look")
        await self.m.send(names.stabilize_id(self.m.plan), "continue_window")
        if changed and self.m.phase is not None:
            await self.m.note("running", f"resumed by {order.who}")
        return Answer(text="resumed" if changed else "rechecking", changed=changed)

    @workflow.update
    async def retry(self, order: Order) -> Answer:
        return await self._go_on(order)

    @workflow.update
    async def abort(self, order: Order) -> Answer:
        self.m.abort_order = order
        return Answer(text="aborting: reads go back to classic, then everything stops")

    @abort.validator
    def _may_abort(self, order: Order) -> None:
        orders.may_abort(self.m, order)

    @workflow.update
    async def cut_over(self, order: Order) -> Answer:
        """Go forward again after a rollback."""
        outcome = await workflow.execute_activity_method(
            CutoverActivities.forward,
            Forward(plan=self.m.plan, who=order.who, reason=order.reason),
            **policies.WATCH.on(self.m.control),
        )
        if not outcome.blockers:
            await self.m.send(names.cutover_id(self.m.plan), "look")
            await self.m.send(names.stabilize_id(self.m.plan), "look")
        return Answer(text="; ".join((outcome.text, *outcome.blockers)), changed=not outcome.blockers)

    @cut_over.validator
    def _may_cut_over(self, order: Order) -> None:
        orders.may_cut_over(self.m)

    @workflow.update
    async def report_incident(self, report: Report) -> Answer:
        await workflow.execute_activity_method(
            ControlActivities.record_incident, report, **policies.QUICK.on(self.m.control)
        )
        self.m.looks += 1
        await self.m.send(names.stabilize_id(self.m.plan), "look")
        return Answer(text="incident recorded")

    @report_incident.validator
    def _may_report(self, report: Report) -> None:
        orders.may_report(report)

    @workflow.query
    def status(self) -> MigrationStatus:
        return self.m.status()

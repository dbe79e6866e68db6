"""The state of a running migration, and how it is shown: phase, blockers, approvals, orders."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError

with workflow.unsafe.imports_passed_through():
    from migrator.model.phase import Phase
    from workflows import names, policies
    from workflows.activities.control import ControlActivities
    from workflows.messages import MigrationInput, MigrationStatus, Order, Pause, PhaseNote


class Migration:
    """One migration, for the run of the workflow that holds it.

    Attributes:
        done: phases that were left, in order.
        approvals: by gate.
        retries: how often an operator resumed it; what is blocked tries again.
        looks: how often something was reported that a gate has to take into account before it is approved.
        ended: blockers of what runs beside the phases and has ended.
        abort_order: set once an abort was ordered; from then on failures of steps are expected.
    """

    def __init__(self, inp: MigrationInput) -> None:
        self.plan = inp.plan
        self.digest = inp.digest
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

    async def go_ahead(self, seen: int, timeout: timedelta | None = None) -> None:
        """Wait until an operator has resumed it more than *seen* times; no longer than *timeout*."""
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: self.retries > seen, timeout=timeout)

    def next_run(self) -> MigrationInput:
        """Return what the run that continues this one begins with."""
        return MigrationInput(
            plan=self.plan,
            digest=self.digest,
            done=tuple(self.done),
            approvals=tuple(self.approvals.values()),
            pause=self.pause_order,
        )

    def show(self, state: str, *, waiting_for: str = "", blockers: tuple[str, ...] = ()) -> None:
        self.state, self.waiting_for, self.blockers = state, waiting_for, blockers
        phase = self.phase.value if self.phase else ""
        workflow.set_current_details("\n".join([f"**{phase}**: {state} {waiting_for}", *(f"- {b}" for b in blockers)]))

    async def note(self, state: str, detail: str, blockers: tuple[str, ...] = (), next_step: str = "") -> None:
        """Write it for status. A failed write stops nothing: the status query has it too."""
        if self.phase is None:
            return
        last = self.phase is Phase.DECOMMISSION  # classic may be deleted
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

    async def send(self, workflow_id: str, signal: str, arg: object | None = None) -> None:
        handle = workflow.get_external_workflow_handle(workflow_id)
        with contextlib.suppress(FailureError):  # not running
            await (handle.signal(signal) if arg is None else handle.signal(signal, arg))

    async def signal_background(self, signal: str) -> None:
        for workflow_id in (names.dual_write_id(self.plan), names.breaker_id(self.plan)):
            await self.send(workflow_id, signal)

    async def send_pause(self, order: Pause) -> None:
        for workflow_id in (names.dual_write_id(self.plan), names.backfill_id(self.plan), names.cutover_id(self.plan)):
            await self.send(workflow_id, "set_paused", order)

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

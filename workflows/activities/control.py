"""Phases, gates and approvals, as `status` sees them."""

from __future__ import annotations

import asyncio

from temporalio import activity

from migrator.control.log import decide
from migrator.control.phase import set_phase
from migrator.cutover.facts import last_wave
from migrator.errors import PlanMismatch, UsageError
from migrator.model.phase import Phase
from migrator.stabilize import record
from workflows import policies
from workflows.activities import gates
from workflows.activities.base import Connection, Context, beating
from workflows.messages import Approval, GateAnswer, PhaseInput, PhaseNote, Report

POLLED = frozenset({Phase.DUAL_WRITE, Phase.CUTOVER, Phase.STABILIZE})
"""Gates whose answer changes by itself, while rows are copied or a mirror catches up."""


class ControlActivities:
    def __init__(self, context: Context) -> None:
        self.context = context

    @activity.defn(name="begin")
    async def begin(self, inp: PhaseInput) -> None:
        """Open a phase; refuse when classic belongs to another plan by now."""
        self.context.serves(inp.plan)
        await self.context.on_classic(_begin, inp)

    @activity.defn(name="note")
    async def note(self, note: PhaseNote) -> None:
        await self.context.on_classic(set_phase, note.phase, note.state, note.detail, note.blockers, note.next_step)

    @activity.defn(name="gate")
    async def gate(self, inp: PhaseInput) -> GateAnswer:
        """Ask the gate of a phase; keep asking for a while when its answer may change by itself."""
        self.context.serves(inp.plan)
        phase = Phase(inp.phase)
        return await beating(self._gate(phase, inp.approver))

    async def _gate(self, phase: Phase, approver: str) -> GateAnswer:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + policies.LONG_POLL_S
        before: tuple[str, ...] | None = None
        while True:
            answer = await gates.ask(self.context, phase, approver)
            decided = answer.go or answer.validate_now or answer.late_tenants or answer.again
            if not decided and answer.blockers != before:
                before = answer.blockers
                await self.context.on_classic(gates.note_blockers, phase, answer)
            if decided or phase not in POLLED or loop.time() >= deadline:
                if answer.go and (not answer.needs_approval or approver):
                    await self.context.on_classic(gates.note_passed, phase, approver)
                return answer
            await asyncio.sleep(1.0)

    @activity.defn(name="record_approval")
    async def record_approval(self, approval: Approval) -> None:
        await self.context.on_classic(_record_approval, approval)

    @activity.defn(name="void_approval")
    async def void_approval(self, approval: Approval) -> None:
        """Take back an approval whose evidence is no longer true; the gate has to be approved again."""
        await self.context.on_classic(_void_approval, approval)

    @activity.defn(name="record_incident")
    async def record_incident(self, report: Report) -> None:
        await self.context.on_classic(record.report_incident, report.reason, report.reported_by)


def _begin(conn: Connection, inp: PhaseInput) -> None:
    row = conn.execute("SELECT plan_id, digest FROM migrator.plan").fetchone()
    if row is None or row[0] != inp.plan:
        raise PlanMismatch(f"classic belongs to plan {row[0] if row else 'nobody'}, not {inp.plan}")
    if inp.digest and row[1] != inp.digest:
        raise PlanMismatch(
            f"the plan {inp.plan} changed since this migration started",
            hint="Abort it and run the changed plan, or run the plan as it was.",
        )
    with conn.transaction():
        set_phase(conn, inp.phase, "running")
        decide(conn, "migration", "phase.begun", inp.phase, "its turn")


def _record_approval(conn: Connection, approval: Approval) -> None:
    """Keep an approval where it survives Temporal, with a digest of what was known when it was given.

    Raises:
        UsageError: it is for a wave that does not come next, so that there is nothing to approve.
    """
    with conn.transaction():
        if approval.gate.startswith("wave-"):
            following = f"wave-{last_wave(conn) + 1}"
            if approval.gate != following:
                raise UsageError(f"{approval.gate} does not wait for an approval; the next wave is {following}")
        evidence = gates.evidence(conn)
        done = conn.execute(
            "INSERT INTO migrator.approval (gate, approver, evidence) VALUES (%s, %s, %s)"
            " ON CONFLICT (gate) DO NOTHING",
            (approval.gate, approval.approver, evidence),
        )
        if done.rowcount:
            decide(
                conn,
                approval.approver,
                "gate.approved",
                approval.gate,
                "approved",
                after={"evidence": evidence},
            )


def _void_approval(conn: Connection, approval: Approval) -> None:
    with conn.transaction():
        gone = conn.execute("DELETE FROM migrator.approval WHERE gate = %s", (approval.gate,))
        if gone.rowcount:
            decide(
                conn,
                "migration",
                "gate.approval_voided",
                approval.gate,
                f"approved by {approval.approver}; the gate says no again",
            )

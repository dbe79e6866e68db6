"""Phases, gates and approvals, as `status` sees them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
from temporalio import activity
from temporalio.client import (
    Client,
    WorkflowContinuedAsNewError,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.service import RPCError, RPCStatusCode

from migrator import gates
from migrator.control.phase import set_phase
from migrator.control.stopped import describe, set_stopped
from migrator.decommission import record
from migrator.decommission.progress import retiring
from migrator.errors import ClusterUnavailable
from migrator.model.blocker import Blocker
from migrator.model.gate import gate_behind
from migrator.model.phase import Phase
from migrator.plan.schema import Plan
from migrator.poll import until_async
from workflows import names, policies
from workflows.activities.base import Connection, Context, beating
from workflows.activities.gates import ask
from workflows.failures import reason
from workflows.messages import Approval, Ended, GateAnswer, PhaseInput, PhaseNote, Report, WatchInput

POLLED = frozenset({Phase.DUAL_WRITE, Phase.CUTOVER, Phase.STABILIZE})
"""Gates whose answer changes by itself, while rows are copied or a mirror catches up."""


class ControlActivities:
    def __init__(self, context: Context) -> None:
        self.context = context

    @activity.defn(name="begin")
    async def begin(self, inp: PhaseInput) -> None:
        """Open a phase; refuse when classic belongs to another plan."""
        self.context.serves(inp.plan)
        try:
            await self.context.on_classic(gates.begin, inp.plan, inp.phase, inp.digest)
        except (ClusterUnavailable, psycopg.OperationalError):
            # After the hand-over classic may be deleted; there is no plan to compare with then.
            if inp.phase != Phase.DECOMMISSION or await self.context.on_limitless(retiring) is None:
                raise

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
        before: tuple[Blocker, ...] | None = None

        async def look() -> GateAnswer:
            nonlocal before
            answer = await ask(self.context, phase)
            # Late sign-ups take as long as a wave, or longer: status says what the gate waits for meanwhile.
            if not _acts(answer) and answer.blockers != before:
                before = answer.blockers
                await self.context.on_classic(gates.note_blockers, phase, answer)
            return answer

        answer = await until_async(
            look, policies.LONG_POLL_S if phase in POLLED else 0, 1.0, done=lambda a: _acts(a) or a.late_tenants
        )
        if answer.go and answer.needs_approval and approver:
            gate = gate_behind(phase)
            if why := await self.context.on_classic(gates.recheck_approval, gate, self.context.plan):
                await self.context.on_classic(gates.void, gate, approver, why)
                return replace(answer, approval_void=why)
        if answer.go and (not answer.needs_approval or approver):
            await self.context.on_classic(gates.note_passed, phase, approver, answer.notes)
        return answer

    @activity.defn(name="record_approval")
    async def record_approval(self, approval: Approval) -> None:
        await self.context.on_classic(_record_approval, approval, self.context.plan)

    @activity.defn(name="void_approval")
    async def void_approval(self, approval: Approval) -> None:
        """Void an approval whose evidence is no longer true; the gate has to be approved again."""
        await self.context.on_classic(gates.void, approval.gate, approval.approver)

    @activity.defn(name="watch")
    async def watch(self, inp: WatchInput) -> Ended:
        """Return when one of the workflows beside the phases has ended, and have status say so until it runs again.

        A workflow that was terminated, or that timed out, sends no message; so they are polled.
        """
        self.context.serves(inp.plan)
        return await beating(self._watch(inp))

    async def _watch(self, inp: WatchInput) -> Ended:
        noted: dict[str, tuple[str, str]] | None = None
        while True:
            ended = {}
            for name in inp.workflows:
                found = await how_it_ended(activity.client(), names.WATCHED[name](inp.plan))
                if found is not None:
                    ended[name] = found
            if ended != noted:
                await self.context.on_classic(set_stopped, list(inp.workflows), ended)
                noted = ended
            if ended:
                return Ended(lines=tuple(describe(name, *how) for name, how in ended.items()))
            await asyncio.sleep(policies.WATCH_EVERY_S)

    @activity.defn(name="record_incident")
    async def record_incident(self, report: Report) -> None:
        await self.context.on_classic(record.report_incident, report.reason, report.reported_by)


def _acts(answer: GateAnswer) -> bool:
    """Whether the workflow has something to do with *answer* other than ask again."""
    return answer.go or answer.validate_now or answer.again


async def how_it_ended(client: Client, workflow_id: str) -> tuple[str, str] | None:
    """Return Temporal's word for how a workflow ended, and the reason; None while it runs."""
    handle = client.get_workflow_handle(workflow_id)
    try:
        described = await handle.describe(rpc_timeout=timedelta(seconds=policies.RPC_S))
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return "not found", ""
        raise ClusterUnavailable("temporal", f"it answered {error.status.name}") from None
    if described.status is WorkflowExecutionStatus.RUNNING or described.status is None:
        return None
    return described.status.name.lower().replace("_", " "), await _why(handle)


async def _why(handle: WorkflowHandle[Any, Any]) -> str:
    try:
        await handle.result(follow_runs=False, rpc_timeout=timedelta(seconds=policies.RPC_S))
    except WorkflowFailureError as error:
        return reason(error.cause)[1]
    except (WorkflowContinuedAsNewError, RPCError):
        return ""  # running again, or past Temporal's retention
    return ""


def _record_approval(conn: Connection, approval: Approval, plan: Plan) -> None:
    gates.approve(conn, approval.gate, approval.approver, plan)

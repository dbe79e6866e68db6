"""Validation: on a schedule, for gates, by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from temporalio import activity
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from migrator import validation
from migrator.control import known
from migrator.model.divergence import ValidationReport
from migrator.model.tenant import TenantId
from migrator.plan.schema import Plan
from workflows import names
from workflows.activities.base import Context, beating
from workflows.messages import PlanInput, ValidateInput, ValidationOutcome


class ValidationActivities:
    def __init__(self, context: Context) -> None:
        self.context = context

    @activity.defn(name="validate")
    async def validate(self, inp: ValidateInput) -> ValidationOutcome:
        """Validate tenants, stalest first, and do what the plan says when rows differ.

        Verdicts are stored fence by fence, so an interrupted attempt keeps its verdicts and the next one
        begins with what is stalest by then.
        """
        self.context.serves(inp.plan)
        return await beating(self._validate(inp))

    async def _validate(self, inp: ValidateInput) -> ValidationOutcome:
        tenants = [TenantId(t) for t in inp.tenants] or None
        if tenants:
            await self.context.on_classic(known.check_tenants, tenants)
        report = await self.compare(tenants, inp.kind, who=inp.who if inp.repair else None)
        if not (inp.repair and report.divergent_rows):
            return outcome(report)
        repaired = await asyncio.to_thread(validation.repair, self.context.classic_dsn(), inp.who, tenants)
        again = await self.compare(tenants, "repair", who=inp.who)
        return outcome(again, repaired)

    async def compare(
        self,
        tenants: Sequence[TenantId] | None,
        kind: str,
        rest: bool | None = None,
        who: str | None = None,
        reference: bool | None = None,
    ) -> ValidationReport:
        """Compare *tenants* (None: all); *rest*: reference tables, rows without a tenant; *reference*: those tables."""
        context = self.context
        return await validation.compare(
            context.classic_dsn(), context.limitless_dsn(), context.plan, kind,
            who=who, tenants=tenants, rest=rest, reference=reference, replica_dsn=context.replica_dsn(),
        )  # fmt: skip

    @activity.defn(name="ensure_schedule")
    async def ensure_schedule(self, inp: PlanInput) -> None:
        """Create or update the schedule of continuous validation; a pause set by an operator stays."""
        self.context.serves(inp.plan)
        plan = self.context.plan
        try:
            await activity.client().create_schedule(names.validate_id(inp.plan), _schedule(plan))
        except ScheduleAlreadyRunningError:
            await adjust_schedule(activity.client(), plan)

    @activity.defn(name="remove_schedule")
    async def remove_schedule(self, inp: PlanInput) -> None:
        try:
            await activity.client().get_schedule_handle(names.validate_id(inp.plan)).delete()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise


def _schedule(plan: Plan) -> Schedule:
    every = timedelta(seconds=plan.validation.every_s)
    return Schedule(
        action=ScheduleActionStartWorkflow(
            "Validation",
            ValidateInput(plan=plan.name),
            id=f"{names.validate_id(plan.name)}/scheduled",
            task_queue=names.queue(plan.name, names.Queue.CONTROL),
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)], jitter=every / 20),
        # A run still under way when the next is due is enough; missed runs need no catching up after an outage.
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=1)),
    )


async def adjust_schedule(client: Client, plan: Plan) -> None:
    """Give the schedule of validation, where there is one, the plan's interval; a pause set by an operator stays."""

    def change(current: ScheduleUpdateInput) -> ScheduleUpdate:
        wanted = _schedule(plan)
        wanted.state = current.description.schedule.state
        return ScheduleUpdate(schedule=wanted)

    try:
        await client.get_schedule_handle(names.validate_id(plan.name)).update(change)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


def outcome(report: ValidationReport, repaired: int = 0) -> ValidationOutcome:
    return ValidationOutcome(
        clean=report.clean,
        tenants=len(report.tenants),
        rows=report.rows,
        divergent_rows=report.divergent_rows,
        repaired=repaired,
        unmirrored=len(report.unmirrored),
        tenantless_rows=report.tenantless_rows,
        left=report.left,
        unknown=len(report.unknown),
        seconds=report.seconds,
        fence_pause_ms=max(report.fence_pause_ms, default=0.0),
    )

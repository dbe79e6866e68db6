"""Phase 5: the stabilization window, its cost and its incidents."""

from __future__ import annotations

from dataclasses import replace

from temporalio import activity

from migrator.decommission.daily_check import check, price
from migrator.decommission.window import CheckResult, Window, continued
from migrator.plan.schema import Plan
from migrator.traffic.cutover.wave import late_tenants
from workflows.activities.base import Connection, Context
from workflows.messages import CheckInput, ContinueWindow, PlanInput


class StabilizeActivities:
    def __init__(self, context: Context) -> None:
        self.context = context

    @activity.defn(name="check")
    async def check(self, inp: CheckInput) -> CheckResult:
        """Take newer incidents into account and return how far the window is."""
        self.context.serves(inp.plan)
        return await self.context.on_classic(_check, inp, self.context.plan)

    @activity.defn(name="go_on")
    async def go_on(self, inp: ContinueWindow) -> Window:
        """Resume a window that an incident paused."""
        self.context.serves(inp.plan)
        return continued(inp.window, inp.now_s)

    @activity.defn(name="cost")
    async def cost(self, inp: PlanInput) -> None:
        """Keep this month's bill against the projection."""
        self.context.serves(inp.plan)
        await self.context.on_classic(price, self.context.plan)


def _check(conn: Connection, inp: CheckInput, plan: Plan) -> CheckResult:
    return replace(check(conn, plan, inp.now_s, inp.window), late_tenants=late_tenants(conn, plan))

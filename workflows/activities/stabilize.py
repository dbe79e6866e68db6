"""Phase 5: the window, its price and its incidents."""

from __future__ import annotations

from dataclasses import asdict

from temporalio import activity

from migrator.control.phase import set_phase
from migrator.control.rehearsal import clock_scale
from migrator.cutover import facts as cutover_facts
from migrator.model.phase import Phase
from migrator.plan.schema import Plan
from migrator.stabilize import record
from migrator.stabilize.cost import Prices, cost
from migrator.stabilize.window import (
    Window,
    WindowRules,
    checked,
    continued,
    describe,
    next_check_in_s,
    open_window,
    over,
)
from workflows.activities.base import Connection, Context
from workflows.messages import CheckInput, CheckResult, ContinueWindow, PlanInput, WindowState


class StabilizeActivities:
    def __init__(self, context: Context) -> None:
        self.context = context

    @activity.defn(name="check")
    async def check(self, inp: CheckInput) -> CheckResult:
        """Take newer incidents into account and say how far the window is."""
        self.context.serves(inp.plan)
        return await self.context.on_classic(_check, inp, self.context.plan)

    @activity.defn(name="go_on")
    async def go_on(self, inp: ContinueWindow) -> WindowState:
        """Let a window go on that an incident paused."""
        self.context.serves(inp.plan)
        return _state(continued(_window(inp.window), inp.now_s))

    @activity.defn(name="cost")
    async def cost(self, inp: PlanInput) -> None:
        """Price the present usage against the projection and keep the sample."""
        self.context.serves(inp.plan)
        await self.context.on_both(_cost, self.context.plan)


def rules(plan: Plan, scale: float) -> WindowRules:
    section = plan.stabilization
    return WindowRules(section.days, section.check_every_days, section.on_incident, scale)


def _window(state: WindowState) -> Window:
    return Window(**state.model_dump())


def _state(window: Window) -> WindowState:
    return WindowState(**asdict(window))


def _check(conn: Connection, inp: CheckInput, plan: Plan) -> CheckResult:
    the_rules = rules(plan, clock_scale(conn, plan))
    stored = record.stored_window(conn)
    if inp.window is not None:
        window = _window(inp.window)
    elif stored is not None:
        window = stored[0]  # an earlier run of the phase opened it
    else:
        window = open_window(inp.now_s, record.last_incident(conn), the_rules)
    if inp.window is not None or stored is not None:
        window = checked(window, inp.now_s, record.incidents_after(conn, window.last_incident), the_rules)
    done = over(window, inp.now_s)
    text = describe(window, inp.now_s, the_rules)
    record.store_window(conn, window, done, text)
    if window.paused_s is not None:
        set_phase(conn, Phase.STABILIZE.value, "blocked", text, [window.reason], "mend it, then: migrator resume")
    else:
        set_phase(conn, Phase.STABILIZE.value, "running", text)
    return CheckResult(
        window=_state(window),
        over=done,
        text=text,
        next_s=next_check_in_s(window, inp.now_s, the_rules),
        late_tenants=len(cutover_facts.waiting(conn)) if cutover_facts.is_forward(conn) else 0,
    )


def _cost(classic: Connection, limitless: Connection, plan: Plan) -> None:
    section = plan.cost
    prices = Prices(
        section.acu_hour_usd, section.storage_gb_month_usd, section.projected_monthly_usd, section.classic_monthly_usd
    )
    record.store_cost(classic, cost(record.plan_usage(limitless, plan.limitless.min_acu), prices))

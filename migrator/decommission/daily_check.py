"""Checks the stabilization window, and prices a day; both are stored on classic, for `status` and the gate."""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.control.phase import set_phase
from migrator.control.rehearsal import clock_scale
from migrator.decommission import record
from migrator.decommission.cost import Prices, cost
from migrator.decommission.window import (
    CheckResult,
    Window,
    WindowRules,
    checked,
    describe,
    next_check_in_s,
    open_window,
    over,
)
from migrator.model.blocker import Blocker
from migrator.model.phase import Phase
from migrator.plan.schema import Plan

Connection = psycopg.Connection[Any]


def rules(plan: Plan, scale: float) -> WindowRules:
    section = plan.stabilization
    return WindowRules(section.days, section.check_every_days, section.on_incident, scale)


def check(conn: Connection, plan: Plan, now_s: float, window: Window | None) -> CheckResult:
    """Take newer incidents into account and say how far the window is; the caller counts late sign-ups.

    Args:
        now_s: the workflow's clock.
        window: after the last check of this run; None in its first one, which goes on from what an earlier run kept.
    """
    the_rules = rules(plan, clock_scale(conn, plan))
    if window is None:
        kept = record.stored_window(conn)
        window = kept[0] if kept is not None else None
    if window is None:
        window = open_window(now_s, record.last_incident(conn), the_rules)
    else:
        window = checked(window, now_s, record.incidents_after(conn, window.last_incident), the_rules)
    done, text = over(window, now_s), describe(window, now_s, the_rules)
    record.store_window(conn, window, done, text)
    if window.paused_s is not None:
        blocker = Blocker("window.paused", str(window.last_incident), window.reason)
        set_phase(conn, Phase.STABILIZE.value, "blocked", text, [blocker], "correct the cause, then: migrator resume")
    else:
        set_phase(conn, Phase.STABILIZE.value, "running", text)
    return CheckResult(window, done, text, next_check_in_s(window, now_s, the_rules))


def price(classic: Connection, limitless: Connection, plan: Plan) -> None:
    """Price the present usage against the projection and keep the sample."""
    section = plan.cost
    prices = Prices(
        section.acu_hour_usd, section.storage_gb_month_usd, section.projected_monthly_usd, section.classic_monthly_usd
    )
    record.store_cost(classic, cost(record.plan_usage(limitless, plan.limitless.min_acu), prices))

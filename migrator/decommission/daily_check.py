"""Checks the stabilization window, and keeps the bill; both are stored on classic, for `status` and the gate."""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.capacity.lines import cost_line, known
from migrator.control.log import decide
from migrator.control.phase import set_phase
from migrator.control.rehearsal import clock_scale
from migrator.decommission import record
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

WHO = "stabilization"


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
    kept = record.stored_window(conn)
    if window is None:
        window = kept[0] if kept is not None else None
    if window is None:
        window = open_window(now_s, record.last_incident(conn), the_rules)
    else:
        window = checked(window, now_s, record.incidents_after(conn, window.last_incident), the_rules)
    done, text = over(window, now_s), describe(window, now_s, the_rules)
    with conn.transaction():
        record.store_window(conn, window, done, text)
        if window.restarts > (kept[0].restarts if kept is not None else 0):  # not when this check is tried again
            decide(conn, WHO, "window.restarted", "window", window.reason)
    if window.paused_s is not None:
        blocker = Blocker("window.paused", str(window.last_incident), window.reason)
        set_phase(conn, Phase.STABILIZE.value, "blocked", text, [blocker], "correct the cause, then: migrator resume")
    else:
        set_phase(conn, Phase.STABILIZE.value, "running", text)
    return CheckResult(window, done, text, next_check_in_s(window, now_s, the_rules))


def price(classic: Connection, plan: Plan) -> None:
    """Keep this month's bill against the projection, as far as workers have looked at Limitless."""
    record.store_cost(classic, cost_line(known(classic, plan), plan))

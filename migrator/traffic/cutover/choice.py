"""Which tenants may a wave take, and in which order does a person want them?

The plan says what becomes of new tenants (waves.new_tenants) and which come first of all (waves.canaries); a person
says so of single ones (`migrator tenant move --wave`). It is read anew whenever a wave is chosen, so a cutover that
runs takes it up.
"""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.control.tenant_order import orders
from migrator.control.tenant_order import withdraw as withdraw_orders
from migrator.model.blocker import Blocker
from migrator.model.tenant import TenantId
from migrator.plan.schema import Plan
from migrator.traffic.cutover import facts
from migrator.traffic.cutover.waves import Wave, WaveRules, all_waves, next_wave

__all__ = ["canaries", "choose", "coming", "may_move", "rules", "unknown_canaries", "wanted", "withdraw_orders"]

Connection = psycopg.Connection[Any]


def rules(plan: Plan) -> WaveRules:
    section = plan.waves
    return WaveRules(tuple(section.sizes), section.hot_ratio, tuple(section.ramp_pct), tuple(section.hot_ramp_pct))


def canaries(plan: Plan) -> tuple[TenantId, ...]:
    return tuple(TenantId(name) for name in plan.waves.canaries)


def wanted(conn: Connection, plan: Plan) -> dict[TenantId, int]:
    """Return the wave that tenants are to move in: the first for the plan's canaries, unless a person said another."""
    return dict.fromkeys(canaries(plan), 1) | {tenant: order.wave for tenant, order in orders(conn).items()}


def may_move(conn: Connection, plan: Plan, late: bool) -> frozenset[TenantId]:
    """Return the tenants that a wave may take now; *late*: it is one for new tenants, after those of the cutover."""
    waiting = facts.waiting(conn)
    first = facts.first_tenants(conn)
    if not first:  # the cutover has not begun, so none is new yet
        return waiting
    known = waiting & (first | wanted(conn, plan).keys())
    match plan.waves.new_tenants:
        case "classic":
            return known
        case "next_wave":
            # The cutover ends with the last tenant of its first day: new ones may come without end.
            return waiting if late or known else frozenset()
        case "after_waves":
            return waiting if late else known


def choose(conn: Connection, plan: Plan, late: bool) -> tuple[Wave | None, frozenset[TenantId]]:
    """Return the next wave, None when nothing waits; and all tenants that wait for one."""
    waiting = may_move(conn, plan, late)
    number = facts.last_wave(conn) + 1
    return next_wave(number, facts.sizes(conn), waiting, rules(plan), wanted(conn, plan)), waiting


def coming(conn: Connection, plan: Plan) -> list[Wave]:
    """Return every wave that is still to come, as things are now."""
    late = not may_move(conn, plan, late=False)
    waiting = may_move(conn, plan, late)
    return all_waves(facts.last_wave(conn) + 1, facts.sizes(conn), waiting, rules(plan), wanted(conn, plan))


def unknown_canaries(conn: Connection, plan: Plan) -> tuple[Blocker, ...]:
    """Return a blocker for each canary that no row has ever named, before the first wave is chosen."""
    if not plan.waves.canaries or facts.last_wave(conn):
        return ()
    known = {size.tenant_id for size in facts.sizes(conn)}
    return tuple(
        Blocker("canary.unknown", name, f"the plan's canary {name} is no tenant: correct waves.canaries and store it")
        for name in canaries(plan)
        if name not in known
    )

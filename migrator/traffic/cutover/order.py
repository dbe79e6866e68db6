"""Puts tenants into a wave by hand: forward, back, or where the plan's order has them.

A wave that is to come takes them when it is chosen (choice.py); one that was chosen and has not moved their reads gives
them up at its next step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from migrator.control import route as routes
from migrator.control import tenant as stored
from migrator.control import tenant_order
from migrator.control.tenant_order import Place
from migrator.errors import NoGo
from migrator.model.blocker import Blocker
from migrator.model.counted import counted
from migrator.model.phase import TenantState
from migrator.model.route import Level
from migrator.model.shell import argument
from migrator.model.tenant import TenantId, hot_tenants
from migrator.plan.schema import Plan
from migrator.traffic.cutover import choice, facts
from migrator.traffic.cutover.waves import WaveRules
from migrator.traffic.route.change import change

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Ordered:
    """What an order did, or would do.

    Attributes:
        ordered: tenants whose wave is another one now.
        left: those of them that a wave gave up which had been chosen.
        blockers: why nothing was done.
    """

    wave: int | None
    ordered: tuple[TenantId, ...] = ()
    left: tuple[TenantId, ...] = ()
    blockers: tuple[Blocker, ...] = ()


def refusals(
    places: Sequence[Place], wave: int, last: int, rules: WaveRules, orders: Mapping[TenantId, int]
) -> tuple[Blocker, ...]:
    """Return every reason why these tenants cannot be put into *wave*. Pure.

    Args:
        last: the wave that was chosen last, 0 before the first.
        orders: the wave of every tenant that was ordered so far.

    What they advise names a wave that has not begun.
    """
    found: list[Blocker] = []
    if wave <= last:
        text = f"wave {wave} has begun, it takes no more tenants: the next one is wave {last + 1}"
        found.append(Blocker("wave.begun", f"wave-{wave}", text))
    for place in places:
        if reason := _refusal(place, max(wave, last + 1)):
            found.append(reason)
    return (*found, *_crowded(places, wave, rules, orders))


def _refusal(place: Place, wave: int) -> Blocker | None:
    tenant, who = place.tenant_id, f"tenant {place.tenant_id}"
    if place.held is not None:
        text = f"{who} is held on classic by {place.held}; release it: migrator tenant release {argument(tenant)}"
        return Blocker("tenant.held", tenant, text)
    if place.rolled_back is not None:
        text = f"{who} was rolled back in wave {place.wave} by {place.rolled_back}; go forward: migrator cutover"
        return Blocker("tenant.rolled_back", tenant, text)
    if place.level is Level.JOINING:
        text = f"{who} is on its way to Limitless; wait, then bring it back with --to classic --wave {wave}"
        return Blocker("tenant.moving", tenant, text, True)
    if place.level is Level.LIMITLESS:
        share = "" if place.reads_pct == 100 else f" ({place.reads_pct} %)"
        since = f" since wave {place.moved_in}" if place.moved_in is not None else ""
        text = f"{who} reads from Limitless{share}{since}; bring it back with --to classic --wave {wave}"
        return Blocker("tenant.moved", tenant, text)
    if place.state is TenantState.QUARANTINED:
        text = f"{who} is quarantined: {place.quarantine or 'Limitless refused one of its rows'}; migrator mirror retry"
        return Blocker("tenant.quarantined", tenant, text)
    return None


def _crowded(
    places: Sequence[Place], wave: int, rules: WaveRules, orders: Mapping[TenantId, int]
) -> tuple[Blocker, ...]:
    """A hot tenant moves alone, and no person makes a wave larger than the plan does."""
    hot = [p.tenant_id for p in places if p.hot]
    there = {tenant for tenant, number in orders.items() if number == wave} | {p.tenant_id for p in places}
    if hot and len(there) > 1:
        text = f"tenant {hot[0]} is hot, so it moves alone: {counted(len(there), 'tenant')} would be in wave {wave}"
        return (Blocker("tenant.hot", hot[0], text),)
    size = rules.sizes[min(wave, len(rules.sizes)) - 1]
    if len(there) > size:
        text = (
            f"{counted(len(there), 'tenant')} would be in wave {wave}, "
            f"the plan allows {size}: migrator plan apply (waves.sizes)"
        )
        return (Blocker("wave.full", f"wave-{wave}", text),)
    return ()


def look(conn: Connection, plan: Plan, tenants: Sequence[TenantId], wave: int, *, back: bool = False) -> Ordered:
    """Return what putting *tenants* into *wave* would do, and what stands in its way; reads only.

    Args:
        back: their reads are brought back to classic first.
    """
    places = _places(conn, plan, tenants)
    wanted = choice.wanted(conn, plan)
    stand = [_brought_back(place) for place in places] if back else places
    blockers = refusals(stand, wave, facts.last_wave(conn), choice.rules(plan), wanted)
    anew = tuple(p.tenant_id for p in places if p.wave is not None or wanted.get(p.tenant_id) != wave)
    left = tuple(p.tenant_id for p in places if p.wave is not None and p.level is Level.CLASSIC)
    return Ordered(wave, anew, left, blockers)


def _places(conn: Connection, plan: Plan, tenants: Sequence[TenantId]) -> list[Place]:
    """Where they stand; who is hot is judged as the next wave will."""
    hot = hot_tenants(facts.sizes(conn), plan.waves.hot_ratio)
    return [replace(place, hot=place.tenant_id in hot) for place in tenant_order.places(conn, tenants)]


def _brought_back(place: Place) -> Place:
    return replace(place, level=Level.CLASSIC) if place.rolled_back is None else place


def put(
    conn: Connection,
    plan: Plan,
    tenants: Sequence[TenantId],
    wave: int,
    *,
    who: str,
    reason: str,
    back: bool = False,
) -> Ordered:
    """Put *tenants* into *wave*, all or none; owns its transaction. Running it again changes nothing.

    Args:
        back: their reads may be on Limitless, the caller brings them back (`rollback.bring_back`).

    Raises:
        NoGo: with every reason why they cannot be.
    """
    with change(conn, who, reason) as route_change:
        seen = look(conn, plan, tenants, wave, back=back)
        if seen.blockers:
            raise NoGo("tenant move", seen.blockers, hint="Nothing was changed.")
        before = tenant_order.orders(conn, tenants)
        chosen = {p.tenant_id: p.wave for p in tenant_order.places(conn, tenants)}
        if seen.left:
            # A step of the wave that runs compares the routes' epochs, so it does not move those who leave it now.
            stored.release(conn, seen.left)
            parts = {tenant: place.part for tenant, place in stored.places(conn, seen.left).items()}
            routes.watch_routes(conn, parts, False, route_change.next_epoch(), who, reason)
        tenant_order.put(conn, seen.ordered, wave, who, reason)
        were = {t: chosen.get(t) or (before[t].wave if t in before else None) for t in seen.ordered}
        before_it = {tenant: was and {"wave": was} for tenant, was in were.items()}
        route_change.decide_each("tenant.ordered", before_it, {"wave": wave})
    return seen


def withdraw(conn: Connection, tenants: Sequence[TenantId], *, who: str, reason: str) -> Ordered:
    """Have the plan's order count again for *tenants*; returns those that a person had ordered."""
    with change(conn, who, reason) as route_change:
        before = tenant_order.orders(conn, tenants)
        gone = tenant_order.withdraw(conn, tenants)
        route_change.decide_each("tenant.ordered", {tenant: {"wave": before[tenant].wave} for tenant in gone})
    return Ordered(None, tuple(gone))

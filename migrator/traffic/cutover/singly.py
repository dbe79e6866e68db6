"""Moves single tenants by a person's word, outside the waves: to Limitless, through their gate; and out of sight, when
they have no rows any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from migrator.control import known, tenant_hold, tenant_order
from migrator.errors import NoGo
from migrator.model.blocker import Blocker
from migrator.model.route import Level
from migrator.model.shell import word
from migrator.model.tenant import TenantId
from migrator.plan.schema import Plan
from migrator.traffic.cutover import facts
from migrator.traffic.cutover.gate import wave_verdict
from migrator.traffic.cutover.wave import everywhere, gate_limits
from migrator.traffic.route.change import change
from migrator.traffic.route.promote import Promoted, promote_reads

Connection = psycopg.Connection[Any]


def blockers(conn: Connection, plan: Plan, tenants: Sequence[TenantId]) -> tuple[Blocker, ...]:
    """Return every reason why reads of *tenants* may not go to Limitless now, as the gate of a wave would."""
    seen = facts.tenant_facts(conn, tenants)
    answer = wave_verdict(seen, gate_limits(plan), facts.reference_facts(conn), everywhere(conn))
    met = {f.tenant_id for f in seen}
    found = [
        Blocker("tenant.not_copied", tenant, f"tenant {tenant} is not copied yet", True)
        for tenant in dict.fromkeys(tenants)
        if tenant not in met
    ]
    switch = facts.switch(conn)
    if switch.level is not Level.LIMITLESS:
        text = f"all reads were rolled back by {switch.changed_by}: {switch.reason}; go forward: migrator cutover"
        found.insert(0, Blocker("reads.rolled_back", "", text))
    return (*found, *answer.verdict.blockers)


def to_limitless(conn: Connection, plan: Plan, tenants: Sequence[TenantId], *, who: str, reason: str) -> Promoted:
    """Bring all reads of *tenants* to Limitless, all or none; running it again changes nothing.

    Raises:
        NoGo: with everything that their gate says.
    """
    if found := blockers(conn, plan, tenants):
        raise NoGo("tenant move", found, hint="Nothing was changed.")
    promoted = promote_reads(conn, tenants=tenants, who=who, reason=reason)
    if promoted.done:
        tenant_order.withdraw(conn, tenants)
    return promoted


def why_kept(empty: frozenset[TenantId], now: Mapping[str, bool | None]) -> tuple[Blocker, ...]:
    """Return why tenants cannot be forgotten: *now* says whether classic has rows of each (None: not known), *empty*
    which had none on either side when they were last compared. Pure."""
    found = []
    for name, there in now.items():
        if there:
            found.append(Blocker("tenant.has_rows", name, f"tenant {name} has rows on classic"))
        elif there is None:
            text = f"whether tenant {name} has rows on classic could not be found out in time: a table is locked"
            found.append(Blocker("tenant.unknown", name, f"{text}, or has no index on the tenant", True))
        elif name not in empty:
            text = (
                f"tenant {name} was not found without rows on both sides yet: migrator validate --tenant {word(name)}"
            )
            found.append(Blocker("tenant.not_validated", name, text))
    return tuple(found)


def kept(conn: Connection, tenants: Sequence[TenantId]) -> tuple[Blocker, ...]:
    """Return why *tenants* cannot be forgotten; reads only."""
    return why_kept(tenant_hold.empty_tenants(conn, tenants), known.have_rows(conn, tenants))


def forget(conn: Connection, tenants: Sequence[TenantId], *, who: str, reason: str) -> tuple[TenantId, ...]:
    """Take back what was decided about *tenants* that have no rows: route, wave, order, hold. When rows of such a name
    come again, it is a new tenant. Returns them.

    Their copies stay as they are: rows that come are mirrored as before, and classic has them in any case.

    Raises:
        NoGo: with every reason why one cannot be forgotten.
    """
    if found := kept(conn, tenants):
        raise NoGo("tenant forget", found, hint="Nothing was changed.")
    names = tuple(dict.fromkeys(tenants))
    with change(conn, who, reason) as route_change:
        held = {h.tenant_id: f"{h.held_by}: {h.reason}" for h in tenant_hold.release_hold(conn, names)}
        before = {p.tenant_id: p for p in tenant_order.places(conn, names)}
        tenant_order.withdraw(conn, names)
        tenant_hold.forget(conn, names, route_change.next_epoch(), who, reason)
        were = {t: {"level": before[t].level.value, "wave": before[t].wave, "held": held.get(t)} for t in names}
        route_change.decide_each("tenant.forgotten", were)
    return names

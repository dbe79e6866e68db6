"""Holds tenants on classic until a person releases them.

A tenant that is held has no route but classic: the hold moves its reads back in the same transaction, and `move`
refuses to move them up until the tenant is released, by name. Both lock the switch row, so neither overtakes the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from migrator.control import tenant as stored
from migrator.control.tenant import Held
from migrator.errors import PreconditionFailed
from migrator.model.tenant import TenantId
from migrator.traffic.route.change import Change, change, reachable

__all__ = ["SHOWN", "Held", "check_free", "describe", "held", "hold_within", "release"]

SHOWN = 5


def held(conn: psycopg.Connection[Any], tenants: Sequence[TenantId] | None = None) -> list[Held]:
    """Return the holds of *tenants* (None: of all), ordered by tenant."""
    with reachable():
        return stored.holds(conn, tenants)


def describe(holds: Sequence[Held]) -> str:
    """Return the held tenants in one line with the command that releases them; '' when there are none."""
    if not holds:
        return ""
    names = ", ".join(h.tenant_id for h in holds[:SHOWN]) + (", …" if len(holds) > SHOWN else "")
    count = f"{len(holds)} tenant{'s are' if len(holds) > 1 else ' is'}"
    return f"{count} held on classic ({names}); release with: migrator tenant release TENANT"


def hold_within(route_change: Change, tenants: Sequence[TenantId], wave: int | None = None) -> list[TenantId]:
    """Hold *tenants* in the transaction of a change that leaves none of them off classic; returns those newly held."""
    anew = stored.hold(route_change.conn, tenants, wave, route_change.who, route_change.reason)
    for tenant in anew:
        route_change.decide("tenant.held", f"tenant/{tenant}", None, {"wave": wave})
    return anew


def release(conn: psycopg.Connection[Any], tenants: Sequence[TenantId], *, who: str, reason: str) -> list[TenantId]:
    """Let *tenants* wait for a wave again; returns those that were held. Their reads stay on classic until then."""
    with change(conn, who, reason) as route_change:
        free = stored.release_hold(conn, tenants)
        for one in free:
            before = {"reason": one.reason, "held_by": one.held_by, "wave": one.wave}
            route_change.decide("tenant.released", f"tenant/{one.tenant_id}", before, None)
    return [one.tenant_id for one in free]


def check_free(conn: psycopg.Connection[Any], tenants: Sequence[TenantId]) -> None:
    """Refuse to promote a tenant that is held.

    Raises:
        PreconditionFailed: naming the tenants, by whom they are held and why.
    """
    holds = held(conn, tenants)
    if holds:
        first = holds[0]
        raise PreconditionFailed(
            f"{describe(holds).partition(';')[0]}: {first.tenant_id} by {first.held_by}: {first.reason}",
            hint="Release by name with: migrator tenant release TENANT --reason …",
        )

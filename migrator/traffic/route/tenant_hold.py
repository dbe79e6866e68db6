"""Holds tenants on classic until a person releases them, or a date has come.

A tenant that is held has no route but classic: the hold moves its reads back in the same transaction, and `move`
refuses to move them up until the tenant is released, by name. Both lock the switch row, so neither overtakes the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg

from migrator.control import tenant_hold as stored
from migrator.control.tenant_hold import Held
from migrator.errors import PreconditionFailed, UsageError
from migrator.model.tenant import TenantId
from migrator.traffic.route.change import Change, change, reachable

__all__ = ["SHOWN", "Held", "check_free", "check_until", "describe", "end_past", "held", "hold_within", "release"]

SHOWN = 5


def held(
    conn: psycopg.Connection[Any], tenants: Sequence[TenantId] | None = None, *, with_rows: bool = False
) -> list[Held]:
    """Return the holds of *tenants* (None: of all) that count now, ordered by tenant; *with_rows* without those of
    tenants that have no rows, which hold up nothing."""
    with reachable():
        return stored.holds(conn, tenants, with_rows=with_rows)


def describe(holds: Sequence[Held]) -> str:
    """Return the held tenants in one line with the command that releases them; '' when there are none."""
    if not holds:
        return ""
    names = ", ".join(h.tenant_id for h in holds[:SHOWN]) + (", …" if len(holds) > SHOWN else "")
    count = f"{len(holds)} tenant{'s are' if len(holds) > 1 else ' is'}"
    return f"{count} held on classic ({names}); release with: migrator tenant release TENANT"


def check_until(conn: psycopg.Connection[Any], until: datetime | None) -> None:
    """Refuse a hold that would have ended already.

    Raises:
        UsageError: the moment has come by classic's clock.
    """
    with reachable():
        if until is not None and stored.has_come(conn, until):
            raise UsageError(f"{until:%Y-%m-%d %H:%M %Z} has passed, so nothing would be held until then")


def hold_within(
    route_change: Change, tenants: Sequence[TenantId], wave: int | None = None, until: datetime | None = None
) -> list[TenantId]:
    """Hold *tenants* in the transaction of a change that leaves none of them off classic; returns those newly held,
    or held to another date."""
    anew = stored.hold(route_change.conn, tenants, wave, route_change.who, route_change.reason, until)
    after = {"wave": wave, **({"until": until.isoformat()} if until else {})}
    route_change.decide_each("tenant.held", dict.fromkeys(anew), after)
    return anew


def end_past(conn: psycopg.Connection[Any], who: str) -> list[TenantId]:
    """Release the tenants whose date has come, which are not held any more, and log it; returns them."""
    with change(conn, who, "its date has come") as route_change:
        return _logged(route_change, stored.end_holds(conn))


def release(conn: psycopg.Connection[Any], tenants: Sequence[TenantId], *, who: str, reason: str) -> list[TenantId]:
    """Let *tenants* wait for a wave again; returns those that were held. Their reads stay on classic until then."""
    with change(conn, who, reason) as route_change:
        return _logged(route_change, stored.release_hold(conn, tenants))


def _logged(route_change: Change, ended: Sequence[Held]) -> list[TenantId]:
    route_change.decide_each("tenant.released", {one.tenant_id: _as_logged(one) for one in ended})
    return [one.tenant_id for one in ended]


def _as_logged(one: Held) -> dict[str, Any]:
    until = {"until": one.until.isoformat()} if one.until is not None else {}
    return {"reason": one.reason, "held_by": one.held_by, "wave": one.wave, **until}


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

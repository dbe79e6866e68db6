"""Which tenants does a person keep on classic, and until when?

A tenant that is held has no route but classic: whoever holds it moves its reads back in the same transaction, and
`move` lets nobody move them up until the tenant is released, by name. Both lock the switch row, so neither overtakes
the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from migrator.errors import PreconditionFailed
from migrator.model.tenant import TenantId
from migrator.route.change import Change, change, reachable

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Held:
    """One tenant that is held on classic. `wave`: the rollback of which it was held by; None: by its own name."""

    tenant_id: TenantId
    reason: str
    held_by: str
    held_at: datetime
    wave: int | None = None


def held(conn: psycopg.Connection[Any], tenants: Sequence[TenantId] | None = None) -> list[Held]:
    """Return who of *tenants* (None: of all) is held, ordered by tenant."""
    with reachable():
        rows = conn.execute(
            "SELECT tenant_id, reason, held_by, held_at, wave FROM migrator.tenant_hold"
            ' WHERE %(all)s OR tenant_id = ANY (%(tenants)s) ORDER BY tenant_id COLLATE "C"',
            {"all": tenants is None, "tenants": list(tenants or ())},
        ).fetchall()
    return [Held(TenantId(tenant), *rest) for tenant, *rest in rows]


def describe(holds: Sequence[Held]) -> str:
    """Return who is held in one line with the way out; '' when nobody is."""
    if not holds:
        return ""
    names = ", ".join(h.tenant_id for h in holds[:SHOWN]) + (", …" if len(holds) > SHOWN else "")
    count = f"{len(holds)} tenant{'s are' if len(holds) > 1 else ' is'}"
    return f"{count} held on classic ({names}); release with: migrator tenant release TENANT"


def hold_within(found: Change, tenants: Sequence[TenantId], wave: int | None = None) -> list[TenantId]:
    """Hold *tenants* in the transaction of a change that leaves none of them off classic; returns who is held anew."""
    rows = found.conn.execute(
        "INSERT INTO migrator.tenant_hold (tenant_id, reason, held_by, wave)"
        " SELECT u.id, %s, %s, %s FROM unnest(%s::text[]) AS u (id) ON CONFLICT DO NOTHING RETURNING tenant_id",
        (found.reason, found.who, wave, list(dict.fromkeys(tenants))),
    ).fetchall()
    anew = sorted(TenantId(tenant) for (tenant,) in rows)
    for tenant in anew:
        found.decide("tenant.held", f"tenant/{tenant}", None, {"wave": wave})
    return anew


def release(conn: psycopg.Connection[Any], tenants: Sequence[TenantId], *, who: str, reason: str) -> list[TenantId]:
    """Let *tenants* wait for a wave again; returns who was held. Their reads stay on classic until then."""
    with change(conn, who, reason) as found:
        rows = conn.execute(
            "DELETE FROM migrator.tenant_hold WHERE tenant_id = ANY (%s) RETURNING tenant_id, reason, held_by, wave",
            (list(tenants),),
        ).fetchall()
        for tenant, why, by, wave in sorted(rows):
            found.decide("tenant.released", f"tenant/{tenant}", {"reason": why, "held_by": by, "wave": wave}, None)
    return sorted(TenantId(row[0]) for row in rows)


def check_free(conn: psycopg.Connection[Any], tenants: Sequence[TenantId]) -> None:
    """Refuse to move up a tenant that is held.

    Raises:
        PreconditionFailed: naming who is held, by whom and why.
    """
    holds = held(conn, tenants)
    if holds:
        first = holds[0]
        raise PreconditionFailed(
            f"{describe(holds).partition(';')[0]}: {first.tenant_id} by {first.held_by}: {first.reason}",
            hint="Release by name with: migrator tenant release TENANT --reason …",
        )

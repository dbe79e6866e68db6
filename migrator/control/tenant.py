"""Which tenants are there, what may gates believe about them, in which wave are they, and who holds them on classic?

Tenants belong to a wave by `migrator.tenant.wave`; one whose route was moved by that wave and is back on classic was
rolled back, by the guard or by an operator. Tenants that are held on classic wait for no wave and are moved by none.
"""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.db.named import load
from migrator.model.phase import TenantState
from migrator.model.tenant import TenantId

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "tenant.sql")


def tenants_by_state(conn: Connection) -> dict[TenantState, int]:
    """Return how many tenants are in each state; a state without tenants is left out."""
    return {TenantState(state): int(count) for state, count in conn.execute(_SQL["tenants_by_state"])}


def quarantined_tenants(conn: Connection) -> list[tuple[TenantId, str]]:
    """Return every quarantined tenant with the reason ('' when none was noted), by name."""
    return [(TenantId(tenant), reason or "") for tenant, reason in conn.execute(_SQL["quarantined_tenants"])]


def unvalidated_tenants(conn: Connection, max_age_s: float) -> tuple[int, int]:
    """Return how many mirrored tenants have divergent rows, and how many no clean validation within *max_age_s*."""
    row = conn.execute(_SQL["unvalidated_tenants"], {"max_age_s": max_age_s}).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)

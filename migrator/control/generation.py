"""Generations: the number of each copy of a tenant.

Every copy has a number, in the order of `migrator.generation`, which never goes back. A validation reads the
number in the snapshot in which it compares, and stores it with its verdict; if the tenant was taken out of the mirrored
set meanwhile, to be copied again, that verdict counts no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from migrator.db.named import load
from migrator.model.tenant import TenantId

_SQL = load("migrator.control", "generation.sql")

RENEW = sql.SQL(
    "generation = nextval('migrator.generation'), clean_at = NULL, clean_fence = NULL, clean_fingerprint = NULL,"
    " divergent = NULL, validated_at = NULL"
)
"""What UPDATE migrator.tenant sets where a copy ceases to count: its verdicts go with it."""


async def seen(
    classic: psycopg.AsyncConnection[Any], tenants: Sequence[TenantId] | None
) -> dict[TenantId | None, int | None]:
    """Return which copies of *tenants* (None: of the reference tables, under None) the snapshot of *classic* sees."""
    if tenants is None:
        cursor = await classic.execute(_SQL["of_reference"])
    else:
        cursor = await classic.execute(_SQL["of_tenants"], {"tenants": list(tenants)})
    return {None if t is None else TenantId(t): number for t, number in await cursor.fetchall()}

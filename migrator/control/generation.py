"""Which copy of a tenant does somebody speak of?

Every copy has a number, in the order of `migrator.generation`, which never goes back. Whoever looks at a copy remembers
its number from the snapshot he looks in, and says so with what he found; when the tenant was let go of meanwhile, to be
copied again, that counts no more.
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

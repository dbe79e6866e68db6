"""Which copy of a tenant does somebody speak of?

Every copy has a number, in the order of `migrator.generation`, which never goes back. Whoever looks at a copy remembers
its number from the snapshot he looks in, and says so with what he found; when the tenant was let go of meanwhile, to be
copied again, that counts no more.
"""

from __future__ import annotations

from psycopg import sql

RENEW = sql.SQL(
    "generation = nextval('migrator.generation'), clean_at = NULL, clean_fence = NULL, clean_fingerprint = NULL,"
    " divergent = NULL, validated_at = NULL"
)
"""What UPDATE migrator.tenant sets where a copy ceases to count: its verdicts go with it."""

OF_TENANTS = "SELECT tenant_id, generation FROM migrator.tenant WHERE tenant_id = ANY (%s)"
OF_REFERENCE = "SELECT NULL, max(generation) FROM migrator.copy_unit WHERE part = 0 AND NOT superseded"
"""Queries for (tenant or NULL, number)."""

"""Counts the rows of each tenant in each table: one pass over every sharded table."""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.audit.catalog import Catalog
from migrator.audit.evidence.live import Progress
from migrator.audit.shardkey.shape import Shape, Shapes, Step
from migrator.audit.sizing.tenants import TableCounts
from migrator.audit.sizing.tenants_sql import Count, per_tenant
from migrator.db.error_text import server_message

SAMPLE_ABOVE_ROWS = 200_000_000
"""Tables above this are sampled by default; a full pass over less is a sequential read of minutes."""

SAMPLED_ROWS = 20_000_000


def plan_counts(catalog: Catalog, shapes: Shapes, *, sample_above_rows: int, recent_xids: int) -> list[Count]:
    """Return what to count: every sharded table, and undecided ones whose tenant can be derived."""
    counts = []
    for relation in catalog.tables():
        shape = shapes.of(relation)
        if not (shape.sharded or shape.proposed) or shape.key is None:
            continue
        path, key = full_path(catalog, shapes, shape) if shape.derived else ((), shape.key)
        if key is None:
            continue
        estimate = relation.rows or 0
        pct = None
        if estimate > sample_above_rows and relation.kind == "table":
            pct = round(max(0.01, 100 * min(SAMPLED_ROWS, sample_above_rows) / estimate), 4)
        counts.append(Count(relation.qualified, key, path, pct, recent_xids))
    return counts


def full_path(catalog: Catalog, shapes: Shapes, shape: Shape) -> tuple[tuple[Step, ...], str | None]:
    """Return the steps to the ancestor that has the tenant column, and that column; (…, None) when it leads nowhere."""
    path = list(shape.via)
    for _ in range(8):
        parent = catalog.relations.get(path[-1].parent) if path else None
        above = shapes.of(parent) if parent is not None else None
        if parent is None or above is None or above.key is None:
            return tuple(path), None
        if not above.derived:
            return tuple(path), above.key
        path += above.via
    return tuple(path), None


def count_tenants(
    conn: psycopg.Connection[Any], counts: list[Count], catalog: Catalog, progress: Progress | None, problems: list[str]
) -> list[TableCounts]:
    """Count rows per tenant, table by table, in one read-only transaction each. A refusal is a problem."""
    found = []
    for number, count in enumerate(counts, 1):
        relation = catalog.relations[count.table]
        if progress:
            method = f", {count.sample_pct:g} % sample" if count.sample_pct else ""
            progress(
                f"counting tenants: {count.table} ({number} of {len(counts)}, about {relation.rows or 0:,} "
                f"rows{method})"
            )
        counted = TableCounts(count.table, sample_pct=count.sample_pct, bytes=relation.bytes, derived=bool(count.path))
        try:
            with conn.transaction():
                conn.execute("SET TRANSACTION READ ONLY /* migrator:audit */")
                with conn.cursor(name="migrator_audit_tenants") as cursor:
                    cursor.itersize = 5000
                    cursor.execute(per_tenant(count))
                    for tenant, rows, recent, missing in cursor:
                        counted.rows[tenant] = rows
                        counted.recent[tenant] = recent
                        counted.missing_parents += missing
        except psycopg.Error as error:
            if error.sqlstate is None or conn.closed:
                raise
            problems.append(f"tenants of {count.table} cannot be counted: {server_message(error)}")
            continue
        found.append(counted)
    return found

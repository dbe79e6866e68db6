"""Where exactly do two frozen sides differ? Digests, then buckets, then rows, then columns."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

from psycopg import sql

from migrator.consistency import digest_sql
from migrator.consistency.compare import (
    Digest,
    RowDifference,
    RowHash,
    bucket_count,
    differing,
    row_differences,
)
from migrator.consistency.fence import Connection, Fence
from migrator.model.divergence import Divergence
from migrator.model.side import Side
from migrator.model.table import Table
from migrator.model.tenant import TenantId

_BUCKETS_AT_ONCE = 16


async def _digests(conn: Connection, query: sql.Composed) -> dict[str | None, Digest]:
    cursor = await conn.execute(query)
    return {key: Digest(int(rows), int(total)) for key, rows, total in await cursor.fetchall()}


async def table_digests(
    fence: Fence, table: Table, tenants: Sequence[str]
) -> tuple[dict[str | None, Digest], dict[str | None, Digest]]:
    """Return (classic, limitless) digests per tenant; both sides work at the same time."""
    wanted = tenants if table.sharded else None
    classic, limitless = await asyncio.gather(
        _digests(fence.classic, digest_sql.digests(table, Side.CLASSIC, wanted)),
        _digests(fence.limitless, digest_sql.digests(table, Side.LIMITLESS, wanted)),
    )
    return classic, limitless


async def drill_down(
    fence: Fence, table: Table, tenant: TenantId | None, rows: int, limit: int, show_values: bool
) -> tuple[int, list[Divergence]]:
    """Return how many rows of one tenant's table differ, and up to *limit* of them with what differs."""
    buckets = bucket_count(rows)
    pairs = []
    for side, conn in ((Side.CLASSIC, fence.classic), (Side.LIMITLESS, fence.limitless)):
        cursor = await conn.execute(digest_sql.bucket_digests(table, side, tenant, buckets))
        pairs.append({int(b): Digest(int(n), int(total)) for b, n, total in await cursor.fetchall()})
    chosen = sorted(differing(pairs[0], pairs[1]))
    total = 0
    sample: list[Divergence] = []
    for start in range(0, len(chosen), _BUCKETS_AT_ONCE):
        some = chosen[start : start + _BUCKETS_AT_ONCE]
        found = row_differences(
            await _rows(fence.classic, digest_sql.bucket_rows(table, Side.CLASSIC, tenant, buckets, some)),
            await _rows(fence.limitless, digest_sql.bucket_rows(table, Side.LIMITLESS, tenant, buckets, some)),
        )
        total += len(found)
        for difference in found[: max(0, limit - len(sample))]:
            sample.append(await _describe(fence, table, tenant, difference, show_values))
    return total, sample


async def _rows(conn: Connection, query: sql.Composed) -> dict[tuple[str, ...], RowHash]:
    cursor = await conn.execute(query)
    return {tuple(key): RowHash(int(whole), tuple(columns)) for key, whole, columns in await cursor.fetchall()}


async def _describe(
    fence: Fence, table: Table, tenant: TenantId | None, difference: RowDifference, show_values: bool
) -> Divergence:
    """Return the divergence with the names of its columns and their values, hashed unless asked for."""
    names = [c.name for c in table.columns]
    columns = tuple(names[i] for i in difference.columns)
    values: list[tuple[str, str | None, str | None]] = []
    if columns:
        texts = []
        for side, conn in ((Side.CLASSIC, fence.classic), (Side.LIMITLESS, fence.limitless)):
            cursor = await conn.execute(digest_sql.row_values(table, side, tenant), (list(difference.key),))
            row = await cursor.fetchone()
            texts.append(row[0] if row else [None] * len(names))
        values = [
            (names[i], _shown(texts[0][i], show_values), _shown(texts[1][i], show_values)) for i in difference.columns
        ]
    return Divergence(
        table.qualified,
        tenant,
        tuple(zip(table.key, difference.key, strict=True)),
        difference.kind,
        columns,
        tuple(values),
    )


def _shown(value: str | None, show: bool) -> str | None:
    if value is None or show:
        return value
    return "#" + hashlib.sha256(value.encode()).hexdigest()[:12]

"""Where exactly do two frozen sides differ? Digests, then buckets of keys, then rows, then columns.

Counts are exact whatever the size; memory is bounded: rows of differing buckets are streamed from both sides in key
order, and only a sample is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from migrator.consistency import digest_sql
from migrator.consistency.compare import Digest, Key, Keyed, bucket_count, merge, split
from migrator.consistency.fence import Connection, Fence
from migrator.model.divergence import Divergence, DivergenceKind
from migrator.model.side import Side
from migrator.model.table import Table
from migrator.model.tenant import TenantId

_FETCH = 2000
_DESCRIBED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Showing:
    """How much of a divergence is shown: values in clear, or hashes with *salt*."""

    show_values: bool
    salt: str


async def _digests(conn: Connection, query: sql.Composed) -> dict[str | None, Digest]:
    cursor = await conn.execute(query)
    return {key: Digest(int(rows), int(total)) for key, rows, total in await cursor.fetchall()}


async def table_digests(
    fence: Fence, table: Table, tenants: Sequence[str]
) -> tuple[dict[str | None, Digest], dict[str | None, Digest]]:
    """Return (classic, limitless) digests of *tenants*; both sides work at the same time."""
    wanted = tenants if table.sharded else None
    sides = await asyncio.gather(
        _digests(fence.classic, digest_sql.digests(table, Side.CLASSIC, wanted)),
        _digests(fence.limitless, digest_sql.digests(table, Side.LIMITLESS, wanted)),
    )
    # Where a collation calls other tenants equal, the condition lets them through as well.
    asked = {None} if wanted is None else set(wanted)
    classic, limitless = ({t: d for t, d in side.items() if t in asked} for side in sides)
    return classic, limitless


async def drill_down(
    fence: Fence, table: Table, tenant: TenantId | None, rows: int, limit: int, showing: Showing
) -> tuple[int, list[Divergence]]:
    """Return how many rows of one tenant's table differ, and up to *limit* of them with what differs."""
    buckets = bucket_count(rows)
    classic, limitless = await asyncio.gather(
        _buckets(fence.classic, digest_sql.bucket_digests(table, Side.CLASSIC, tenant, buckets)),
        _buckets(fence.limitless, digest_sql.bucket_digests(table, Side.LIMITLESS, tenant, buckets)),
    )
    differ = split(classic, limitless)
    total = 0
    found: list[tuple[Key, DivergenceKind]] = []
    if differ.both:
        pairs = merge(
            _rows(fence.classic, digest_sql.bucket_rows(table, Side.CLASSIC, tenant, buckets, differ.both)),
            _rows(fence.limitless, digest_sql.bucket_rows(table, Side.LIMITLESS, tenant, buckets, differ.both)),
        )
        async for pair in pairs:
            total += 1
            if len(found) < limit:
                found.append(pair)
    for side, conn, chosen, digests, kind in (
        (Side.CLASSIC, fence.classic, differ.classic_only, classic, DivergenceKind.MISSING),
        (Side.LIMITLESS, fence.limitless, differ.limitless_only, limitless, DivergenceKind.EXTRA),
    ):
        total += sum(digests[bucket].rows for bucket in chosen)
        room = limit - len(found)
        if chosen and room > 0:
            query = digest_sql.some_keys(table, side, tenant, buckets, chosen, room)
            found += [(tuple(key), kind) for (key,) in await (await conn.execute(query)).fetchall()]
    found.sort()
    return total, await _described(fence, table, tenant, found, showing)


async def _buckets(conn: Connection, query: sql.Composed) -> dict[int, Digest]:
    cursor = await conn.execute(query)
    return {int(bucket): Digest(int(rows), int(total)) for bucket, rows, total in await cursor.fetchall()}


async def _rows(conn: Connection, query: sql.Composed) -> AsyncIterator[Keyed]:
    async with conn.cursor("migrator_rows") as cursor:
        cursor.itersize = _FETCH
        await cursor.execute(query)
        async for key, whole in cursor:
            yield tuple(key), int(whole)


@dataclass(frozen=True, slots=True)
class _Columns:
    hashes: Sequence[int]
    shown: Sequence[str | None]


async def _columns(
    conn: Connection, table: Table, side: Side, tenant: TenantId | None, keys: Sequence[Key], showing: Showing
) -> dict[Key, _Columns]:
    parameters: dict[str, object] = {f"k{i}": [key[i] for key in keys] for i in range(len(table.key))}
    query = digest_sql.row_columns(table, side, tenant, showing.show_values)
    cursor = await conn.execute(query, {**parameters, "salt": showing.salt})
    return {tuple(key): _Columns(hashes, shown) for key, hashes, shown in await cursor.fetchall()}


async def _described(
    fence: Fence,
    table: Table,
    tenant: TenantId | None,
    found: Sequence[tuple[Key, DivergenceKind]],
    showing: Showing,
) -> list[Divergence]:
    """Return the divergences with the names of the columns that differ, and their values as they may be shown."""
    names = [column.name for column in table.columns]
    described = []
    for start in range(0, len(found), _DESCRIBED_AT_ONCE):
        some = found[start : start + _DESCRIBED_AT_ONCE]
        keys = [key for key, kind in some if kind is DivergenceKind.MISMATCHED]
        here: dict[Key, _Columns] = {}
        there: dict[Key, _Columns] = {}
        if keys:
            here, there = await asyncio.gather(
                _columns(fence.classic, table, Side.CLASSIC, tenant, keys, showing),
                _columns(fence.limitless, table, Side.LIMITLESS, tenant, keys, showing),
            )
        for key, kind in some:
            differ: list[int] = []
            if kind is DivergenceKind.MISMATCHED:
                pairs = zip(here[key].hashes, there[key].hashes, strict=True)
                differ = [i for i, (a, b) in enumerate(pairs) if a != b]
            described.append(
                Divergence(
                    table.qualified,
                    tenant,
                    tuple(zip(table.key, key, strict=True)),
                    kind,
                    tuple(names[i] for i in differ),
                    tuple((names[i], here[key].shown[i], there[key].shown[i]) for i in differ),
                )
            )
    return described


async def fingerprint(fence: Fence, tables: Sequence[Table]) -> str:
    """Return the fingerprint of both schemas, as this fence sees them."""
    names = {"schemas": [table.schema for table in tables], "names": [table.name for table in tables]}
    halves = []
    for conn in (fence.classic, fence.limitless):
        row = await (await conn.execute(digest_sql.FINGERPRINT, names)).fetchone()
        halves.append(str(row[0]) if row else "")
    return ":".join(halves)

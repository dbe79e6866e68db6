"""Finds where two frozen sides differ: digests, then buckets of keys, then rows, then columns.

Counts are exact whatever the size; memory is bounded: rows of differing buckets are streamed from both sides in key
order, and only a sample is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from migrator.consistency import digest_sql
from migrator.consistency.compare import Bucket, Digest, Place, Placed, batches, merge, split
from migrator.consistency.fence import Connection, Fence
from migrator.model.divergence import Divergence, DivergenceKind
from migrator.model.side import Side
from migrator.model.table import Table
from migrator.model.tenant import TenantId

_FETCH = 2000
_NEARLY_ALL = 0.9
_DESCRIBED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Showing:
    """How much of a divergence is shown: values in clear, or hashes with *salt*."""

    show_values: bool
    salt: str


async def _digests(conn: Connection, query: sql.Composed) -> dict[str | None, Digest]:
    cursor = await conn.execute(query)
    return {key: Digest(int(rows), int(total)) for key, rows, total in await cursor.fetchall()}


async def digests(
    conn: Connection, table: Table, side: Side, tenants: Sequence[str], known: int
) -> dict[str | None, Digest]:
    """Return the digests of *tenants*, of *known* in all, on one side; of all rows of a table without tenants."""
    # Where nearly all tenants are asked for, hashing a few rows too many is cheaper than testing each row's tenant.
    wanted = tenants if table.sharded and len(tenants) < _NEARLY_ALL * known else None
    found = await _digests(conn, digest_sql.digests(table, side, wanted))
    # Where a collation calls other tenants equal, the condition lets them through as well.
    asked: set[str | None] = set(tenants) if table.sharded else {None}
    return {tenant: digest for tenant, digest in found.items() if tenant in asked}


async def table_digests(
    fence: Fence, table: Table, tenants: Sequence[str], known: int
) -> tuple[dict[str | None, Digest], dict[str | None, Digest]]:
    """Return (classic, limitless) digests of *tenants*, of *known* in all; both sides work at the same time."""
    classic, limitless = await asyncio.gather(
        digests(fence.classic, table, Side.CLASSIC, tenants, known),
        digests(fence.limitless, table, Side.LIMITLESS, tenants, known),
    )
    return classic, limitless


async def drill_down(
    fence: Fence, table: Table, sizes: Mapping[str | None, int], limit: int, showing: Showing
) -> tuple[dict[str | None, int], list[Divergence]]:
    """Return how many rows differ per tenant, and up to *limit* of them with what differs.

    Args:
        sizes: the tenants whose digests differ, with the rows of the larger side; {None: rows} without tenants.
    """
    totals: dict[str | None, int] = dict.fromkeys(sizes, 0)
    described: list[Divergence] = []
    # A table without tenants has one entry, called '' in buckets and places; in others '' is a tenant like any other.
    for tenants, buckets in batches({"" if tenant is None else tenant: rows for tenant, rows in sizes.items()}):
        counts, found = await _drill(fence, table, tenants, buckets, limit - len(described))
        for tenant, count in counts.items():
            totals[tenant if table.sharded else None] += count
        described += await _described(fence, table, found, showing)
    return totals, described


async def _drill(
    fence: Fence, table: Table, tenants: Sequence[str], buckets: int, limit: int
) -> tuple[dict[str, int], list[tuple[Place, DivergenceKind]]]:
    classic, limitless = await asyncio.gather(
        _buckets(fence.classic, digest_sql.bucket_digests(table, Side.CLASSIC, tenants, buckets), tenants),
        _buckets(fence.limitless, digest_sql.bucket_digests(table, Side.LIMITLESS, tenants, buckets), tenants),
    )
    differ = split(classic, limitless)
    totals = dict.fromkeys(tenants, 0)
    differences: list[tuple[Place, DivergenceKind]] = []
    if differ.both:
        pairs = merge(
            _rows(fence.classic, digest_sql.bucket_rows(table, Side.CLASSIC, buckets, differ.both)),
            _rows(fence.limitless, digest_sql.bucket_rows(table, Side.LIMITLESS, buckets, differ.both)),
        )
        async for place, kind in pairs:
            totals[place[0]] += 1
            if len(differences) < limit:
                differences.append((place, kind))
    for side, conn, chosen, digests, kind in (
        (Side.CLASSIC, fence.classic, differ.classic_only, classic, DivergenceKind.MISSING),
        (Side.LIMITLESS, fence.limitless, differ.limitless_only, limitless, DivergenceKind.EXTRA),
    ):
        for bucket in chosen:
            totals[bucket[0]] += digests[bucket].rows
        room = limit - len(differences)
        if chosen and room > 0:
            query = digest_sql.some_places(table, side, buckets, chosen, room)
            differences += [(tuple(place), kind) for (place,) in await (await conn.execute(query)).fetchall()]
    return totals, sorted(differences)


async def _buckets(conn: Connection, query: sql.Composed, tenants: Sequence[str]) -> dict[Bucket, Digest]:
    asked = set(tenants)
    cursor = await conn.execute(query)
    return {
        (tenant, int(bucket)): Digest(int(rows), int(total))
        for tenant, bucket, rows, total in await cursor.fetchall()
        if tenant in asked
    }


async def _rows(conn: Connection, query: sql.Composed) -> AsyncIterator[Placed]:
    async with conn.cursor("migrator_rows") as cursor:
        cursor.itersize = _FETCH
        await cursor.execute(query)
        async for place, whole in cursor:
            yield tuple(place), int(whole)


@dataclass(frozen=True, slots=True)
class _Columns:
    hashes: Sequence[int]
    shown: Sequence[str | None]


async def _columns(
    conn: Connection, table: Table, side: Side, places: Sequence[Place], showing: Showing
) -> dict[Place, _Columns]:
    tenants, *keys = (list(column) for column in zip(*places, strict=True))
    query = digest_sql.row_columns(table, side, sorted(set(tenants)), showing.show_values)
    cursor = psycopg.AsyncRawCursor(conn)
    await cursor.execute(query, [tenants, *keys, *([] if showing.show_values else [showing.salt])])
    return {tuple(place): _Columns(hashes, shown) for place, hashes, shown in await cursor.fetchall()}


async def _described(
    fence: Fence, table: Table, found: Sequence[tuple[Place, DivergenceKind]], showing: Showing
) -> list[Divergence]:
    """Return the divergences with the names of the columns that differ, and their values as they may be shown."""
    names = [column.name for column in table.columns]
    described = []
    for start in range(0, len(found), _DESCRIBED_AT_ONCE):
        some = found[start : start + _DESCRIBED_AT_ONCE]
        places = [place for place, kind in some if kind is DivergenceKind.MISMATCHED]
        here: dict[Place, _Columns] = {}
        there: dict[Place, _Columns] = {}
        if places:
            here, there = await asyncio.gather(
                _columns(fence.classic, table, Side.CLASSIC, places, showing),
                _columns(fence.limitless, table, Side.LIMITLESS, places, showing),
            )
        for place, kind in some:
            differ: list[int] = []
            if kind is DivergenceKind.MISMATCHED:
                pairs = zip(here[place].hashes, there[place].hashes, strict=True)
                differ = [i for i, (a, b) in enumerate(pairs) if a != b]
            tenant, *key = place
            described.append(
                Divergence(
                    table.qualified,
                    TenantId(tenant) if table.sharded else None,
                    tuple(zip(table.key, key, strict=True)),
                    kind,
                    tuple(names[i] for i in differ),
                    tuple((names[i], here[place].shown[i], there[place].shown[i]) for i in differ),
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


async def refilled(there: Connection, table: Table, tenants: Sequence[str]) -> bool:
    """Whether a table on Limitless that a fence sees empty of *tenants* holds rows of theirs now, as *there* sees it.

    TRUNCATE and rewriting empty a table for every snapshot taken before, whatever was in it; no catalog that all
    routers share tells.
    """
    row = await (await there.execute(digest_sql.any_row(table, Side.LIMITLESS, tenants))).fetchone()
    return bool(row and row[0])


async def shapes(classic: Connection, limitless: Connection, tables: Sequence[Table]) -> tuple[str, str]:
    """Return what both sides' tables are, as the transactions of these connections see it."""
    names = {"schemas": [table.schema for table in tables], "names": [table.name for table in tables]}

    async def one(conn: Connection, shape: str) -> str:
        row = await (await conn.execute(shape, names)).fetchone()
        return str(row[0]) if row else ""

    here, there = await asyncio.gather(one(classic, digest_sql.SHAPE), one(limitless, digest_sql.SHAPE_BY_NAME))
    return here, there

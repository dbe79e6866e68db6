"""Stores the state of every tenant's copy.

pending → copying → mirrored; a mirrored one may be quarantined, and every one may be copied again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from migrator.control.generation import RENEW
from migrator.control.partition import NEWEST
from migrator.db.named import load
from migrator.model.tenant import TenantSize

Connection = psycopg.Connection[Any]
AsyncConnection = psycopg.AsyncConnection[Any]

_SQL = load("migrator.control", "tenant_copy.sql")


def add_tenants(classic: Connection, part: int, tenants: Sequence[str]) -> None:
    """Let *tenants* of the partition that are not known be copied."""
    classic.execute(_SQL["add_tenants"], {"part": part, "tenants": list(tenants)})


async def add_tenants_async(classic: AsyncConnection, part: int, tenants: Sequence[str]) -> None:
    """As `meet`."""
    await classic.execute(_SQL["add_tenants"], {"part": part, "tenants": list(tenants)})


async def known(classic: AsyncConnection) -> set[str]:
    """Return every tenant."""
    return {str(tenant) for (tenant,) in await (await classic.execute(_SQL["known"])).fetchall()}


def pending(classic: Connection) -> list[tuple[str, int]]:
    """Return (tenant, partition) of every tenant whose copy has not begun."""
    return [(str(tenant), int(part)) for tenant, part in classic.execute(_SQL["pending"])]


async def set_copying(classic: AsyncConnection, tenants: Sequence[str]) -> None:
    """Record that pending *tenants* are being copied."""
    await classic.execute(_SQL["set_copying"], {"tenants": list(tenants)})


_SET_MIRRORED = sql.SQL(
    "UPDATE migrator.tenant SET state = 'mirrored', reason = NULL"
    " WHERE tenant_id = ANY (%(tenants)s) AND part = %(part)s AND state <> 'mirrored' AND {newest}"
).format(newest=NEWEST)


async def set_mirrored(classic: AsyncConnection, part: int, epoch: int, tenants: Sequence[str]) -> None:
    """Record that *tenants* are mirrored, unless a mirror with a later lease term than *epoch* has the partition."""
    await classic.execute(_SET_MIRRORED, {"part": part, "epoch": epoch, "tenants": list(tenants)})


async def leaving(classic: AsyncConnection, part: int) -> dict[str, str]:
    """Return the partition's tenants that are to leave the mirrored set, each with the reason."""
    rows = await (await classic.execute(_SQL["leaving"], {"part": part})).fetchall()
    return {str(tenant): str(reason) for tenant, reason in rows}


_MAY_BE_COPIED = sql.SQL(
    "UPDATE migrator.tenant SET state = 'pending', recopy = NULL, reason = NULL, {renew}"
    " WHERE part = %(part)s AND tenant_id = ANY (%(tenants)s) AND recopy IS NOT NULL AND {newest}"
).format(renew=RENEW, newest=NEWEST)


async def may_be_copied(classic: AsyncConnection, part: int, epoch: int, tenants: Sequence[str]) -> None:
    """Let *tenants*, which have left the mirrored set, be copied again.

    Not by a mirror that was superseded meanwhile (*epoch*): its successor may have them back by now.
    """
    await classic.execute(_MAY_BE_COPIED, {"part": part, "epoch": epoch, "tenants": list(tenants)})


_QUARANTINE = sql.SQL(
    "UPDATE migrator.tenant t SET state = 'quarantined', reason = u.reason, {renew}"
    " FROM unnest(%(tenants)s::text[], %(reasons)s::text[]) AS u (id, reason)"
    " WHERE t.tenant_id = u.id AND {newest}"
).format(renew=RENEW, newest=NEWEST)


async def quarantine(classic: AsyncConnection, part: int, epoch: int, reasons: Mapping[str, str]) -> None:
    """Quarantine the tenants of *reasons*, unless a mirror with a later lease term than *epoch* has the partition.

    What was validated before says nothing about the copy that will replace these rows.
    """
    values = {"part": part, "epoch": epoch, "tenants": list(reasons), "reasons": list(reasons.values())}
    await classic.execute(_QUARANTINE, values)


def quarantined(classic: Connection) -> list[tuple[str, str]]:
    """Return the quarantined tenants, each with the reason."""
    return [(str(tenant), str(reason)) for tenant, reason in classic.execute(_SQL["quarantined"])]


_RETRY = sql.SQL(
    "UPDATE migrator.tenant SET state = 'pending', reason = NULL, {renew} WHERE state = 'quarantined'"
    " AND (%(all)s OR tenant_id = ANY (%(tenants)s)) RETURNING tenant_id"
).format(renew=RENEW)


def retry(classic: Connection, tenants: Sequence[str] | None) -> list[str]:
    """Let quarantined *tenants* (None: all) be copied again; return them, by name."""
    rows = classic.execute(_RETRY, {"all": tenants is None, "tenants": list(tenants or ())})
    return sorted(str(tenant) for (tenant,) in rows)


_COPY_ALL_AGAIN = sql.SQL("UPDATE migrator.tenant SET state = 'pending', reason = NULL, recopy = NULL, {renew}").format(
    renew=RENEW
)


def copy_all_again(classic: Connection) -> int:
    """Let every tenant be copied again; return how many there are."""
    return classic.execute(_COPY_ALL_AGAIN).rowcount


_ASK_RECOPY = sql.SQL(
    "UPDATE migrator.tenant SET recopy = coalesce(recopy, %(reason)s), {renew}"
    " WHERE tenant_id = ANY (%(tenants)s) AND state IN ('mirrored', 'quarantined') RETURNING tenant_id"
).format(renew=RENEW)


def ask_recopy(classic: Connection, tenants: Sequence[str], reason: str) -> set[str]:
    """Ask the mirror to take *tenants* out of the mirrored set, so that they are copied again; return those with a
    copy."""
    rows = classic.execute(_ASK_RECOPY, {"reason": reason, "tenants": list(tenants)})
    return {str(tenant) for (tenant,) in rows}


def store_sizes(classic: Connection, sizes: Sequence[TenantSize], hot: Collection[str], part: sql.Composable) -> int:
    """Store every tenant found in the data, with its rows; return how many are new.

    *part* is the expression for the partition of tenant u.tenant.
    """
    query = sql.SQL(
        "INSERT INTO migrator.tenant AS t (tenant_id, part, rows, writes, hot)"
        " SELECT u.tenant, {part}, u.rows, u.writes, u.hot"
        " FROM unnest(%(tenants)s::text[], %(rows)s::bigint[], %(writes)s::bigint[], %(hot)s::boolean[])"
        "   AS u (tenant, rows, writes, hot)"
        " ON CONFLICT (tenant_id) DO UPDATE SET rows = EXCLUDED.rows, writes = EXCLUDED.writes, hot = EXCLUDED.hot"
        " RETURNING (xmax = 0)"
    ).format(part=part)
    values = {
        "tenants": [s.tenant_id for s in sizes],
        "rows": [s.rows for s in sizes],
        "writes": [s.writes for s in sizes],
        "hot": [s.tenant_id in hot for s in sizes],
    }
    return sum(1 for (inserted,) in classic.execute(query, values) if inserted)


def add_unknown(classic: Connection, tenants: Sequence[str], part: sql.Composable) -> list[str]:
    """Let *tenants* that are not known be copied; return those that were unknown. *part*: as in `store_sizes`."""
    query = sql.SQL(
        "INSERT INTO migrator.tenant (tenant_id, part) SELECT u.tenant, {part}"
        " FROM unnest(%(tenants)s::text[]) AS u (tenant) ON CONFLICT DO NOTHING RETURNING tenant_id"
    ).format(part=part)
    return [str(tenant) for (tenant,) in classic.execute(query, {"tenants": list(tenants)})]

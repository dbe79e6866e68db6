"""Reads and writes the holds that keep tenants on classic, and what is left of tenants without rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from migrator.db.named import load
from migrator.model.tenant import TenantId

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "tenant_hold.sql")


@dataclass(frozen=True, slots=True)
class Held:
    """One tenant that is held on classic.

    Attributes:
        wave: the rollback of which it was held by; None: by its own name.
        until: when it ends by itself; None: when it is released.
    """

    tenant_id: TenantId
    reason: str
    held_by: str
    held_at: datetime
    wave: int | None = None
    until: datetime | None = None


def holds(conn: Connection, tenants: Sequence[TenantId] | None = None, *, with_rows: bool = False) -> list[Held]:
    """Return those of *tenants* (None: of all) that are held now, ordered by tenant; *with_rows* without those that
    have no rows on either side."""
    rows = conn.execute(_SQL["holds"], {"all": tenants is None, "tenants": list(tenants or ()), "with_rows": with_rows})
    return [Held(TenantId(tenant), *rest) for tenant, *rest in rows]


def hold(
    conn: Connection, tenants: Sequence[TenantId], wave: int | None, who: str, reason: str, until: datetime | None
) -> list[TenantId]:
    """Hold *tenants* on classic, known to the tool or not; return those newly held, or to another date."""
    values = {"tenants": list(dict.fromkeys(tenants)), "wave": wave, "who": who, "reason": reason, "until": until}
    return sorted(TenantId(tenant) for (tenant,) in conn.execute(_SQL["hold"], values))


def release_hold(conn: Connection, tenants: Sequence[TenantId]) -> list[Held]:
    """Release *tenants*; return those that were held, in order."""
    return _ended(conn.execute(_SQL["release_hold"], {"tenants": list(tenants)}))


def end_holds(conn: Connection) -> list[Held]:
    """Delete the holds whose date has come; return them, in order."""
    return _ended(conn.execute(_SQL["end_holds"]))


def _ended(rows: psycopg.Cursor[Any]) -> list[Held]:
    return sorted((Held(TenantId(tenant), *rest) for tenant, *rest in rows), key=lambda held: held.tenant_id)


def has_come(conn: Connection, at: datetime) -> bool:
    """Return whether it is *at* by classic's clock, or later."""
    row = conn.execute(_SQL["has_come"], {"at": at}).fetchone()
    return bool(row and row[0])


def empty_tenants(conn: Connection, tenants: Sequence[TenantId]) -> frozenset[TenantId]:
    """Return those of *tenants* that have no rows on either side, as their last validation counted."""
    return frozenset(TenantId(t) for (t,) in conn.execute(_SQL["empty_tenants"], {"tenants": list(tenants)}))


def forget(conn: Connection, tenants: Sequence[TenantId], epoch: int, who: str, reason: str) -> None:
    """Put *tenants* where one is that the cutover has never met: on classic, in no wave, new."""
    values = {"tenants": list(tenants), "epoch": epoch, "who": who, "reason": reason}
    for statement in ("forget", "forget_routes", "forget_first"):
        conn.execute(_SQL[statement], values)

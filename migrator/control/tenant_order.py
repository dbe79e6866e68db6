"""Reads and writes what persons said about the wave in which a tenant moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from migrator.db.named import load
from migrator.model.phase import TenantState
from migrator.model.route import Level
from migrator.model.tenant import TenantId

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "tenant_order.sql")


@dataclass(frozen=True, slots=True)
class Order:
    """A tenant that moves in *wave*, or in the next one after it that is chosen."""

    tenant_id: TenantId
    wave: int
    ordered_by: str
    reason: str
    ordered_at: datetime


def orders(conn: Connection, tenants: Sequence[TenantId] | None = None) -> dict[TenantId, Order]:
    """Return the orders about *tenants* (None: about all), by wave and tenant."""
    rows = conn.execute(_SQL["orders"], {"all": tenants is None, "tenants": list(tenants or ())})
    return {TenantId(tenant): Order(TenantId(tenant), *rest) for tenant, *rest in rows}


def put(conn: Connection, tenants: Sequence[TenantId], wave: int, who: str, reason: str) -> list[TenantId]:
    """Have *tenants* move in *wave*; return those that were not ordered so already, in order."""
    values = {"tenants": list(dict.fromkeys(tenants)), "wave": wave, "who": who, "reason": reason}
    return sorted(TenantId(tenant) for (tenant,) in conn.execute(_SQL["put"], values))


def withdraw(conn: Connection, tenants: Sequence[TenantId]) -> list[TenantId]:
    """Delete the orders about *tenants*; return those there were, in order."""
    return sorted(TenantId(tenant) for (tenant,) in conn.execute(_SQL["withdraw"], {"tenants": list(tenants)}))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tenant stands, for somebody who wants it in another wave.

    Attributes:
        state: of its rows; None when none was copied yet.
        wave: that it was given; None: it waits for one.
        moved_in: the wave that moved its reads last.
        held, rolled_back: who did it, and why; None when it is not.
        quarantine: why it is quarantined, if it is.
    """

    tenant_id: TenantId
    state: TenantState | None
    wave: int | None
    hot: bool
    level: Level
    reads_pct: int
    moved_in: int | None
    held: str | None
    rolled_back: str | None
    quarantine: str | None


def places(conn: Connection, tenants: Sequence[TenantId]) -> list[Place]:
    """Return where *tenants* stand, in the order given, each once."""
    rows = conn.execute(_SQL["places"], {"tenants": list(dict.fromkeys(tenants))})
    return [
        Place(TenantId(tenant), TenantState(state) if state else None, wave, bool(hot), Level(level), *rest)
        for tenant, state, wave, hot, level, *rest in rows
    ]

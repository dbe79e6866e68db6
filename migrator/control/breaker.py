"""Reads and writes breakers, fallbacks and SLO breaches on classic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from migrator.db.named import load
from migrator.model.route import FallbackScope, Level, Trip
from migrator.model.tenant import TenantId

Connection = psycopg.Connection[Any]

_SQL = load("migrator.control", "breaker.sql")


def open_breakers(conn: Connection) -> list[Trip]:
    """Return the breakers that live processes hold open, the oldest first."""
    return [Trip(p, FallbackScope(s), k, r) for p, s, k, r in conn.execute(_SQL["open_breakers"])]


def forget_trips(conn: Connection, gone_s: float) -> None:
    """Remove breakers opened more than *gone_s* ago by processes that are no longer listed."""
    conn.execute(_SQL["forget_trips"], {"gone_s": gone_s})


class Fallback(NamedTuple):
    """One fallback: how low it keeps reads, and the epoch of its last change."""

    level: Level
    epoch: int


def fallback(conn: Connection, scope: FallbackScope, key: str) -> Fallback | None:
    """Return the fallback of a scope, None when there is none."""
    row = conn.execute(_SQL["fallback"], {"scope": scope.value, "key": key}).fetchone()
    return Fallback(Level(row[0]), int(row[1])) if row else None


def tenant_fallbacks(conn: Connection, tenants: Sequence[TenantId]) -> dict[TenantId, Fallback]:
    """Return the fallbacks of *tenants*, of those that have one of their own."""
    rows = conn.execute(_SQL["tenant_fallbacks"], {"tenants": list(tenants)})
    return {TenantId(tenant): Fallback(Level(level), int(epoch)) for tenant, level, epoch in rows}


def hold_tenant_fallbacks(conn: Connection, tenants: Sequence[TenantId]) -> None:
    """Let only a person clear the fallbacks of *tenants*."""
    conn.execute(_SQL["hold_tenant_fallbacks"], {"tenants": list(tenants)})


def put_tenant_fallbacks(conn: Connection, reasons: Mapping[TenantId, str], epoch: int, by: str, held: bool) -> None:
    """Put a fallback to classic on each tenant of *reasons*, and log it."""
    values = {"tenants": list(reasons), "reasons": list(reasons.values()), "epoch": epoch, "by": by, "held": held}
    conn.execute(_SQL["put_tenant_fallbacks"], values)


def fallback_reasons(conn: Connection) -> list[str]:
    """Return why reads have fallen back: the reason of every fallback in force, by scope."""
    return [str(reason) for (reason,) in conn.execute(_SQL["fallback_reasons"])]


class StandingFallback(NamedTuple):
    """A fallback in force.

    Attributes:
        held: a person raised it (a manual fallback).
        age_s: since it was raised.
        recent: how often the same one was raised within the time asked about, this time included.
        quarantined: it covers a tenant whose rows Limitless refused.
    """

    scope: FallbackScope
    key: str
    level: Level
    held: bool
    raised_at: datetime
    age_s: float
    recent: int
    quarantined: bool


def fallbacks(conn: Connection, lately_s: float) -> list[StandingFallback]:
    """Return every fallback in force, the oldest first; `recent` counts the last *lately_s* seconds."""
    rows = conn.execute(_SQL["fallbacks"], {"lately_s": lately_s})
    return [StandingFallback(FallbackScope(scope), key, Level(level), *rest) for scope, key, level, *rest in rows]


def ease_fallback(conn: Connection, scope: FallbackScope, key: str, epoch: int) -> None:
    """Put a fallback at JOINING."""
    conn.execute(_SQL["ease_fallback"], {"scope": scope.value, "key": key, "epoch": epoch})


def clear_fallback(conn: Connection, scope: FallbackScope, key: str) -> None:
    """Clear a fallback."""
    conn.execute(_SQL["clear_fallback"], {"scope": scope.value, "key": key})


@dataclass(frozen=True, slots=True)
class Breach:
    """Limits that are exceeded now, or were until shortly before the last check. Times in seconds of classic's
    clock."""

    first_s: float
    last_s: float
    reason: str
    recorded: bool = False


def lock_breaches(conn: Connection) -> None:
    """Keep other sessions from checking breaches before the caller's transaction ends."""
    conn.execute(_SQL["lock_breaches"])


def breaches(conn: Connection) -> dict[TenantId | None, Breach]:
    """Return the breaches that the last check stored, by tenant; None: the reads of all tenants together."""
    rows = conn.execute(_SQL["breaches"])
    return {None if tenant is None else TenantId(tenant): Breach(*row) for tenant, *row in rows}


def keep_breaches(conn: Connection, standing: Mapping[TenantId | None, Breach]) -> None:
    """Store *standing* as the present breaches; when one was recorded stays as it was."""
    known = [tenant for tenant in standing if tenant is not None]
    conn.execute(_SQL["forget_breaches"], {"everybody": None in standing, "tenants": known})
    values = {
        "tenants": list(standing),
        "first_s": [breach.first_s for breach in standing.values()],
        "last_s": [breach.last_s for breach in standing.values()],
        "reasons": [breach.reason for breach in standing.values()],
        "recorded": [breach.recorded for breach in standing.values()],
    }
    conn.execute(_SQL["put_breaches"], values)

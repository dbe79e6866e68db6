"""Stores what Limitless used, by the hour, and what was found at the last look at its capacity.

Quantities are stored, not money: prices are the plan's, and each hour has those that were in force when it began.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from migrator.control import history
from migrator.db.named import load
from migrator.model.cost import Basis, Prices, Stored, Used

Connection = psycopg.Connection[Any]

DAYS = 400
"""How long hours are kept: 9,600 rows, below 1 MB."""

REPORT = "capacity"
"""Kind of the report that holds the last look; one, replaced."""

GIB = 2**30

_LOCK = 0x6D696763
""""migc": the advisory lock of the session that looks at Limitless."""

_SQL = load("migrator.control", "cost.sql")


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour of Limitless. acu: mean of the writers; standby_acu, peak_acu, bytes: None where unknown."""

    at: datetime
    acu: float
    peak_acu: float | None = None
    standby_acu: float | None = None
    bytes: float | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """When the first and the last hour that is known began (None: none is), and classic's clock."""

    first: datetime | None
    last: datetime | None
    now: datetime


def take_turn(conn: Connection) -> bool:
    """Return whether *conn*'s session is the one that looks at Limitless; it is until it ends. One at a time."""
    row = conn.execute(_SQL["take_turn"], {"lock": _LOCK}).fetchone()
    return bool(row and row[0])


def put(conn: Connection, hours: Sequence[Hour], basis: Basis) -> None:
    """Store *hours*, and forget those that are too old. A model replaces nothing that was measured."""
    if hours:
        values = {
            "at": [h.at for h in hours],
            "acu": [h.acu for h in hours],
            "peak": [h.peak_acu for h in hours],
            "standby": [h.standby_acu for h in hours],
            "bytes": [h.bytes for h in hours],
            "basis": basis.value,
        }
        conn.execute(_SQL["put"], values)
    conn.execute(_SQL["forget"], {"days": DAYS})


def last_measured(conn: Connection) -> datetime | None:
    """Return when the last hour began that CloudWatch measured."""
    row = conn.execute(_SQL["last_measured"]).fetchone()
    return row[0] if row else None


def seen(conn: Connection) -> Seen:
    """Return what is stored, and what time it is on classic."""
    row = conn.execute(_SQL["seen"]).fetchone()
    assert row is not None
    return Seen(*row)


def stored_days(conn: Connection, since: datetime, now: datetime, prices: Sequence[Prices]) -> list[Stored]:
    """Return what is known of the time from *since* to *now*, added up by day, basis and price.

    Args:
        prices: of every period, the first one first; the first is in force from the beginning.
    """
    changes = [price.since for price in prices[1:]]
    rows = conn.execute(_SQL["days"], {"since": since, "now": now, "changes": changes})
    return [
        Stored(day, price, Basis(basis), Used(hours, acu, size / GIB, with_size), peak, unknown)
        for day, price, basis, hours, acu, size, with_size, peak, unknown in rows
    ]


def prices(conn: Connection, plan_id: str, present: Mapping[str, Any]) -> tuple[Prices, ...]:
    """Return the prices of every version of the plan, as far as they differ, the first one first.

    Args:
        present: section `cost` of the plan that runs.
    """
    versions = [(at, section or {}) for at, section in conn.execute(_SQL["prices"], {"plan_id": plan_id})]
    last = versions[-1][0] if versions else None
    found: list[Prices] = []
    for at, section in [*versions, (last, present)]:
        acu, storage = (float(section.get(name) or 0) or None for name in ("acu_hour_usd", "storage_gb_month_usd"))
        if not found or (found[-1].acu_hour_usd, found[-1].storage_gb_month_usd) != (acu, storage):
            found.append(Prices(acu, storage, at if found else None))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class LargeTenant:
    """rows: of all its tables. bytes: as they were copied; None: nothing of it was. Both of all tenants besides."""

    tenant: str
    rows: int
    bytes: float | None
    all_rows: float
    all_bytes: float | None


def large_tenants(conn: Connection, limit: int) -> list[LargeTenant]:
    """Return the largest tenants, from what copies and validations counted; no table of the application is read."""
    rows = conn.execute(_SQL["large_tenants"], {"limit": limit})
    return [LargeTenant(str(tenant), int(n), size, total, whole) for tenant, n, size, total, whole in rows]


def keep_look(conn: Connection, body: Mapping[str, Any]) -> None:
    """Keep what was found, in place of what was found before."""
    history.replace_report(conn, REPORT, body)


def last_look(conn: Connection) -> tuple[datetime, dict[str, Any]] | None:
    """Return when Limitless was last looked at, and what was found; None before the first look."""
    found = history.newest_report(conn, REPORT)
    return None if found is None else (found["at"], dict(found["body"]))


def audited_share(conn: Connection) -> float | None:
    """Return the share of calls that the last audit expects on one shard, 0 to 1; None where it saw no call."""
    row = conn.execute(_SQL["audited"]).fetchone()
    return 1.0 - float(row[0]) if row and row[0] is not None and row[1] else None

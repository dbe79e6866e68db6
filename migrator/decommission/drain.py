"""Have the mirrors everything, and can none of them write any more?

Positions are read where they are true, on Limitless.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg

from migrator.errors import NoGo, PreconditionFailed
from migrator.model.position import Snapshot
from migrator.model.tenant import TenantId

Connection = psycopg.Connection[Any]


def behind(limitless: Connection, snapshot: Snapshot) -> list[int]:
    """Return partitions that have not reached *snapshot*."""
    rows = limitless.execute("SELECT part, snapshot FROM migrator.mirror_position ORDER BY part").fetchall()
    if not rows:
        raise PreconditionFailed("Limitless knows no mirror partition")
    return [int(part) for part, position in rows if not Snapshot.parse(position).includes(snapshot)]


def unknown_tenants(classic: Connection) -> list[TenantId]:
    """Return tenants that do not follow classic: nothing is known about their rows on Limitless."""
    rows = classic.execute("SELECT tenant_id FROM migrator.tenant WHERE state <> 'mirrored' ORDER BY tenant_id")
    return [TenantId(tenant) for (tenant,) in rows]


def changed_tenants(classic: Connection, margin_s: float) -> list[TenantId]:
    """Return tenants changed since their last clean validation.

    Both moments are noted some time after what they stand for, so what is close together counts as changed.
    """
    rows = classic.execute(
        "SELECT tenant_id FROM migrator.gate_fact"
        " WHERE clean_at IS NULL OR coalesce(divergent, 1) > 0 OR changed_at > clean_at - make_interval(secs => %s)"
        " ORDER BY tenant_id",
        (margin_s,),
    )
    return [TenantId(tenant) for (tenant,) in rows]


def changed_since(classic: Connection, at: datetime, margin_s: float) -> tuple[list[TenantId], bool]:
    """Return the tenants that changed since *at*, and whether a reference table did."""
    rows = classic.execute(
        "SELECT tenant_id FROM migrator.tenant WHERE changed_at > %s - make_interval(secs => %s) ORDER BY tenant_id",
        (at, margin_s),
    ).fetchall()
    row = classic.execute(
        "SELECT EXISTS (SELECT FROM migrator.heartbeat WHERE part = 0"
        " AND reference_at > %s - make_interval(secs => %s))",
        (at, margin_s),
    ).fetchone()
    return [TenantId(tenant) for (tenant,) in rows], bool(row and row[0])


def reference_changed(classic: Connection, margin_s: float) -> bool:
    """Return whether a reference table changed since the last clean validation of them; False when there is none."""
    row = classic.execute(
        "SELECT f.clean_at IS NULL OR coalesce(f.divergent, 1) > 0"
        " OR h.reference_at > f.clean_at - make_interval(secs => %s)"
        " FROM migrator.reference_fact f LEFT JOIN migrator.heartbeat h ON h.part = 0",
        (margin_s,),
    ).fetchone()
    return bool(row and row[0])


def nobodys_changed(classic: Connection, margin_s: float) -> bool:
    """Return whether a row of no tenant was written since all of them were looked for before the pause."""
    row = classic.execute(
        "SELECT coalesce(bool_or(h.nobody_at > v.at - make_interval(secs => %s)), false) OR v.at IS NULL"
        " FROM (SELECT max(started_at) AS at FROM migrator.validation"
        "        WHERE whole AND finished_at IS NOT NULL AND kind = 'decommission') v"
        " LEFT JOIN migrator.heartbeat h ON true GROUP BY v.at",
        (margin_s,),
    ).fetchone()
    return bool(row and row[0])


def close_positions(limitless: Connection, snapshot: Snapshot) -> None:
    """Take every partition and every copy lease away from whoever holds it, for good.

    One compare-and-swap per row: a mirror that wakes up late finds another epoch and the state closed, and stops
    before it writes. Safe to run twice.

    Raises:
        NoGo: a partition is not at *snapshot*; the caller reopens.
    """
    with limitless.transaction():
        limitless.execute(
            "UPDATE migrator.mirror_position SET state = 'closed', epoch = epoch + 1 WHERE state = 'open'"
        )
        late = behind(limitless, snapshot)
        if late:
            raise NoGo("decommission", [f"mirror partition {part} has not reached the last write" for part in late])
        limitless.execute("UPDATE migrator.copy_lease SET state = 'closed', epoch = epoch + 1 WHERE state <> 'closed'")


def closed(limitless: Connection, snapshot: Snapshot) -> bool:
    """Return whether all positions are closed and hold everything up to *snapshot*."""
    row = limitless.execute("SELECT bool_and(state = 'closed') FROM migrator.mirror_position").fetchone()
    return bool(row and row[0]) and not behind(limitless, snapshot)


def reopen_positions(limitless: Connection) -> None:
    """Let mirrors take their partitions again; safe to run twice."""
    with limitless.transaction():
        limitless.execute(
            "UPDATE migrator.mirror_position SET state = 'open', epoch = epoch + 1 WHERE state = 'closed'"
        )
        limitless.execute("UPDATE migrator.copy_lease SET state = 'joined', epoch = epoch + 1 WHERE state = 'closed'")

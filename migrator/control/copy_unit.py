"""Stores copy units: what the backfill copies, their leases, and the snapshots that are lent meanwhile.

A unit's lease on Limitless (`migrator.copy_lease`) commits together with its rows, so it is the truth; classic's
`migrator.copy_unit` follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from migrator.control.pace import FRESH_S
from migrator.db.named import load

Connection = psycopg.Connection[Any]
AsyncConnection = psycopg.AsyncConnection[Any]

_SQL = load("migrator.control", "copy_unit.sql")


@dataclass(frozen=True, slots=True)
class StoredUnit:
    """A unit as it is planned.

    Attributes:
        tenants: empty for the reference tables.
        table: only this table, when set.
        but: else every table except these.
        lower, upper: only keys with lower <= first key column < upper, as texts, when set.
        state: pending, copying, copied, joined or failed.
    """

    unit_id: str
    part: int
    tenants: tuple[str, ...]
    table: str | None
    but: tuple[str, ...]
    lower: str | None
    upper: str | None
    state: str

    @property
    def shared(self) -> str | None:
        """The huge tenant that this unit is a part of; None when it has its tenants to itself."""
        return self.tenants[0] if self.table is not None or self.but else None

    @property
    def is_range(self) -> bool:
        """Whether other units copy other rows of the same table and tenant."""
        return self.lower is not None or self.upper is not None


async def find(classic: AsyncConnection, unit: str) -> StoredUnit | None:
    """Return the unit; None when there is none of this id."""
    row = await (await classic.execute(_SQL["unit"], {"unit": unit})).fetchone()
    if row is None:
        return None
    return StoredUnit(row[0], row[1], tuple(row[2]), row[3], tuple(row[4]), row[5], row[6], row[7])


async def begin(classic: AsyncConnection, unit: str, worker: str) -> None:
    """Record that *worker* copies the unit from the beginning."""
    await classic.execute(_SQL["begin"], {"unit": unit, "worker": worker})


async def report_progress(
    classic: AsyncConnection, unit: str, rows: int, size: int
) -> tuple[float | None, int, float] | None:
    """Record how many rows and bytes of the unit are copied; return the MB/s for all copies (None: no limit), how many
    run, and the share of their pace that both sides allow now."""
    values = {"unit": unit, "rows": rows, "bytes": size, "fresh_s": FRESH_S}
    row = await (await classic.execute(_SQL["report_progress"], values)).fetchone()
    return (row[0], int(row[1]), float(row[2])) if row is not None else None


async def set_copied(classic: AsyncConnection, unit: str) -> None:
    """Record that the unit is copied, unless it is enrolled by now."""
    await classic.execute(_SQL["set_copied"], {"unit": unit})


async def set_joined(classic: AsyncConnection, units: Sequence[str]) -> None:
    """Record that the tenants of *units* are enrolled."""
    await classic.execute(_SQL["set_joined"], {"units": list(units)})


def supersede_all(classic: Connection) -> None:
    """Supersede every unit: everything is to be copied again."""
    classic.execute(_SQL["supersede_all"])


async def not_joined(classic: AsyncConnection, part: int) -> list[tuple[str, tuple[str, ...]]]:
    """Return (unit, tenants) of every unit of the partition that is not enrolled; no tenants: reference tables."""
    rows = await (await classic.execute(_SQL["not_joined"], {"part": part})).fetchall()
    return [(str(unit), tuple(tenants)) for unit, tenants in rows]


def copying_since_before(classic: Connection, at: float) -> list[str]:
    """Return the units that are copied since before *at*, in seconds of classic's clock since 1970."""
    return [str(unit) for (unit,) in classic.execute(_SQL["copying_since_before"], {"at": at})]


def lock_plan(classic: Connection) -> None:
    """Keep other sessions from planning units until the caller's transaction ends."""
    classic.execute(_SQL["lock_plan"])


def covered(classic: Connection) -> set[str]:
    """Return the tenants that have a unit which is not enrolled."""
    return {str(tenant) for (tenant,) in classic.execute(_SQL["covered"])}


def has_reference(classic: Connection) -> bool:
    """Return whether there is a unit of the reference tables that counts."""
    row = classic.execute(_SQL["has_reference"]).fetchone()
    return bool(row and row[0])


def count(classic: Connection) -> int:
    """Return how many units there are, of all states."""
    row = classic.execute(_SQL["count"]).fetchone()
    return int(row[0]) if row else 0


def add(classic: Connection, unit: StoredUnit, rows: int) -> None:
    """Store a unit that is yet to be copied; *rows* is an estimate."""
    values = {"unit": unit.unit_id, "part": unit.part, "tenants": list(unit.tenants), "table": unit.table}
    rest = {"but": list(unit.but), "lower": unit.lower, "upper": unit.upper, "rows": rows}
    classic.execute(_SQL["add"], {**values, **rest})


def to_copy(classic: Connection) -> list[str]:
    """Return the units that are not copied yet: reference tables first, then large ones first."""
    return [str(unit) for (unit,) in classic.execute(_SQL["to_copy"])]


async def lent(classic: AsyncConnection, tenant: str, unit: str) -> tuple[str, int] | None:
    """Return a snapshot of *tenant* that another unit lends: its name, and the transaction its retention pin keeps;
    or None.

    A lender without a retention pin was superseded: what its snapshot does not see may have left the journal.
    """
    row = await (await classic.execute(_SQL["lent"], {"tenant": tenant, "unit": unit})).fetchone()
    return (str(row[0]), int(row[1])) if row is not None else None


async def lend(
    classic: AsyncConnection,
    unit: str,
    tenant: str,
    exported: str | None,
    pid: int | None,
    backend_start: datetime | None,
) -> None:
    """Let other units of *tenant* borrow the snapshot *exported* of the session (*pid*, *backend_start*)."""
    values = {"unit": unit, "tenant": tenant, "exported": exported, "pid": pid, "backend_start": backend_start}
    await classic.execute(_SQL["lend"], values)


async def take_lease(limitless: AsyncConnection, unit: str, part: int, tenants: Sequence[str]) -> bool:
    """Take the lease of a unit that is not copied yet, in the caller's transaction; False when it is."""
    values = {"unit": unit, "part": part, "tenants": list(tenants)}
    return (await limitless.execute(_SQL["take_lease"], values)).rowcount == 1


async def lease(limitless: AsyncConnection, unit: str) -> tuple[int, str] | None:
    """Return the lease's (term, state: copying, copied, joined or closed); None before it was first taken."""
    row = await (await limitless.execute(_SQL["lease"], {"unit": unit})).fetchone()
    return (int(row[0]), str(row[1])) if row is not None else None


async def anything_copied(limitless: AsyncConnection) -> bool:
    """Return whether a copy unit was ever leased, or a tenant enrolled, so that rows there belong to the migration."""
    row = await (await limitless.execute(_SQL["anything_copied"])).fetchone()
    return bool(row and row[0])


async def finish_lease(limitless: AsyncConnection, unit: str, epoch: int, snapshot: str, rows: int) -> bool:
    """Record that the unit was copied at *snapshot*, in the transaction of its rows; False without the lease."""
    values = {"unit": unit, "epoch": epoch, "snapshot": snapshot, "rows": rows}
    return (await limitless.execute(_SQL["finish_lease"], values)).rowcount == 1


async def copied_leases(limitless: AsyncConnection, part: int) -> list[tuple[str, str]]:
    """Return (unit, pg_snapshot it was copied at, as text) of the partition's units that wait to be enrolled."""
    rows = await (await limitless.execute(_SQL["copied_leases"], {"part": part})).fetchall()
    return [(str(unit), str(snapshot)) for unit, snapshot in rows]


async def joined_leases(limitless: AsyncConnection, part: int) -> list[str]:
    """Return the partition's units that are enrolled."""
    rows = await (await limitless.execute(_SQL["joined_leases"], {"part": part})).fetchall()
    return [str(unit) for (unit,) in rows]


async def join_leases(limitless: AsyncConnection, units: Sequence[str]) -> None:
    """Enroll copied *units*, in the transaction that makes their tenants members."""
    await limitless.execute(_SQL["join_leases"], {"units": list(units)})


def revoke_leases(limitless: Connection, units: Sequence[str]) -> None:
    """Take the leases of *units* away from their copies."""
    limitless.execute(_SQL["revoke_leases"], {"units": list(units)})


def close_leases(limitless: Connection) -> None:
    """Close every lease, so that no copy can commit; safe to run twice."""
    limitless.execute(_SQL["close_leases"])


def reopen_leases(limitless: Connection) -> None:
    """Reopen closed leases, as enrolled ones; safe to run twice."""
    limitless.execute(_SQL["reopen_leases"])


def failed_units(conn: Connection) -> list[tuple[str, str]]:
    """Return every unit that failed, with its problem, by unit."""
    return [(str(unit), str(problem)) for unit, problem in conn.execute(_SQL["failed_units"])]


def reference_units_left(conn: Connection) -> int:
    """Return how many units of reference tables are not enrolled yet."""
    row = conn.execute(_SQL["reference_units_left"]).fetchone()
    return int(row[0]) if row else 0


def mark_unit_failed(conn: Connection, unit: str, problem: str) -> None:
    """Record that *unit* failed, and why; one that is enrolled stays."""
    conn.execute(_SQL["mark_unit_failed"], {"unit": unit, "problem": problem})


def retry_failed_units(conn: Connection) -> None:
    """Have every failed unit copied again."""
    conn.execute(_SQL["retry_failed_units"])

"""Which tenants were copied and may follow classic from now on?

A tenant joins when all its copy units are copied. The lease rows on Limitless are the truth, because they
committed together with the copied rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from migrator.mirror import position
from migrator.mirror.batch import REFERENCE
from migrator.mirror.partition import Partition
from migrator.model.position import Snapshot, earliest

Connection = psycopg.AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Joiners:
    """Tenants that join in this cycle, each with the earliest snapshot one of its units was copied at."""

    tenants: tuple[tuple[str, Snapshot], ...] = ()
    units: tuple[str, ...] = ()


def decide(units: list[tuple[str, tuple[str, ...]]], copied: dict[str, Snapshot]) -> Joiners:
    """Return who may join.

    Args:
        units: every unit of the partition that has not joined: id and tenants (none: reference tables).
        copied: units that are copied, with their snapshot.
    """
    snapshots: dict[str, list[Snapshot]] = {}
    waiting: set[str] = set()
    for unit, tenants in units:
        for tenant in tenants or (REFERENCE,):
            if unit in copied:
                snapshots.setdefault(tenant, []).append(copied[unit])
            else:
                waiting.add(tenant)
    ready = {t for t in snapshots if t not in waiting}
    joined = tuple(
        unit for unit, tenants in units if unit in copied and all(t in ready for t in tenants or (REFERENCE,))
    )
    # A unit joins as a whole, so a tenant joins only when every unit it is in does.
    held_back = {t for unit, tenants in units if unit not in joined for t in tenants or (REFERENCE,)}
    chosen = sorted(ready - held_back)
    return Joiners(
        tuple((t, earliest(snapshots[t])) for t in chosen),
        tuple(
            unit for unit, tenants in units if unit in joined and not held_back.intersection(tenants or (REFERENCE,))
        ),
    )


async def find(classic: Connection, limitless: Connection, part: int) -> Joiners:
    """Return who joins *part* now."""
    rows = await (
        await classic.execute(
            "SELECT unit_id, tenants FROM migrator.copy_unit WHERE part = %s AND state <> 'joined'", (part,)
        )
    ).fetchall()
    units = [(str(unit), tuple(tenants)) for unit, tenants in rows]
    leases = await (
        await limitless.execute(
            "SELECT unit_id, snapshot FROM migrator.copy_lease WHERE part = %s AND state = 'copied'", (part,)
        )
    ).fetchall()
    known = {unit for unit, _ in units}
    copied = {str(unit): Snapshot.parse(snapshot) for unit, snapshot in leases if unit in known}
    return decide(units, copied)


async def record(limitless: Connection, part: int, joiners: Joiners) -> None:
    """Make the joiners members, in the transaction that moves the position."""
    await limitless.execute(
        "INSERT INTO migrator.mirrored (part, tenant_id) SELECT %s, unnest(%s::text[])"
        " ON CONFLICT (part, tenant_id) DO NOTHING",
        (part, [t for t, _ in joiners.tenants]),
    )
    await limitless.execute(
        "UPDATE migrator.copy_lease SET state = 'joined' WHERE unit_id = ANY (%s) AND state = 'copied'",
        (list(joiners.units),),
    )


async def members(limitless: Connection, part: int) -> set[str]:
    """Return the tenants that follow classic in *part*."""
    rows = await (
        await limitless.execute("SELECT tenant_id FROM migrator.mirrored WHERE part = %s", (part,))
    ).fetchall()
    return {str(t) for (t,) in rows}


async def publish(classic: Connection, limitless: Connection, part: int, epoch: int) -> None:
    """Bring classic's copy of tenant and unit states up to Limitless's truth, after a join or a restart.

    Not by a mirror that was superseded meanwhile: what it read there may be long gone.
    """
    joined = await (
        await limitless.execute("SELECT unit_id FROM migrator.copy_lease WHERE part = %s AND state = 'joined'", (part,))
    ).fetchall()
    current = sorted(await members(limitless, part)) if part else []
    async with classic.transaction():
        units = [str(u) for (u,) in joined]
        await classic.execute(
            "UPDATE migrator.copy_unit SET state = 'joined', finished_at = coalesce(finished_at, clock_timestamp())"
            " WHERE unit_id = ANY (%s) AND state <> 'joined'",
            (units,),
        )
        await classic.execute("DELETE FROM migrator.hold WHERE holder = ANY (%s)", (units,))
        await classic.execute(
            sql.SQL(
                "UPDATE migrator.tenant SET state = 'mirrored', reason = NULL"
                " WHERE tenant_id = ANY (%s) AND part = %s AND state <> 'mirrored' AND {}"
            ).format(position.NEWEST),
            (current, part, part, epoch),
        )


async def meet(p: Partition, strangers: set[str]) -> None:
    """Tell classic, once, of tenants that write and are not copied: somebody has to copy them."""
    new = strangers - p.strangers
    if new:
        await p.control.execute(
            "INSERT INTO migrator.tenant (tenant_id, part) SELECT unnest(%s::text[]), %s ON CONFLICT DO NOTHING",
            (sorted(new), p.part),
        )
        p.strangers |= new

"""Enrolls copied tenants in the mirrored set.

A tenant is enrolled when all its copy units are copied. The lease rows on Limitless are the truth, because they
committed together with the copied rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.control import copy_unit, journal, tenant_copy
from migrator.control import partition as partitions
from migrator.dataplane.mirror.batch import REFERENCE
from migrator.dataplane.mirror.partition import Partition
from migrator.model.position import Snapshot, earliest

Connection = psycopg.AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Enrolling:
    """Tenants that are enrolled in this cycle, each with the earliest snapshot one of its units was copied at."""

    tenants: tuple[tuple[str, Snapshot], ...] = ()
    units: tuple[str, ...] = ()


def decide(units: list[tuple[str, tuple[str, ...]]], copied: dict[str, Snapshot]) -> Enrolling:
    """Return the tenants that may be enrolled.

    Args:
        units: every unit of the partition that is not enrolled: id and tenants (none: reference tables).
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
    # A unit is enrolled as a whole, so a tenant is enrolled only when every unit it is in is.
    held_back = {t for unit, tenants in units if unit not in joined for t in tenants or (REFERENCE,)}
    chosen = sorted(ready - held_back)
    return Enrolling(
        tuple((t, earliest(snapshots[t])) for t in chosen),
        tuple(
            unit for unit, tenants in units if unit in joined and not held_back.intersection(tenants or (REFERENCE,))
        ),
    )


async def find(classic: Connection, limitless: Connection, part: int) -> Enrolling:
    """Return who joins *part* now."""
    units = await copy_unit.not_joined(classic, part)
    known = {unit for unit, _ in units}
    leases = await copy_unit.copied_leases(limitless, part)
    return decide(units, {unit: Snapshot.parse(snapshot) for unit, snapshot in leases if unit in known})


async def record(limitless: Connection, part: int, enrolling: Enrolling) -> None:
    """Make the enrolling tenants members, in the transaction that moves the checkpoint."""
    await partitions.add_members(limitless, part, [t for t, _ in enrolling.tenants])
    await copy_unit.join_leases(limitless, enrolling.units)


async def publish(classic: Connection, limitless: Connection, part: int, epoch: int) -> None:
    """Bring classic's copy of tenant and unit states up to Limitless's truth, after enrolling or a restart.

    Not by a mirror that was superseded meanwhile: what it read there may be outdated.
    """
    units = await copy_unit.joined_leases(limitless, part)
    current = sorted(await partitions.members(limitless, part)) if part else []
    async with classic.transaction():
        await copy_unit.set_joined(classic, units)
        await journal.release(classic, units)
        await tenant_copy.set_mirrored(classic, part, epoch, current)


async def report_unmirrored(p: Partition, unmirrored: set[str]) -> None:
    """Tell classic, once, of unmirrored tenants, so that the backfill copies them."""
    new = unmirrored - p.unmirrored
    if new:
        await tenant_copy.add_tenants_async(p.control, p.part, sorted(new))
        p.unmirrored |= new

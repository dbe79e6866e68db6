"""Divides tenants into copy units. Pure.

Small tenants are grouped, a huge tenant is split table by table and by key range: units should be alike in size,
so that no snapshot lives long and a lost unit costs little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from migrator.model.tenant import TenantId


@dataclass(frozen=True, slots=True)
class CopyUnit:
    """What one copy transaction moves.

    Attributes:
        tenants: empty for the reference tables (all of them, partition 0).
        table: only this table, when set.
        but: else every table except these. Which there are, the copy itself finds out.
        lower, upper: only keys with lower <= first key column < upper, as texts, when set.
        rows: estimate.
    """

    part: int
    tenants: tuple[TenantId, ...]
    rows: int
    table: str | None = None
    lower: str | None = None
    upper: str | None = None
    but: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TenantLoad:
    """A tenant to copy, with its rows by table."""

    tenant_id: TenantId
    part: int
    rows: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.rows.values())


def group(tenants: Sequence[TenantLoad], unit_rows: int, unit_tenants: int) -> list[CopyUnit]:
    """Return units of tenants of one partition each, largest unit first, so that the tail is short."""
    units: list[CopyUnit] = []
    by_part: dict[int, list[TenantLoad]] = {}
    for tenant in tenants:
        by_part.setdefault(tenant.part, []).append(tenant)
    for part, members in sorted(by_part.items()):
        batch: list[TenantLoad] = []
        for tenant in sorted(members, key=lambda t: (t.total, t.tenant_id)):
            if batch and (sum(t.total for t in batch) + tenant.total > unit_rows or len(batch) >= unit_tenants):
                units.append(_unit(part, batch))
                batch = []
            batch.append(tenant)
        if batch:
            units.append(_unit(part, batch))
    return sorted(units, key=lambda u: (-u.rows, u.tenants))


WIDE_ROWS = 20_000_000
"""No unit grows beyond this, however often classic then reads a table: its snapshot would live too long."""


def group_widely(tenants: Sequence[TenantLoad], unit_rows: int, width: int) -> list[CopyUnit]:
    """Return about *width* units, of tenants of one partition each, none smaller than it would be otherwise.

    For tables that are read whole for each unit.
    """
    parts = len({t.part for t in tenants})
    share = -(-sum(t.total for t in tenants) // max(width, parts, 1))
    # A tenth more, so that uneven partitions do not leave a small unit at the end of each.
    rows = max(unit_rows, min(share + share // 10, WIDE_ROWS))
    return group(tenants, rows, max(len(tenants), 1))


def _unit(part: int, batch: Sequence[TenantLoad]) -> CopyUnit:
    return CopyUnit(part, tuple(t.tenant_id for t in batch), sum(t.total for t in batch))


def is_huge(tenant: TenantLoad, split_rows: int) -> bool:
    """Return whether one of the tenant's tables is too large for one unit."""
    return any(rows > split_rows for rows in tenant.rows.values())


def split(tenant: TenantLoad, cuts: Mapping[str, Sequence[str]]) -> list[CopyUnit]:
    """Return the units of a huge tenant: one per table, or per range between *cuts* where a table has some.

    Statistics only say what is worth a unit of its own: the last unit is every other table, those included in which
    statistics show no row. It may have some by now, and Limitless some of an earlier copy.

    Args:
        cuts: per table, rising key texts that separate ranges; none: the table is one unit.
    """
    units = []
    for table, rows in sorted(tenant.rows.items()):
        bounds: list[str | None] = [None, *cuts.get(table, ()), None]
        share = rows // (len(bounds) - 1)
        units += [
            CopyUnit(tenant.part, (tenant.tenant_id,), share, table, lower, upper) for lower, upper in pairwise(bounds)
        ]
    return [*units, CopyUnit(tenant.part, (tenant.tenant_id,), 0, but=tuple(sorted(tenant.rows)))]

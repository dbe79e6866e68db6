"""Tenants, mirror partitions, and what makes a tenant hot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NewType

TenantId = NewType("TenantId", str)
"""The tenant key's text form, as PostgreSQL prints it: the same in every table, log and message."""

REFERENCE_PART = 0
"""Mirror partition of reference tables. Tenants live in partitions 1..n."""

ORPHAN_PART = -1
"""Journal partition of keys whose tenant is not known; every mirror partition reads it."""

MAX_PARTS = 62
"""Mirror partitions fit one bigint bit mask (bit 0 is the reference partition)."""


@dataclass(frozen=True, slots=True)
class TenantSize:
    """How much a tenant holds. `rows` counts all migrated tables; `writes` are those of them that recent transactions
    wrote."""

    tenant_id: TenantId
    rows: int
    bytes: int = 0
    writes: int = 0


RECENT_XIDS = 1_000_000
"""Rows written by the last so many transactions count as recent writes: the tenants' share of the write load."""

HOT_SHARE = 0.1
"""Above this share of all rows or writes a tenant is hot, unless there are so few that an equal share comes near."""

HOT_FAIR = 5
"""Among few tenants, it takes this many equal shares, or more than half of everything."""

HOT_FLOOR = 0.01
"""Below this share no tenant is hot, however small the median is: such a tenant cannot saturate a shard by itself."""


def median(values: Sequence[int]) -> float:
    """Return the median, 0 for an empty list."""
    import statistics  # with it come fractions, decimals and random numbers, and the shim imports this module

    return float(statistics.median(values)) if values else 0.0


def hot_tenants(sizes: Sequence[TenantSize], hot_ratio: float) -> dict[TenantId, tuple[str, ...]]:
    """Return the tenants that can saturate a shard alone, with the reasons, for audit, inventory and waves.

    Hot is a tenant that has at least `HOT_FLOOR` of all rows, or of all recent writes, and of the same either more than
    *hot_ratio* times the median, or more than `HOT_SHARE` of everything.
    """
    hot: dict[TenantId, tuple[str, ...]] = {}
    measures = (
        ("rows", "all rows", [s.rows for s in sizes]),
        ("recent writes", "recent writes", [s.writes for s in sizes]),
    )
    for what, everything, amounts in measures:
        total, middle = sum(amounts), median(amounts)
        for size, amount in zip(sizes, amounts, strict=True):
            share = amount / total if total else 0.0
            if len(sizes) < 2 or share < HOT_FLOOR:
                continue
            reasons = []
            if middle and amount > hot_ratio * middle:
                reasons.append(f"{amount / middle:.0f} times the median in {what}")
            if share > max(HOT_SHARE, min(HOT_FAIR / len(sizes), 0.5)):
                reasons.append(f"{share:.0%} of {everything}")
            if reasons:
                hot[size.tenant_id] = (*hot.get(size.tenant_id, ()), *reasons)
    return hot

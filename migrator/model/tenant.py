"""What is a tenant, and what makes one hot?"""

from __future__ import annotations

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
    """How much a tenant holds. `rows` counts all migrated tables."""

    tenant_id: TenantId
    rows: int
    bytes: int = 0


def median(values: list[int]) -> float:
    """Return the median, 0 for an empty list."""
    if not values:
        return 0.0
    ordered, half = sorted(values), len(values) // 2
    return float(ordered[half]) if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def hot_threshold(rows: list[int], hot_ratio: float) -> float:
    """Return the row count from which a tenant is hot: *hot_ratio* times the median."""
    return median(rows) * hot_ratio

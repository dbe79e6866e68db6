"""The sizes of the demo's tenants. Pure: loader, traffic and report call the same function."""

from __future__ import annotations

import random
from dataclasses import dataclass

TAIL = 0.7
"""Exponent of the Zipf law for all tenants but the first: the second largest is then about 15 medians large."""

USERS_RATIO = 0.2
ROWS_PER_ORDER = 3.5
"""An order and its items: demo_rows.sql gives an order two and a half items on average."""


@dataclass(frozen=True, slots=True)
class DemoTenant:
    """What one tenant gets: an account row, *users*, and *orders* with their items."""

    tenant_id: int
    users: int
    orders: int

    @property
    def rows(self) -> int:
        """Rows of all tables, items counted at their average."""
        return 1 + self.users + round(self.orders * ROWS_PER_ORDER)


def demo_tenants(tenants: int, rows: int, hot_ratio: float, seed: int) -> list[DemoTenant]:
    """Return the demo's tenants, largest first: *rows* in all, Zipf sizes, the first *hot_ratio* times the median.

    Tenant ids are dealt at random from *seed*, so that size and id have nothing to do with each other.
    """
    tail = [rank**-TAIL for rank in range(2, tenants + 1)]
    weights = [max(hot_ratio * tail[(tenants - 1) // 2 - (tenants > 2)], *tail), *tail]
    scale = rows / sum(weights)
    ids = list(range(1, tenants + 1))
    # Not security: a reproducible deal of tenant ids.
    random.Random(seed).shuffle(ids)
    found = []
    for tenant_id, weight in zip(ids, weights, strict=True):
        share = weight * scale
        users = max(1, round(share * USERS_RATIO))
        orders = max(1, round((share - users - 1) / ROWS_PER_ORDER))
        found.append(DemoTenant(tenant_id, users, orders))
    return found

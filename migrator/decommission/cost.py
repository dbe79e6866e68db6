"""Compares the cost of Limitless with the projection.

Pure. Aurora Limitless bills ACU-hours and storage. Outside AWS there is no bill: the capacity of the plan is
priced instead, and the answer says so.
"""

from __future__ import annotations

from dataclasses import dataclass

HOURS_PER_MONTH = 730.0
"""365 * 24 / 12, the month AWS price examples use."""


@dataclass(frozen=True, slots=True)
class Usage:
    """acu: average capacity in use. storage_gb: billed storage. measured: False when acu is the plan's minimum."""

    acu: float
    storage_gb: float
    measured: bool


@dataclass(frozen=True, slots=True)
class Prices:
    acu_hour_usd: float
    storage_gb_month_usd: float
    projected_monthly_usd: float
    classic_monthly_usd: float


@dataclass(frozen=True, slots=True)
class CostSample:
    """One day's cost, as a month's bill would be if every day were like it."""

    monthly_usd: float
    projected_monthly_usd: float
    classic_monthly_usd: float
    acu: float
    storage_gb: float
    measured: bool

    @property
    def against_projection(self) -> float | None:
        """Return the bill divided by the projection, None without a projection."""
        return self.monthly_usd / self.projected_monthly_usd if self.projected_monthly_usd else None


def cost(usage: Usage, prices: Prices) -> CostSample:
    """Return what *usage* costs in a month at *prices*."""
    monthly = usage.acu * HOURS_PER_MONTH * prices.acu_hour_usd + usage.storage_gb * prices.storage_gb_month_usd
    return CostSample(
        round(monthly, 2),
        prices.projected_monthly_usd,
        prices.classic_monthly_usd,
        usage.acu,
        usage.storage_gb,
        usage.measured,
    )

"""What Limitless costs and how full it is, in a line each: one answer for status, metrics, alarms, board and report.

From classic alone, from what workers stored: cheap, and there with Limitless and AWS unreachable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from migrator.capacity import bill
from migrator.capacity.look import last_found
from migrator.control import cost
from migrator.errors import PlanInvalid
from migrator.model.cost import (
    Against,
    Basis,
    Capacity,
    CapacityLine,
    CostLine,
    Day,
    Forecast,
    Prices,
    Stored,
    TenantShare,
)
from migrator.plan.load import from_earlier
from migrator.plan.schema import Plan

Connection = psycopg.Connection[Any]

STALE_HOURS = 4.0
"""A figure that is older means that no worker looks; CloudWatch is up to three hours late."""

EVEN = 1.2
"""Skew up to which shards count as even (Aurora User Guide: within 20 % is healthy)."""

MATTERS = 0.05
"""Of an even shard's bytes: a tenant with less makes no shard large."""

CAUSES = 3
"""Tenants that are named beside the skew."""

_NOT_LOOKED = "unknown: no worker has looked at Limitless yet"


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored, for the pure part. stored: of this month and of the seven days before the last figure."""

    seen: cost.Seen
    prices: tuple[Prices, ...]
    stored: Sequence[Stored]
    capacity: Capacity | None


def known(conn: Connection, plan: Plan) -> Known:
    """Read what is stored."""
    seen = cost.seen(conn)
    prices = bill.settled(cost.prices(conn, plan.name, plan.cost.model_dump()))
    begin = bill.month_begin(seen.now)
    if seen.last is not None:
        begin = min(begin, _midnight(seen.last) - timedelta(days=bill.RECENT_DAYS))
    stored = cost.stored_days(conn, begin, seen.now, prices)
    return Known(seen, prices, stored, last_found(conn))


def days(conn: Connection, plan: Plan, count: int, *, present_prices: bool = False) -> tuple[Day, ...]:
    """Return the last *count* days that have figures, today included, the oldest first.

    Args:
        present_prices: price all of them as the plan does now, not as it did then.
    """
    now = cost.seen(conn).now
    prices = bill.settled(cost.prices(conn, plan.name, plan.cost.model_dump()))
    if present_prices:
        prices = prices[-1:]
    since = _midnight(now) - timedelta(days=count - 1)
    return bill.days(cost.stored_days(conn, since, now, prices), prices, now)


def lines_of(conn: Connection, body: Mapping[str, Any]) -> tuple[CostLine, CapacityLine] | None:
    """Return both lines for the stored plan *body*; None where that cannot be read."""
    try:
        plan = from_earlier(body)
    except PlanInvalid:
        return None
    found = known(conn, plan)
    return cost_line(found, plan), capacity_line(found, plan)


def _midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


# -- the bill --------------------------------------------------------------------------------------------------------


def cost_line(found: Known, plan: Plan) -> CostLine:
    """Return this month's bill, against the projection. Pure."""
    seen, section = found.seen, plan.cost
    month = f"{bill.month_begin(seen.now):%Y-%m}"
    if seen.first is None or seen.last is None:
        why = found.capacity.unknown if found.capacity else ()
        return CostLine(month, f"unknown: {'; '.join(why)}" if why else _NOT_LOOKED, Against.UNKNOWN)
    reserve = bill.reserved(plan.limitless.min_acu, plan.limitless.max_acu, plan.limitless.compute_redundancy)
    recent = bill.recent(found.stored, seen.now)
    used = bill.total(row.used for row in recent)
    forecast = bill.forecast(found.stored, found.prices, reserve, seen.first, seen.now)
    projected = section.projected_monthly_usd or None
    begin = bill.month_begin(seen.now)
    of_month = [row for row in found.stored if row.day >= begin.date()]
    known_hours = sum(row.used.hours for row in of_month)
    over_hours = bill.hours_between(max(begin, seen.first), seen.now)
    against = bill.against(forecast, used.hours, projected, section.over_pct)
    basis = bill.basis_of([*recent, *of_month]) if recent or of_month else None
    ratio = forecast.monthly / projected if forecast and projected else None
    return CostLine(
        month,
        _summary(month, basis, used.acu, used.gb, forecast, projected, ratio),
        against,
        basis,
        seen.last,
        max((seen.now - seen.last).total_seconds(), 0.0),
        known_hours,
        over_hours,
        used.acu,
        used.gb,
        forecast,
        projected,
        section.classic_monthly_usd or None,
        ratio,
        tuple(_doubts(found, plan, of_month, over_hours - known_hours, forecast, reserve.least_acu)),
    )


def _summary(
    month: str,
    basis: Basis | None,
    acu: float | None,
    gb: float | None,
    forecast: Forecast | None,
    projected: float | None,
    ratio: float | None,
) -> str:
    if acu is None:
        return "unknown: no figure of the last days"
    used = f"{acu:,.1f} ACU" + ("" if gb is None else f" and {gb:,.1f} GB")
    if forecast is None:
        return f"{used} on average in the last 7 days; not priced: the plan states no cost.acu_hour_usd"
    least = "" if basis is Basis.CLOUDWATCH else "at least "
    text = (
        f"{least}{forecast.so_far:,.2f} USD so far in {month}, {forecast.likely:,.2f} at its end"
        f" ({forecast.low:,.2f} to {forecast.high:,.2f}); {used}"
    )
    if projected is None or ratio is None:
        return f"{text}; the plan states no cost.projected_monthly_usd"
    return f"{text}; {ratio:.0%} of the {projected:,.2f} USD a month that the plan projects"


def _doubts(
    found: Known, plan: Plan, of_month: Sequence[Stored], missing: float, forecast: Forecast | None, least_acu: float
) -> list[str]:
    """Return what is not known, and what that does to the figures."""
    seen, price = found.seen, found.prices[-1]
    said = []
    if any(row.basis is Basis.MODEL for row in found.stored):
        said.append(
            f"modelled where CloudWatch has no figures: {least_acu:,.1f} ACU (min_acu of the plan, and its standbys) "
            "stand for the capacity in use, so that the bill is at least this"
        )
    if seen.last is not None and bill.hours_between(seen.last, seen.now) > STALE_HOURS:
        said.append(f"the last figure is of {seen.last:%Y-%m-%d %H:%M} UTC: does a worker run?")
    if missing > STALE_HOURS:
        cost_of = f" ({forecast.missing:,.2f} USD)" if forecast else ""
        said.append(f"{missing:,.0f} h of this month are not known, and taken to be like the last 7 days{cost_of}")
    if seen.first is not None and seen.first > bill.month_begin(seen.now):
        said.append(f"counted from {seen.first:%Y-%m-%d %H:%M} UTC on, the first figure")
    without = sum(row.without_standbys for row in of_month)
    if without and plan.limitless.compute_redundancy:
        said.append(f"{without:,.0f} h of this month lack the capacity of the standbys")
    if forecast and price.storage_gb_month_usd is None:
        said.append("storage is not priced: the plan states no cost.storage_gb_month_usd")
    if of_month and not any(row.used.storage_hours for row in of_month):
        said.append("storage is not known, and not in the bill")
    if found.capacity is not None:
        said += [line for line in found.capacity.unknown if line.startswith("CloudWatch")]
    return said


# -- how full it is --------------------------------------------------------------------------------------------------


def capacity_line(found: Known, plan: Plan) -> CapacityLine:
    """Return how full and how even the shards are. Pure."""
    capacity = found.capacity
    if capacity is None:
        return CapacityLine(_NOT_LOOKED)
    recent = bill.recent(found.stored, found.seen.now)
    peak = max((row.peak_acu for row in recent if row.peak_acu is not None), default=None)
    shards = capacity.shards
    largest = max(shards, key=lambda node: node.bytes, default=None)
    skew = skew_of([float(node.bytes) for node in shards])
    shown = causes(capacity) if skew is not None and skew > EVEN else ()
    parts = []
    if skew is not None and largest is not None:
        parts.append(f"{len(shards)} shards, the largest ({largest.node}) at {skew:.2f} times the mean")
        if shown:
            parts[-1] += ", by " + ", ".join(f"tenant {t.tenant} ({t.share:.0%} of all)" for t in shown)
        elif skew > EVEN:
            parts[-1] += ", by none of the largest tenants alone"
    if peak is not None:
        left = max(plan.limitless.max_acu - peak, 0.0)
        parts.append(f"{peak:,.1f} ACU at most in 7 days, {left:,.1f} below max_acu ({plan.limitless.max_acu:g})")
    if capacity.single_shard is not None:
        parts.append(f"{capacity.single_shard.share:.1%} of statements on one shard ({capacity.single_shard.basis})")
    return CapacityLine(
        "; ".join(parts) or "unknown: " + ("; ".join(capacity.unknown) or "Limitless has no shards"),
        capacity.at,
        max((found.seen.now - capacity.at).total_seconds(), 0.0),
        len(shards),
        largest.node if largest else None,
        skew,
        skew_of([node.cpu for node in shards if node.cpu is not None]) if len(shards) else None,
        shown,
        plan.limitless.max_acu,
        peak,
        capacity.single_shard,
        capacity.unknown,
    )


def causes(capacity: Capacity) -> tuple[TenantShare, ...]:
    """Return the largest tenants of the largest shard: as many as make it larger than the mean, three at most, and none
    that is too small to matter."""
    shards = capacity.shards
    largest = max(shards, key=lambda node: node.bytes)
    everything = sum(node.bytes for node in shards)
    excess = largest.bytes / everything - 1 / len(shards)
    found: list[TenantShare] = []
    for tenant in capacity.tenants:
        enough = sum(t.share for t in found) >= excess or len(found) == CAUSES
        if tenant.shard == largest.node and tenant.share * len(shards) >= MATTERS and not enough:
            found.append(tenant)
    return tuple(found)


def skew_of(values: Sequence[float]) -> float | None:
    """Return the largest of *values* over their mean; None where there are none, or all are nothing."""
    mean = sum(values) / len(values) if values else 0.0
    return max(values) / mean if mean > 0 else None

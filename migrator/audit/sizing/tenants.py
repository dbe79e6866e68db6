"""Computes the distribution of the tenants: counts per tenant and table in, figures and hot tenants out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from migrator.model.tenant import TenantId, TenantSize, hot_tenants, median

SHOWN = 50
"""Tenants listed one by one in the report; the figures cover all."""

MONTH_DAYS = 30.4


@dataclass(slots=True)
class TableCounts:
    """The counts of one table: rows per tenant (None: no tenant), recent writes, and how it was counted."""

    table: str
    rows: dict[str | None, int] = field(default_factory=dict)
    recent: dict[str | None, int] = field(default_factory=dict)
    missing_parents: int = 0
    sample_pct: float | None = None
    bytes: int | None = None  # of the whole table
    derived: bool = False

    @property
    def total(self) -> int:
        return sum(self.rows.values())


@dataclass(slots=True)
class Growth:
    monthly: float = 0.15
    weeks: float = 24.0

    @property
    def factor(self) -> float:
        return float((1 + self.monthly) ** (self.weeks * 7 / MONTH_DAYS))


def quantile(ordered: list[int], share: float) -> int:
    if not ordered:
        return 0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def gini(values: list[int]) -> float:
    """Return how unequal *values* are: 0 all equal, towards 1 one holds everything."""
    ordered = sorted(values)
    total = sum(ordered)
    if not total:
        return 0.0
    weighted = sum((i + 1) * v for i, v in enumerate(ordered))
    return (2 * weighted) / (len(ordered) * total) - (len(ordered) + 1) / len(ordered)


def distribution(
    tables: Iterable[TableCounts], *, hot_ratio: float, growth: Growth, root: str | None = None, bounds: int = SHOWN
) -> dict[str, Any]:
    """Return the distribution: totals, skew, hot tenants with the reason, tenantless rows, and a forecast."""
    tables = list(tables)
    rows: dict[str, int] = {}
    recent: dict[str, int] = {}
    sizes: dict[str, float] = {}
    by_table: dict[str, dict[str, int]] = {}
    for counted in tables:
        scale = 100 / counted.sample_pct if counted.sample_pct else 1.0
        width = (counted.bytes or 0) / counted.total / scale if counted.total else 0.0
        for tenant, count in counted.rows.items():
            if tenant is None:
                continue
            amount = round(count * scale)
            rows[tenant] = rows.get(tenant, 0) + amount
            sizes[tenant] = sizes.get(tenant, 0.0) + amount * width
            recent[tenant] = recent.get(tenant, 0) + round(counted.recent.get(tenant, 0) * scale)
            by_table.setdefault(tenant, {})[counted.table] = amount
    ordered = sorted(rows.values())
    total, total_recent = sum(ordered), sum(recent.values())
    middle = median(ordered)
    largest = sorted(rows, key=lambda t: (-rows[t], t))
    reasons = hot_tenants([TenantSize(TenantId(t), rows[t], writes=recent[t]) for t in largest], hot_ratio)
    hot = [
        {"tenant": t, "rows": rows[t], "reasons": [_where(why, by_table[t]) for why in reasons[t]]}
        for t in map(TenantId, largest)
        if t in reasons
    ]
    return {
        "count": len(rows),
        "rows": total,
        "exact": all(t.sample_pct is None for t in tables),
        "median_rows": middle,
        "p90_rows": quantile(ordered, 0.9),
        "p99_rows": quantile(ordered, 0.99),
        "max_rows": ordered[-1] if ordered else 0,
        "max_to_median": round(ordered[-1] / middle, 1) if ordered and middle else None,
        "gini": round(gini(ordered), 3),
        "top_share": {
            str(n): round(sum(rows[t] for t in largest[:n]) / total, 4) if total else 0.0 for n in (1, 10, 100)
        },
        "hot": hot,
        "largest": [
            {
                "tenant": t,
                "rows": rows[t],
                "bytes": round(sizes[t]),
                "share": round(rows[t] / total, 6) if total else 0.0,
                "write_share": round(recent[t] / total_recent, 6) if total_recent else None,
                "tables": by_table[t],
            }
            for t in largest[:bounds]
        ],
        "histogram": histogram(ordered),
        "tables": [_table(t, tables, root, len(rows)) for t in tables],
        "tenantless": {t.table: t.rows[None] for t in tables if t.rows.get(None)},
        "missing_parents": {t.table: t.missing_parents for t in tables if t.missing_parents},
        "only_in": _only_in(tables),
        "forecast": forecast(rows, sizes, largest, growth),
    }


def _where(reason: str, tables: Mapping[str, int]) -> str:
    """Name the table in which a tenant is large."""
    return f"{reason}, most of them in {max(tables, key=lambda t: tables[t])}" if reason.endswith("in rows") else reason


def histogram(ordered: list[int]) -> list[dict[str, int]]:
    """Return tenants by size: each bin is a power of two of rows."""
    bins: dict[int, list[int]] = {}
    for value in ordered:
        bins.setdefault(max(0, value.bit_length() - 1), []).append(value)
    return [
        {"from_rows": 2**power if power else 0, "to_rows": 2 ** (power + 1) - 1, "tenants": len(v), "rows": sum(v)}
        for power, v in sorted(bins.items())
    ]


def _table(counted: TableCounts, tables: list[TableCounts], root: str | None, tenants: int) -> dict[str, Any]:
    known = {t: c for t, c in counted.rows.items() if t is not None}
    ordered = sorted(known.values())
    return {
        "table": counted.table,
        "rows": counted.total,
        "tenants": len(known),
        "median_rows": median(ordered),
        "max_rows": ordered[-1] if ordered else 0,
        "largest_tenant": max(known, key=lambda t: known[t]) if known else None,
        "tenantless_rows": counted.rows.get(None, 0),
        "missing_parents": counted.missing_parents,
        "method": f"sample of {counted.sample_pct:g} % of blocks" if counted.sample_pct else "exact",
        "derived": counted.derived,
    }


def _only_in(tables: list[TableCounts]) -> list[dict[str, Any]]:
    """Return tenants that exist in one table only, per table: often a leftover or a wrong id."""
    seen: dict[str, int] = {}
    for counted in tables:
        for tenant in counted.rows:
            if tenant is not None:
                seen[tenant] = seen.get(tenant, 0) + 1
    found = []
    for counted in tables if len(tables) > 1 else ():
        lonely = sorted(t for t in counted.rows if t is not None and seen[t] == 1)
        if lonely:
            found.append({"table": counted.table, "count": len(lonely), "sample": lonely[:10]})
    return found


def unknown_to_root(tables: Sequence[TableCounts], root: str) -> dict[str, list[str]]:
    """Return, per table, tenants that the root table does not have. Only exact counts can tell."""
    known = next((set(t.rows) for t in tables if t.table == root and t.sample_pct is None), None)
    if known is None:
        return {}
    found = {}
    for counted in tables:
        strangers = sorted(t for t in counted.rows if t is not None and t not in known)
        if strangers:
            found[counted.table] = strangers
    return found


def forecast(rows: Mapping[str, int], sizes: Mapping[str, float], largest: list[str], growth: Growth) -> dict[str, Any]:
    """Return sizes at the end of the calendar, and what one shard must hold at least: a tenant cannot be split."""
    factor = growth.factor
    biggest = largest[0] if largest else None
    return {
        "monthly_growth": growth.monthly,
        "weeks": growth.weeks,
        "factor": round(factor, 3),
        "rows": round(sum(rows.values()) * factor),
        "bytes": round(sum(sizes.values()) * factor),
        "largest_tenant": biggest,
        "one_shard_must_hold_rows": round(rows[biggest] * factor) if biggest else 0,
        "one_shard_must_hold_bytes": round(sizes[biggest] * factor) if biggest else 0,
    }

"""Draws what Limitless costs and how full it is, within 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from migrator.cli.lines import safe
from migrator.cli.render import duration, grid
from migrator.model.cost import Against, Basis, Capacity, CapacityLine, CostLine, Day

_COLOURS = {Against.OVER: "bold red", Against.WITHIN: "green"}
_BASIS = {Basis.CLOUDWATCH: "measured", Basis.MODEL: "model", Basis.MIXED: "mixed"}


def render(bill: CostLine, days: Sequence[Day], capacity: CapacityLine, found: Capacity | None) -> RenderableType:
    """Return the bill, its doubts, its days, and the shards in a line; *found*: every node and the largest tenants."""
    lines = grid(("", ""))
    lines.add_row("Bill  ", Text(bill.summary, _COLOURS.get(bill.against, "")))
    if bill.forecast is not None:
        lines.add_row("", Text(f"low and high: the rest of the month {bill.forecast.method}", "dim"))
    for doubt in bill.doubts:
        lines.add_row("", Text(safe(doubt), "yellow"))
    if bill.classic_monthly_usd is not None:
        lines.add_row("", Text(f"classic costs {bill.classic_monthly_usd:,.2f} USD a month, by the plan", "dim"))
    age = f"; {duration(capacity.age_s)} ago" if capacity.age_s is not None else ""
    lines.add_row("Shards", Text(f"{safe(capacity.summary)}{age}"))
    for line in capacity.unknown:
        if line not in bill.doubts:
            lines.add_row("", Text(f"not known: {safe(line)}", "yellow"))
    parts: list[RenderableType] = [lines]
    if days:
        parts.append(_days(days, bill.projected_monthly_usd))
    if found is not None:
        parts.append(_nodes(found))
        if found.tenants:
            parts.append(_tenants(found))
    return Group(*parts)


def _days(days: Sequence[Day], projected: float | None) -> RenderableType:
    right = ("\nhours", "\nACU", "\nGB", "\nUSD", "\na month", "\nof plan")
    table = grid(("\nday (UTC)", *right, "\n"), right=right)
    for day in days:
        share = day.monthly_usd / projected if day.monthly_usd is not None and projected else None
        table.add_row(
            f"{day.day}",
            f"{day.hours:.1f}" + (f"/{day.of_hours:.0f}" if day.of_hours - day.hours >= 0.1 else ""),
            _figure(day.acu),
            _figure(day.storage_gb),
            _figure(day.usd, 2),
            _figure(day.monthly_usd, 2),
            "-" if share is None else f"{share:.0%}",
            Text(_BASIS[day.basis], "dim"),
        )
    return table


def _nodes(found: Capacity) -> RenderableType:
    right = ("\nGB", "\nof kind", "\nstatements/s", "\nCPU", "\nACU")
    table = grid(("\nnode", "\nkind", *right), right=right)
    sums = {kind: sum(n.bytes for n in found.nodes if n.kind == kind) for kind in ("router", "shard")}
    for node in found.nodes:
        of_kind = sums.get(node.kind, 0)
        table.add_row(
            Text(safe(node.node)),
            Text(safe(node.kind)),
            f"{node.bytes / 2**30:,.3f}",
            f"{node.bytes / of_kind:.0%}" if of_kind else "-",
            _figure(node.statements_per_s),
            _percent(node.cpu),
            _percent(node.acu_use),
        )
    return table


def _tenants(found: Capacity) -> RenderableType:
    right = ("\nrows", "\nMB copied", "\nof all")
    table = grid(("\ntenant", "\nshard", *right), right=right)
    for tenant in found.tenants:
        table.add_row(
            Text(safe(tenant.tenant)),
            Text(safe(tenant.shard or "-")),
            f"{tenant.rows:,}",
            "-" if tenant.bytes is None else f"{tenant.bytes / 1e6:,.1f}",
            f"{tenant.share:.1%}",
        )
    return table


def _figure(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"

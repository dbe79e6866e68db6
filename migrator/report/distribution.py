"""Draws rows per tenant, largest first, coloured by the wave in which they moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from migrator.report import words
from migrator.report.svg import Scale, drawing, element, grid, log_ticks, text

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 1120, 230, 64, 24, 14, 190


def distribution(tenants: Sequence[dict[str, Any]], median: float) -> Markup:
    """Return the drawing; *tenants* have rows and wave, largest first."""
    if not tenants:
        return Markup()
    low = 10.0 ** (len(str(int(min(t["rows"] for t in tenants) or 1))) - 1)
    high = 10.0 ** len(str(int(tenants[0]["rows"])))
    y = Scale(low, max(high, low * 10), BOTTOM, TOP, log=True)
    width = (WIDTH - LEFT - RIGHT) / len(tenants)
    parts = [grid(y, log_ticks(y.low, y.high), words.count, LEFT, WIDTH - RIGHT)]
    for rank, tenant in enumerate(tenants):
        top = y(tenant["rows"])
        wave = tenant.get("wave")
        label = f"tenant {tenant['tenant_id']}: {words.count(tenant['rows'])} rows"
        label += f", wave {wave}" if wave is not None else ""
        parts.append(
            element(
                "rect",
                element("title", label),
                x=LEFT + rank * width,
                y=top,
                width=max(width - (1 if width > 3 else 0), 0.5),
                height=BOTTOM - top,
                class_="tenant-hot" if tenant.get("hot") else f"tenant tenant-{(wave or 0) % 6}",
            )
        )
    at = y(median)
    parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="median"))
    parts.append(text(WIDTH - RIGHT, at - 6, f"median {words.count(median)} rows", class_="small", text_anchor="end"))
    first = tenants[0]
    ratio = first["rows"] / median if median else 0
    note = f"tenant {first['tenant_id']}: {words.count(first['rows'])} rows, {ratio:.0f} times the median"
    parts.append(text(LEFT + width + 8, TOP + 12, note, class_="note"))
    parts.append(text(LEFT, BOTTOM + 18, "largest tenant", class_="small"))
    parts.append(text(WIDTH - RIGHT, BOTTOM + 18, "smallest tenant", class_="small", text_anchor="end"))
    return drawing(WIDTH, HEIGHT - 12, "Rows per tenant", *parts, class_="wide")

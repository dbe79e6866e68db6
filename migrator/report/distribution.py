"""How unequal are the tenants? Rows per tenant, largest first, coloured by the wave they moved in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from migrator.report import words
from migrator.report.svg import Scale, element, log_ticks, text

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 1120, 230, 64, 24, 14, 190


def distribution(tenants: Sequence[dict[str, Any]], median: float) -> str:
    """Return the drawing; *tenants* have rows and wave, largest first."""
    if not tenants:
        return ""
    low = 10.0 ** (len(str(int(min(t["rows"] for t in tenants) or 1))) - 1)
    high = 10.0 ** len(str(int(tenants[0]["rows"])))
    y = Scale(low, max(high, low * 10), BOTTOM, TOP, log=True)
    width = (WIDTH - LEFT - RIGHT) / len(tenants)
    parts = []
    for tick in log_ticks(y.low, y.high):
        at = y(tick)
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="grid"))
        parts.append(text(LEFT - 8, at + 4, words.count(tick), class_="tick", text_anchor="end"))
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
    return element("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT - 12}", role="img", aria_label="Rows per tenant")

"""How are tenants distributed by size, and which are the largest? The drawings on the page of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from migrator.report.svg import element, text

WIDTH = 640


def shown(value: float) -> str:
    """Return a number short enough for an axis: 1.2k, 3.4M."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.1f}".rstrip("0").rstrip(".") + suffix
    return f"{value:.0f}"


def histogram(bins: Sequence[dict[str, Any]], height: int = 220) -> str:
    """Return tenants by size: bars count tenants per power of two of rows, the line is the share of all rows below."""
    if not bins:
        return ""
    left, bottom, top, right = 48, 34, 14, 40
    inner_w, inner_h = WIDTH - left - right, height - top - bottom
    most = max(b["tenants"] for b in bins)
    total = sum(b["rows"] for b in bins) or 1
    step = inner_w / len(bins)
    parts = []
    for fraction in (0, 0.5, 1):
        y = top + inner_h * (1 - fraction)
        parts.append(element("line", class_="grid", x1=left, x2=WIDTH - right, y1=y, y2=y))
        parts.append(_tick(left - 6, y + 4, shown(most * fraction), "end"))
        parts.append(_tick(WIDTH - right + 6, y + 4, f"{fraction:.0%}"))
    seen, points = 0, []
    for number, item in enumerate(bins):
        x = left + number * step
        tall = inner_h * item["tenants"] / most
        label = (
            f"{item['tenants']:,} tenants with {item['from_rows']:,} to {item['to_rows']:,} rows: "
            f"{item['rows'] / total:.1%} of all rows"
        )
        parts.append(_bar(x + 1, top + inner_h - tall, max(1.0, step - 2), max(tall, 1.0), label))
        seen += item["rows"]
        points.append(f"{x + step / 2:.1f},{top + inner_h * (1 - seen / total):.1f}")
        if number % max(1, len(bins) // 8) == 0:
            parts.append(_tick(x + step / 2, height - bottom + 16, shown(item["from_rows"]), "middle"))
    parts.append(element("polyline", class_="line", points=" ".join(points)))
    parts.append(_tick(left + inner_w / 2, height - 3, "rows per tenant (powers of two)", "middle"))
    return _drawing(height, parts, aria_label="tenants by size")


def bars(items: Sequence[tuple[str, float, str]]) -> str:
    """Return horizontal bars of (label, value, text)."""
    if not items:
        return ""
    row, left, right = 20, 170, 130
    most = max(v for _, v, _ in items) or 1
    parts = []
    for number, (label, value, words) in enumerate(items):
        y = 4 + number * row
        long = (WIDTH - left - right) * value / most
        short = label if len(label) <= 24 else label[:11] + "…" + label[-12:]
        parts.append(_tick(left - 6, y + 13, short, "end"))
        parts.append(_bar(left, y + 2, max(1.0, long), row - 5, f"{label}: {words}"))
        parts.append(_tick(left + long + 6, y + 13, words))
    return _drawing(row * len(items) + 8, parts)


def _drawing(height: int, parts: Sequence[str], **attributes: object) -> str:
    return element("svg", *parts, viewBox=f"0 0 {WIDTH} {height}", role="img", **attributes)


def _tick(x: float, y: float, words: str, anchor: str | None = None) -> str:
    return text(x, y, words, class_="tick", text_anchor=anchor)


def _bar(x: float, y: float, width: float, height: float, label: str) -> str:
    title = element("title", escape(label))
    return element("rect", title, class_="bar", x=x, y=y, width=width, height=height)

"""The drawings on the page of an audit: the distribution of tenants, and the largest ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from migrator.report import words
from migrator.report.svg import Scale, drawing, element, grid, polyline, text

WIDTH = 640
MOST_LETTERS = 24
"""A longer label of a bar loses its middle; the bar's title has it whole."""


def histogram(bins: Sequence[dict[str, Any]], height: int = 220) -> Markup:
    """Return tenants by size: bars count tenants per power of two of rows, the line is the share of all rows below."""
    if not bins:
        return Markup()
    left, right, top, bottom = 48, WIDTH - 40, 14, height - 34
    most = max(b["tenants"] for b in bins)
    total = sum(b["rows"] for b in bins) or 1
    step = (right - left) / len(bins)
    tenants, share = Scale(0, most, bottom, top), Scale(0, 1, bottom, top)
    parts: list[str] = [grid(tenants, (0, most / 2, most), words.short, left, right)]
    parts += [text(right + 6, share(ratio) + 4, words.percent(ratio), class_="tick") for ratio in (0, 0.5, 1)]
    seen, points = 0, []
    for number, item in enumerate(bins):
        x, y = left + number * step, tenants(item["tenants"])
        label = (
            f"{item['tenants']:,} tenants with {item['from_rows']:,} to {item['to_rows']:,} rows: "
            f"{item['rows'] / total:.1%} of all rows"
        )
        parts.append(_bar(x + 1, min(y, bottom - 1), max(1.0, step - 2), max(bottom - y, 1.0), label))
        seen += item["rows"]
        points.append((x + step / 2, share(seen / total)))
        if number % max(1, len(bins) // 8) == 0:
            parts.append(_tick(x + step / 2, bottom + 16, words.short(item["from_rows"]), "middle"))
    parts.append(element("path", class_="line", d=polyline(points)))
    parts.append(_tick((left + right) / 2, height - 3, "rows per tenant (powers of two)", "middle"))
    return drawing(WIDTH, height, "Tenants by size", *parts, class_="narrow")


def bars(items: Sequence[tuple[str, float, str]], label: str) -> Markup:
    """Return horizontal bars of (name, value, the value in words); *label* says what they show."""
    if not items:
        return Markup()
    row, left, right = 20, 170, WIDTH - 130
    long = Scale(0, max(v for _, v, _ in items) or 1, 0, right - left)
    parts: list[str] = []
    for number, (name, value, said) in enumerate(items):
        y = 4 + number * row
        short = name if len(name) <= MOST_LETTERS else name[:11] + "…" + name[-12:]
        parts.append(_tick(left - 6, y + 13, short, "end"))
        parts.append(_bar(left, y + 2, max(1.0, long(value)), row - 5, f"{name}: {said}"))
        parts.append(_tick(left + long(value) + 6, y + 13, said))
    return drawing(WIDTH, row * len(items) + 8, label, *parts, class_="narrow")


def _tick(x: float, y: float, said: str, anchor: str | None = None) -> Markup:
    return text(x, y, said, class_="tick", text_anchor=anchor)


def _bar(x: float, y: float, width: float, height: float, label: str) -> Markup:
    return element("rect", element("title", label), class_="bar", x=x, y=y, width=width, height=height)

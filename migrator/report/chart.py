"""How do distributions look as inline SVG? Pure: numbers in, markup out."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any


def shown(value: float) -> str:
    """Return a number short enough for an axis: 1.2k, 3.4M."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.1f}".rstrip("0").rstrip(".") + suffix
    return f"{value:.0f}"


def histogram(bins: Sequence[dict[str, Any]], width: int = 640, height: int = 220) -> str:
    """Return tenants by size: bars count tenants per power of two of rows, the line is the share of all rows below."""
    if not bins:
        return ""
    left, bottom, top, right = 48, 34, 14, 40
    inner_w, inner_h = width - left - right, height - top - bottom
    most = max(b["tenants"] for b in bins)
    total = sum(b["rows"] for b in bins) or 1
    step = inner_w / len(bins)
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="tenants by size">']
    for fraction in (0, 0.5, 1):
        y = top + inner_h * (1 - fraction)
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{shown(most * fraction)}</text>'
        )
        parts.append(f'<text class="tick" x="{width - right + 6}" y="{y + 4:.1f}">{fraction:.0%}</text>')
    seen, points = 0, []
    for number, item in enumerate(bins):
        x = left + number * step
        tall = inner_h * item["tenants"] / most
        label = (
            f"{item['tenants']:,} tenants with {item['from_rows']:,} to {item['to_rows']:,} rows: "
            f"{item['rows'] / total:.1%} of all rows"
        )
        parts.append(
            f'<rect class="bar" x="{x + 1:.1f}" y="{top + inner_h - tall:.1f}" width="{max(1.0, step - 2):.1f}" '
            f'height="{max(tall, 1):.1f}"><title>{escape(label)}</title></rect>'
        )
        seen += item["rows"]
        points.append(f"{x + step / 2:.1f},{top + inner_h * (1 - seen / total):.1f}")
        if number % max(1, len(bins) // 8) == 0:
            parts.append(
                f'<text class="tick" x="{x + step / 2:.1f}" y="{height - bottom + 16}" text-anchor="middle">'
                f"{shown(item['from_rows'])}</text>"
            )
    parts.append(f'<polyline class="line" points="{" ".join(points)}"/>')
    parts.append(
        f'<text class="tick" x="{left + inner_w / 2:.0f}" y="{height - 3}" text-anchor="middle">rows per '
        f"tenant (powers of two)</text>"
    )
    parts.append("</svg>")
    return "".join(parts)


def bars(items: Sequence[tuple[str, float, str]], width: int = 640) -> str:
    """Return horizontal bars of (label, value, text)."""
    if not items:
        return ""
    row, left, right = 20, 170, 130
    height = row * len(items) + 8
    most = max(v for _, v, _ in items) or 1
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img">']
    for number, (label, value, text) in enumerate(items):
        y = 4 + number * row
        long = (width - left - right) * value / most
        short = label if len(label) <= 24 else label[:11] + "…" + label[-12:]
        parts.append(f'<text class="tick" x="{left - 6}" y="{y + 13}" text-anchor="end">{escape(short)}</text>')
        parts.append(
            f'<rect class="bar" x="{left}" y="{y + 2}" width="{max(1.0, long):.1f}" height="{row - 5}">'
            f"<title>{escape(label)}: {escape(text)}</title></rect>"
        )
        parts.append(f'<text class="tick" x="{left + long + 6:.1f}" y="{y + 13}">{escape(text)}</text>')
    parts.append("</svg>")
    return "".join(parts)

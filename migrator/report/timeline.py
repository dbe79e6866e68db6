"""Draws the timeline: panels above one time axis, with phases, reads by side, tenants, lag, latency.

Every event is a numbered line through all panels, so that cause and effect are read off vertically.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from migrator.report import words
from migrator.report.svg import Point, Scale, band, drawing, element, grid, log_ticks, nice_ticks, polyline, steps, text

WIDTH, LEFT, RIGHT = 1120, 64, 24
GAP = 44

PHASE_NAMES = {
    "audit": "Audit",
    "provision": "Provision",
    "dual_write": "Dual write",
    "cutover": "Cutover",
    "stabilize": "Stabilize",
    "decommission": "Decommission",
    "limitless_only": "Limitless only",
}


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    note: str
    height: int
    draw: Callable[[Scale, float, float], Markup]
    legend: tuple[tuple[str, str], ...] = ()


def timeline(report: dict[str, Any]) -> Markup:
    """Return the drawing of one rehearsal."""
    series = report["series"]
    x = Scale(0, max(report["seconds"], 1), LEFT, WIDTH - RIGHT)
    panels = [
        _Panel(
            "Reads per second, by the side that answered",
            "",
            130,
            lambda sx, top, bottom: _reads(series["reads"], sx, top, bottom),
            (("classic", "classic"), ("limitless", "Limitless")),
        ),
        _Panel(
            "Tenants",
            "",
            120,
            lambda sx, top, bottom: _tenants(series["state"], sx, top, bottom),
            (("mirrored", "mirrored"), ("limitless", "reading from Limitless")),
        ),
        _Panel(
            "Mirror lag",
            "age of what Limitless shows, logarithmic",
            110,
            lambda sx, top, bottom: _lag(series["state"], sx, top, bottom),
        ),
        _Panel(
            "Latency, p99 per second",
            "logarithmic; a write of a tenant on Limitless includes the wait for the mirror",
            120,
            lambda sx, top, bottom: _latency(series["latency"], sx, top, bottom),
            (("classic", "read on classic"), ("limitless", "read on Limitless"), ("write", "write")),
        ),
    ]
    y = 76.0
    parts = [_phases(report["phases"], x, 30, 54)]
    bodies = []
    for panel in panels:
        y += GAP - 4
        bodies.append(_frame(panel, y))
        bodies.append(panel.draw(x, y, y + panel.height))
        y += panel.height
    parts.append(_events(report["events"], x, 60, y))
    parts += bodies
    parts.append(_axis(x, y, report["seconds"]))
    return drawing(WIDTH, y + 34, "Timeline of the rehearsal", *parts, class_="wide")


def _phases(phases: Sequence[dict[str, Any]], x: Scale, top: float, bottom: float) -> Markup:
    parts = []
    labelled = -100.0
    for phase in phases:
        left, right = x(phase["began_s"]), x(phase["ended_s"])
        width = max(right - left - 2, 1)
        name = PHASE_NAMES.get(phase["phase"], phase["phase"])
        bar = element(
            "rect",
            element("title", f"{name}: {words.seconds(phase['ended_s'] - phase['began_s'])}"),
            x=left,
            y=top,
            width=width,
            height=bottom - top,
            rx=4,
            class_=f"phase phase-{phase['phase']}",
        )
        parts.append(bar)
        if width > len(name) * 6.6 + 8:
            parts.append(text(left + width / 2, top + 16, name, class_="phase-name", text_anchor="middle"))
        elif width > 5 and left - labelled > 24:  # short names above narrow bars, where they do not collide
            labelled = left
            parts.append(text(left + width / 2, top - 6, name[:3], class_="small", text_anchor="middle"))
    return element("g", *parts)


def _events(events: Sequence[dict[str, Any]], x: Scale, top: float, bottom: float) -> Markup:
    parts, last = [], -100.0
    for number, event in enumerate(events, 1):
        left = x(event["at_s"])
        ended = event.get("ended_s")
        if ended is not None and ended > event["at_s"]:
            width = max(x(ended) - left, 1)
            parts.append(element("rect", x=left, y=top, width=width, height=bottom - top, class_="event-span"))
        parts.append(element("line", x1=left, x2=left, y1=top, y2=bottom, class_="event-line"))
        flag = max(left, last + 19)  # neighbours must not cover each other
        last = flag
        parts.append(
            element(
                "g",
                element("title", event["title"]),
                element("circle", cx=flag, cy=top + 10, r=8.5, class_="event-flag"),
                text(flag, top + 13.8, str(number), class_="event-number", text_anchor="middle"),
            )
        )
    return element("g", *parts)


def _frame(panel: _Panel, y: float) -> Markup:
    parts = [text(LEFT, y - 10, panel.title, class_="panel-title")]
    if panel.note:
        parts.append(text(LEFT + len(panel.title) * 7.6 + 10, y - 10, panel.note, class_="small"))
    right = float(WIDTH - RIGHT)
    for css, label in reversed(panel.legend):
        right -= len(label) * 6.3
        parts.append(text(right, y - 10, label, class_="small"))
        right -= 16
        parts.append(element("rect", x=right, y=y - 19, width=10, height=10, rx=2, class_=f"fill-{css}"))
        right -= 14
    return element("g", *parts)


def _grid(y: Scale, ticks: Sequence[float], say: Callable[[float], str]) -> Markup:
    return grid(y, ticks, say, LEFT, WIDTH - RIGHT)


def _axis(x: Scale, y: float, total_s: float) -> Markup:
    step = next((s for s in (5, 10, 15, 20, 30, 60, 120, 300) if total_s / s <= 14), 600)
    parts = [element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="axis")]
    for i in range(int(total_s // step) + 1):
        at = x(i * step)
        parts.append(element("line", x1=at, x2=at, y1=y, y2=y + 4, class_="axis"))
        parts.append(text(at, y + 18, words.clock(i * step), class_="tick", text_anchor="middle"))
    parts.append(text(WIDTH - RIGHT, y + 31, "minutes since the start", class_="small", text_anchor="end"))
    return element("g", *parts)


def _reads(reads: dict[str, list[float]], x: Scale, top: float, bottom: float) -> Markup:
    totals = [a + b for a, b in zip(reads["classic"], reads["limitless"], strict=True)]
    highest = max([*totals, 1])
    ticks = [tick for tick in nice_ticks(highest, 3) if tick <= highest]
    y = Scale(0, highest * 1.04, bottom, top)
    zero = [(x(t), y(0)) for t in reads["t"]]
    lower = [(x(t), y(v)) for t, v in zip(reads["t"], reads["limitless"], strict=True)]
    upper = [(x(t), y(v)) for t, v in zip(reads["t"], totals, strict=True)]
    return element(
        "g",
        _grid(y, ticks, words.count),
        element("path", d=band(lower, zero), class_="area-limitless"),
        element("path", d=band(upper, lower), class_="area-classic"),
    )


def _tenants(state: dict[str, list[Any]], x: Scale, top: float, bottom: float) -> Markup:
    known = [v for v in state["mirrored"] if v is not None]
    highest = max([*known, *state["limitless"], 1])
    ticks = [tick for tick in nice_ticks(highest, 4) if tick <= highest]
    y = Scale(0, highest * 1.04, bottom, top)
    on = steps([(x(t), y(v)) for t, v in zip(state["t"], state["limitless"], strict=True)])
    mirrored = steps([(x(t), y(v)) for t, v in zip(state["t"], state["mirrored"], strict=True) if v is not None])
    return element(
        "g",
        _grid(y, ticks, words.count),
        element("path", d=band(on, [(px, y(0)) for px, _ in on]), class_="area-limitless"),
        element("path", d=polyline(on), class_="line-limitless"),
        element("path", d=polyline(mirrored), class_="line-mirrored"),
    )


def _lag(state: dict[str, list[Any]], x: Scale, top: float, bottom: float) -> Markup:
    known = [v for v in state["lag_s"] if v is not None]
    y = Scale(0.01, max(1.0, 10 ** len(str(int(max(known, default=1))))), bottom, top, log=True)
    points: list[Point | None] = [
        (x(t), y(v)) if v is not None else None for t, v in zip(state["t"], state["lag_s"], strict=True)
    ]
    return element(
        "g",
        _grid(y, log_ticks(y.low, y.high), words.tick),
        element("path", d=polyline(points), class_="line-lag"),
    )


def _latency(latency: dict[str, list[Any]], x: Scale, top: float, bottom: float) -> Markup:
    names = ("classic", "limitless", "write")
    known = [v for name in names for v in latency[name] if v]
    high = 10.0 ** len(str(int(max(known, default=100))))
    y = Scale(1, max(high, 10), bottom, top, log=True)
    lines = []
    for name in names:
        points: list[Point | None] = [
            (x(t), y(v)) if v is not None else None for t, v in zip(latency["t"], latency[name], strict=True)
        ]
        lines.append(element("path", d=polyline(points), class_=f"line-{name}"))
    return element("g", _grid(y, log_ticks(y.low, y.high), lambda ms: words.tick(ms / 1000)), *lines)

"""Draws a series over time, small enough that three stand beside each other, with text that a phone can read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup

from migrator.report.svg import Point, Scale, drawing, element, grid, log_ticks, nice_ticks, polyline, text
from migrator.serve.calendar import Calendar

WIDTH, HEIGHT = 420, 170
LEFT, RIGHT, TOP, BOTTOM = 52.0, 12.0, 10.0, 24.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: (seconds since the epoch, value); None is a gap."""

    css: str
    name: str
    points: Sequence[tuple[float, float | None]]


def over_time(label: str, lines: Sequence[Line], say: Callable[[float], str], *, log: bool = False) -> Markup:
    """Return *lines* over one axis of time; '' where none of them has two values."""
    values = [v for line in lines for _, v in line.points if v is not None]
    times = [t for line in lines for t, v in line.points if v is not None]
    if len(values) < 2 or max(times) <= min(times):
        return Markup()
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    x = Scale(min(times), max(times), LEFT, right)
    ticks: list[float]
    if log:
        floor = min((v for v in values if v > 0), default=0.001)
        ticks = log_ticks(floor, max(*values, floor * 10))
        y = Scale(ticks[0], ticks[-1], bottom, TOP, log=True)
    else:
        top = max(values) or 1.0
        ticks = nice_ticks(top, 4) if top >= 4 else [0.0, top / 2, top]
        y = Scale(0, ticks[-1], bottom, TOP)
    parts: list[str] = [grid(y, ticks, say, LEFT, right)]
    for at, anchor in ((min(times), "start"), (max(times), "end")):
        said = f"{datetime.fromtimestamp(at, UTC):%H:%M}"
        parts.append(text(x(at), HEIGHT - 6, said, class_="tick", text_anchor=anchor))
    for line in lines:
        found: list[Point | None] = [None if v is None else (x(t), y(v)) for t, v in line.points]
        parts.append(element("path", element("title", line.name), d=polyline(found), class_=f"line-{line.css}"))
    return drawing(WIDTH, HEIGHT, label, *parts, class_="chart")


def strip(calendar: Calendar) -> Markup:
    """Return the calendar as a drawing: planned weeks above, what happened below, and now."""
    width, row, left = 1120, 26, 96
    last = max([calendar.weeks, calendar.now or 0, *(s.actual[1] for s in calendar.stretches if s.actual)])
    x = Scale(0, last, left, width - 12)
    parts: list[str] = []
    step = 1 if last <= 30 else round(last / 24)
    for week in range(0, int(last) + 1, step):
        parts.append(element("line", x1=x(week), x2=x(week), y1=8, y2=8 + 2 * row, class_="grid"))
        if week < last:
            middle = (x(week) + x(min(week + step, last))) / 2
            parts.append(text(middle, 2 * row + 26, str(week + 1), class_="tick", text_anchor="middle"))
    parts.append(text(left - 10, 8 + row * 0.65, "planned", class_="tick", text_anchor="end"))
    parts.append(text(left - 10, 8 + row * 1.65, "so far", class_="tick", text_anchor="end"))
    for stretch in calendar.stretches:
        name = stretch.phase.replace("_", " ")
        for begin_end, at in ((stretch.planned, 8), (stretch.actual, 8 + row)):
            if begin_end is None:
                continue
            begin, end = begin_end
            wide = max(x(end) - x(begin), 3.0)
            planned = at == 8
            title = f"{name}: {stretch.weeks}" if planned else f"{name}: {stretch.state}"
            css = f"phase phase-{stretch.phase}" + (" planned" if planned else "")
            box = element("title", title)
            parts.append(element("rect", box, x=x(begin), y=at + 3, width=wide, height=row - 6, rx=4, class_=css))
            if wide > len(name) * 6.6 + 8:
                css = "planned-name" if planned else "phase-name"
                parts.append(text(x(begin) + wide / 2, at + 17, name, class_=css, text_anchor="middle"))
    if calendar.now is not None:
        now = x(calendar.now)
        parts.append(element("line", x1=now, x2=now, y1=4, y2=12 + 2 * row, class_="now"))
    return drawing(width, 2 * row + 32, "Phases: planned weeks, and what happened", *parts, class_="strip")


def shares(parts: Sequence[tuple[str, str, int]], label: str) -> Markup:
    """Return a bar of (css, name, count), each as long as its share."""
    total = sum(count for _, _, count in parts)
    if not total:
        return Markup()
    found, at = [], 0.0
    for css, name, count in parts:
        if count:
            long = max(count / total * 1000, 4)
            title = element("title", f"{name}: {count:,}")
            found.append(element("rect", title, x=at, y=0, width=long, height=20, class_=f"fill-{css}"))
            at += long
    return element(
        "svg", *found, viewBox=f"0 0 {max(at, 1000):.0f} 20", role="img", aria_label=label, class_="shares",
        preserveAspectRatio="none",
    )  # fmt: skip

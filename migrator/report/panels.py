"""Draws lines over days and weeks: small panels above one time axis, each with the same numbered marks.

A panel is narrow, so that it is read on a phone as it is. Where nothing is known there is a gap; where nothing is known
at all the panel says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from markupsafe import Markup

from migrator.report.svg import (
    Point,
    Scale,
    band,
    drawing,
    element,
    grid,
    log_ticks,
    nice_ticks,
    polyline,
    steps,
    text,
)

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 520, 190, 52, 12, 46, 162
CALENDAR_WIDTH = 1120

Line = Sequence[float | None]

_TICKS_S = (60, 120, 300, 600, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600, 2_419_200)


@dataclass(frozen=True, slots=True)
class Times:
    """The time axis: from *since* to *until*, with a point of each line every *step_s* from *first* on."""

    since: datetime
    until: datetime
    first: datetime
    step_s: float
    marks: Sequence[datetime] = ()

    def scale(self, left: float, right: float) -> Scale:
        return Scale(self.since.timestamp(), max(self.until.timestamp(), self.since.timestamp() + 1), left, right)

    def middles(self, count: int) -> list[float]:
        """Return the middle of each point's time, in seconds since 1970, within the axis."""
        began = self.first.timestamp()
        ends = (self.since.timestamp(), self.until.timestamp())
        return [min(max(began + (n + 0.5) * self.step_s, ends[0]), ends[1]) for n in range(count)]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A line of a panel. css: its colour; area: it is filled down to the one before, or to the bottom.

    Attributes:
        stepped: a value holds until the next one, as a number of tenants does.
        faint: drawn thin, behind the others.
    """

    label: str
    css: str
    values: Line
    area: bool = False
    stepped: bool = False
    faint: bool = False


def panel(
    title: str,
    note: str,
    times: Times,
    lines: Sequence[Drawn],
    say: Callable[[float], str],
    *,
    log_from: float | None = None,
    limit: tuple[float, str] | None = None,
    highest: float | None = None,
    ticks: Sequence[float] = (),
) -> Markup:
    """Return one panel.

    Args:
        ticks: values that may be named at the side; by default round numbers, or powers of ten.
        log_from: the scale is logarithmic, from this value on.
        limit: a value with its name, drawn across.
        highest: of the scale; by default it follows the values.
    """
    known = [value for line in lines for value in line.values if value is not None]
    parts = [text(0, 14, title, class_="panel-title"), text(0, 29, note, class_="small")]
    if not known:
        parts.append(
            text(WIDTH / 2, (TOP + BOTTOM) / 2, "not known: nothing was stored", class_="small", text_anchor="middle")
        )
        return drawing(WIDTH, HEIGHT, f"{title}: not known", *parts, class_="panel")
    parts.append(_legend(lines))
    x = times.scale(LEFT, WIDTH - RIGHT)
    y = _scale(max([*known, *([limit[0]] if limit else [])]), log_from, highest)
    parts.append(grid(y, _ticks(y, ticks), say, LEFT, WIDTH - RIGHT))
    if limit is not None and y.low <= limit[0] <= y.high:
        at = y(limit[0])
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="median"))
        parts.append(text(LEFT + 4, at - 4, limit[1], class_="small"))
    below: Line | None = None
    for line in lines:
        parts.append(_line(line, below, times, x, y))
        below = line.values if line.area else below
    parts.append(_marks(times.marks, x, TOP - 4, BOTTOM))
    parts.append(date_axis(times, x, BOTTOM, 5))
    return drawing(WIDTH, HEIGHT, title, *parts, class_="panel")


def bars(title: str, note: str, times: Times, found: Sequence[tuple[datetime, float, str]], say: Callable[[float], str],
         limit: tuple[float, str] | None = None) -> Markup:  # fmt: skip
    """Return a panel of one bar a day: its moment, its height, what it says."""
    parts = [text(0, 14, title, class_="panel-title"), text(0, 29, note, class_="small")]
    if not found:
        parts.append(
            text(WIDTH / 2, (TOP + BOTTOM) / 2, "not known: nothing was stored", class_="small", text_anchor="middle")
        )
        return drawing(WIDTH, HEIGHT, f"{title}: not known", *parts, class_="panel")
    x = times.scale(LEFT, WIDTH - RIGHT)
    y = _scale(max([value for _, value, _ in found] + ([limit[0]] if limit else [])), None, None)
    parts.append(grid(y, _ticks(y), say, LEFT, WIDTH - RIGHT))
    width = max(x(times.since.timestamp() + 86_400) - LEFT - 0.5, 1.0)
    for at, value, said in found:
        left = min(max(x(at.timestamp()) - width / 2, LEFT), WIDTH - RIGHT - width)
        bar = element("title", said)
        parts.append(element("rect", bar, x=left, y=y(value), width=width, height=BOTTOM - y(value), class_="bar"))
    if limit is not None:
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(limit[0]), y2=y(limit[0]), class_="median"))
        parts.append(text(LEFT + 4, y(limit[0]) - 4, limit[1], class_="small"))
    parts.append(_marks(times.marks, x, TOP - 4, BOTTOM))
    parts.append(date_axis(times, x, BOTTOM, 5))
    return drawing(WIDTH, HEIGHT, title, *parts, class_="panel")


def _unknown(title: str, parts: Sequence[Markup]) -> Markup:
    said = text(WIDTH / 2, (TOP + BOTTOM) / 2, "not known: nothing was stored", class_="small", text_anchor="middle")
    return drawing(WIDTH, HEIGHT, f"{title}: not known", *parts, said, class_="panel")


def stacked(*lines: Line) -> list[list[float | None]]:
    """Return the lines, each on top of those before; unknown where one of them is."""
    tops: list[list[float | None]] = []
    for line in lines:
        below: Line = tops[-1] if tops else [0.0] * len(line)
        tops.append([None if a is None or b is None else a + b for a, b in zip(below, line, strict=True)])
    return tops


def date_axis(times: Times, x: Scale, y: float, most: int) -> Markup:
    """Return the axis with at most about *most* dates or times of day, in UTC."""
    span = times.until.timestamp() - times.since.timestamp()
    step = next((s for s in _TICKS_S if span / s <= most), int(span / most) + 1)
    parts = [element("line", x1=x.start, x2=x.end, y1=y, y2=y, class_="axis")]
    first = int(times.since.timestamp() // step + 1) * step
    for at_s in range(first, int(times.until.timestamp()) + 1, step):
        at = x(at_s)
        said = datetime.fromtimestamp(at_s, UTC).strftime("%-d %b" if step >= 86_400 else "%H:%M")
        parts.append(element("line", x1=at, x2=at, y1=y, y2=y + 4, class_="axis"))
        parts.append(text(at, y + 17, said, class_="tick", text_anchor="middle"))
    return element("g", *parts)


def _ticks(y: Scale, given: Sequence[float] = ()) -> list[float]:
    """Return up to five values for the side."""
    if y.log:
        found = [tick for tick in given or log_ticks(y.low, y.high) if y.low <= tick <= y.high]
        return found[:: -(-len(found) // 5)]
    if y.high >= 3:
        return [tick for tick in nice_ticks(y.high, 3) if tick <= y.high]
    if y.high < 1e-300:  # a step would be smaller than any number
        return [0.0]
    step = 10.0 ** math.floor(math.log10(y.high / 2))
    step = next(m * step for m in (5, 2, 1) if m * step <= y.high / 2)
    return [n * step for n in range(int(y.high / step) + 1)]


def _scale(most: float, log_from: float | None, highest: float | None) -> Scale:
    if log_from is not None:
        high = log_from * 10
        while high < most and high < 1e18:
            high *= 10
        return Scale(log_from, high, BOTTOM, TOP, log=True)
    return Scale(0, highest if highest is not None else (most * 1.06 or 1.0), BOTTOM, TOP)


def _legend(lines: Iterable[Drawn]) -> Markup:
    parts, right = [], float(WIDTH - RIGHT)
    for line in reversed([line for line in lines if line.label]):
        right -= len(line.label) * 6.2
        parts.append(text(right, 14, line.label, class_="small"))
        right -= 14
        parts.append(element("rect", x=right, y=5, width=10, height=10, rx=2, class_=f"fill-{line.css}"))
        right -= 10
    return element("g", *parts)


def _line(line: Drawn, below: Line | None, times: Times, x: Scale, y: Scale) -> Markup:
    at = [x(s) for s in times.middles(len(line.values))]
    parts: list[str] = []
    for first, last in runs(line.values):
        upper: list[Point] = [(at[n], y(line.values[n] or 0.0)) for n in range(first, last)]
        lower = [(at[n], y((below[n] or 0.0) if below else y.low)) for n in range(first, last)]
        if last - first == 1:  # a point alone is a short stroke
            upper.append((upper[0][0] + 2, upper[0][1]))
            lower.append((lower[0][0] + 2, lower[0][1]))
        if line.stepped:
            upper, lower = steps(upper), steps(lower)
        if line.area:
            parts.append(element("path", d=band(upper, lower), class_=f"area-{line.css}"))
        parts.append(element("path", d=polyline(upper), class_=f"line-{line.css}{' faint' if line.faint else ''}"))
    return element("g", *parts)


def runs(values: Line) -> list[tuple[int, int]]:
    """Return where values are known without a gap: from, to."""
    found: list[tuple[int, int]] = []
    for number, value in enumerate(values):
        if value is None:
            continue
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return found


def _marks(marks: Sequence[datetime], x: Scale, top: float, bottom: float) -> Markup:
    parts, last = [], -100.0
    for number, moment in enumerate(marks, 1):
        if not x.low <= moment.timestamp() <= x.high:
            continue
        at = x(moment.timestamp())
        parts.append(element("line", x1=at, x2=at, y1=top, y2=bottom, class_="event-line"))
        if at - last >= 17:  # neighbours must not cover each other
            last = at
            parts.append(element("circle", cx=at, cy=top, r=8, class_="event-flag"))
            parts.append(text(at, top + 3.5, str(number), class_="event-number", text_anchor="middle"))
    return element("g", *parts)


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of the calendar; css is its phase's. ahead: it is still to come."""

    name: str
    css: str
    began: datetime
    ended: datetime
    said: str
    ahead: bool = False


def calendar(
    bars_: Sequence[Bar], now: datetime, planned: tuple[datetime, datetime] | None, end: datetime | None
) -> Markup:
    """Return phases that were and those to come, above the plan's calendar, with today."""
    ends = [now, *(bar.ended for bar in bars_), *(planned or ()), *([end] if end else [])]
    since = min([now, *(bar.began for bar in bars_), *(planned[:1] if planned else ())])
    until = max(*ends, since + timedelta(minutes=1))
    times = Times(since, until, since, 1)
    left, right, width = 12, CALENDAR_WIDTH - 12, CALENDAR_WIDTH
    x = times.scale(left, right)
    parts: list[str] = []
    labelled = -100.0
    for bar in bars_:
        begin, stop = x(bar.began.timestamp()), x(bar.ended.timestamp())
        wide = max(stop - begin - 2, 1.5)
        css = f"phase phase-{bar.css}{' ahead' if bar.ahead else ''}"
        parts.append(
            element("rect", element("title", bar.said), x=begin, y=38, width=wide, height=26, rx=4, class_=css)
        )
        if wide > len(bar.name) * 6.8 + 8:
            name_css = "phase-name ahead" if bar.ahead else "phase-name"
            parts.append(text(begin + wide / 2, 55, bar.name, class_=name_css, text_anchor="middle"))
        elif begin - labelled > len(bar.name) * 6.4:
            labelled = begin
            parts.append(text(begin, 33, bar.name, class_="small"))
    if planned:
        begin, stop = x(planned[0].timestamp()), x(planned[1].timestamp())
        parts.append(element("rect", x=begin, y=74, width=max(stop - begin, 1.5), height=12, rx=3, class_="plan"))
        parts.append(text(begin + 6, 84, "the plan's calendar", class_="small"))
    at = x(now.timestamp())
    parts.append(element("line", x1=at, x2=at, y1=16, y2=96, class_="now"))
    anchor = "end" if at > width - 60 else "start"
    parts.append(text(at + (-4 if anchor == "end" else 4), 13, "today", class_="note", text_anchor=anchor))
    parts.append(date_axis(times, x, 96, 12))
    return drawing(width, 120, "Calendar of the migration", *parts, class_="wide")

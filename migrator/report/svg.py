"""SVG primitives for the drawings; colours are CSS classes, so that themes work.

Whatever is no Markup of this module is text, and is escaped, with hidden characters named: names of tenants and errors
come from elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from migrator.report.words import visible


def element(tag: str, *children: str, **attributes: object) -> Markup:
    """Return one element. `class_` becomes class, underscores become hyphens; None leaves an attribute out."""
    named = Markup().join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), _text(value))
        for name, value in attributes.items()
        if value is not None
    )
    if not children:
        return Markup("<{}{}/>").format(tag, named)
    return Markup("<{0}{1}>{2}</{0}>").format(tag, named, Markup().join(map(_seen, children)))


def text(x: float, y: float, words: str, **attributes: object) -> Markup:
    return element("text", words, x=x, y=y, **attributes)


def drawing(width: int, height: float, label: str, *parts: str, class_: str) -> Markup:
    """Return the whole drawing; *label* says to who cannot see it what it is."""
    box = f"0 0 {width} {height:.0f}"
    return element("svg", *parts, viewBox=box, role="img", aria_label=label, class_=class_)


def grid(y: Scale, ticks: Iterable[float], say: Callable[[float], str], left: float, right: float) -> Markup:
    """Return a line from *left* to *right* at each of *ticks*, with what *say* calls it before it."""
    parts = []
    for tick in ticks:
        at = y(tick)
        parts.append(element("line", x1=left, x2=right, y1=at, y2=at, class_="grid"))
        parts.append(text(left - 8, at + 4, say(tick), class_="tick", text_anchor="end"))
    return Markup().join(parts)


def _text(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else _seen(str(value))


def _seen(value: str) -> str:
    return value if isinstance(value, Markup) else visible(value)


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps a range of values to a range of pixels; logarithmic when asked for."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        if self.log:
            low, high = math.log10(self.low), math.log10(self.high)
            ratio = (math.log10(max(value, self.low)) - low) / (high - low or 1)
        else:
            ratio = (value - self.low) / (self.high - self.low or 1)
        return self.start + min(max(ratio, 0.0), 1.0) * (self.end - self.start)


def nice_ticks(high: float, count: int) -> list[float]:
    """Return about *count* round whole numbers from 0 to at least *high*."""
    if high <= count:
        return [float(i) for i in range(max(1, math.ceil(high)) + 1)]
    raw = high / max(count, 1)
    magnitude = 10 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    return [i * step for i in range(math.ceil(high / step - 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return the powers of ten from *low* to *high*."""
    return [10.0**e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


Point = tuple[float, float]


def polyline(points: Iterable[Point | None]) -> str:
    """Return the path data of a line; None is a gap."""
    parts, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        parts.append(f"{pen}{point[0]:.1f} {point[1]:.1f}")
        pen = "L"
    return "".join(parts)


def band(upper: Sequence[Point], lower: Sequence[Point]) -> str:
    """Return the path data of the area between two lines over the same x."""
    if not upper:
        return ""
    return polyline([*upper, *reversed(lower)]) + "Z"


def steps(points: Sequence[Point]) -> list[Point]:
    """Return *points* as a staircase: a value holds until the next one."""
    found: list[Point] = []
    for x, y in points:
        if found:
            found.append((x, found[-1][1]))
        found.append((x, y))
    return found

"""Renders a load test as a page. Self-contained; works from a mail attachment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from migrator.report import words
from migrator.report.svg import Scale, drawing, element, grid, log_ticks, nice_ticks, polyline, text
from migrator.report.template import render

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 520, 240, 56, 14, 36, 196
MOST_STATEMENTS = 50
SIDES = {"limitless": "Limitless", "classic": "classic"}
CSS = {"limitless": "line-limitless", "classic": "line-classic"}
FAILURES = {
    "queue": "it queued: it was served more slowly than it was offered",
    "latency": "its 99th percentile is over the limit",
    "errors": "too many errors",
    "generator": "the generator was at its own limit",
    "few": "too few arrivals to say anything",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one side carries. css: good, bad or wait."""

    side: str
    figure: str
    sentence: str
    css: str


def page(body: Mapping[str, Any]) -> str:
    """Return the page for the stored report of a load test."""
    details = body["details"]
    sides = {side: details["sides"][side] for side in SIDES if side in details["sides"]}
    verdicts = [verdict(body, side) for side in sides]
    steps = {side: found["steps"] for side, found in sides.items()}
    return render(
        "load.html",
        body=body,
        details=details,
        verdicts=verdicts,
        sides=[(SIDES[side], found, body[side]) for side, found in sides.items()],
        failures=FAILURES,
        served=_served(steps, body["peak_per_s"]),
        latencies=[
            (SIDES[side], _latency(found["steps"], details["bounds"]["p99_ms"])) for side, found in sides.items()
        ],
        moments=[(SIDES[side], _moments(found["moments"])) for side, found in sides.items()],
        worse=_worse(sides["limitless"]["statements"]),
        more=max(len(sides["limitless"]["statements"]) - MOST_STATEMENTS, 0),
        uses=_uses(details["uses"]),
        projection=details["projection"],
    )


def verdict(body: Mapping[str, Any], side: str) -> Verdict:
    """Return what *side* carries, in words."""
    result, found, peak = body[side], body["details"]["sides"][side], body["peak_per_s"]
    name, saturation, served = SIDES[side], result["saturation_per_s"], result["served_per_s"]
    rate = f"{words.fixed(served)}/s"
    if found["generator_limited"]:
        return Verdict(name, f"≥ {rate}", "above it the generator, not the server, was at its limit", "wait")
    if found["held_per_s"] is None and found["why"] is None:
        return Verdict(name, "not known", "no rate was offered to its end, or had enough arrivals", "wait")
    if saturation is None:
        return Verdict(name, f"≥ {rate}", "keeps up with all that was offered", "good" if served >= peak else "wait")
    why = FAILURES.get(found["why"], "")
    failed = f"{words.fixed(found['failed_per_s'])}/s"
    if found["held_per_s"] is None:
        return Verdict(name, f"< {failed}", f"does not hold the lowest rate: {why}", "bad")
    css = "good" if saturation >= peak else "bad"
    return Verdict(name, f"{words.fixed(saturation)}/s", f"keeps up with it, and not with {failed}: {why}", css)


# -- drawings --------------------------------------------------------------------------------------------------------


def _axes(x: Scale, say_x: str, highest: float) -> list[str]:
    parts: list[str] = [
        text(x(tick), BOTTOM + 16, words.short(tick), class_="tick", text_anchor="middle")
        for tick in nice_ticks(highest, 6)
        if tick <= highest
    ]
    return [*parts, text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, say_x, class_="tick", text_anchor="middle")]


def _line(css: str, points: Sequence[tuple[float, float] | None], label: str) -> Markup:
    dots = [
        element("circle", element("title", label), cx=p[0], cy=p[1], r=2.5, class_=f"dot {css}") for p in points if p
    ]
    return Markup().join([element("path", class_=css, d=polyline(points)), *dots])


def _served(steps: Mapping[str, Sequence[Mapping[str, Any]]], peak: float) -> Markup:
    """Return what was served at each rate that was offered; a side that keeps up stays on the thin line."""
    highest = max((s["offered"] for found in steps.values() for s in found), default=0.0)
    if highest <= 0:
        return Markup()
    x, y = Scale(0, highest, LEFT, WIDTH - RIGHT), Scale(0, highest, BOTTOM, TOP)
    parts: list[str] = [grid(y, [t for t in nice_ticks(highest, 4) if t <= highest], words.short, LEFT, WIDTH - RIGHT)]
    parts.append(element("line", x1=x(0), y1=y(0), x2=x(highest), y2=y(highest), class_="median"))
    if peak <= highest:
        parts.append(element("line", x1=x(peak), x2=x(peak), y1=TOP, y2=BOTTOM, class_="event-line"))
        parts.append(text(x(peak) + 4, TOP + 10, "peak", class_="small"))
    for number, (side, found) in enumerate(steps.items()):
        points = [(x(s["offered"]), y(s["served"])) for s in found]
        parts.append(_line(CSS[side], points, f"{SIDES[side]}, served"))
        parts.append(text(LEFT + number * 90, 22, SIDES[side], class_=f"label {CSS[side]}"))
    parts += _axes(x, "offered, transactions/s", highest)
    return drawing(WIDTH, HEIGHT, "Served by offered", *parts, class_="panel")


def _latency(steps: Sequence[Mapping[str, Any]], limit_ms: float) -> Markup:
    """Return the percentiles at each rate, on a logarithmic scale, with the limit of a rate that is held."""
    known = [s for s in steps if s["p99_ms"] is not None]
    if not known:
        return Markup()
    highest = max(s["offered"] for s in known)
    values = [max(s[name], 0.01) for s in known for name in ("p50_ms", "p999_ms")]
    ticks = log_ticks(min(values), max(*values, limit_ms))
    x, y = Scale(0, highest, LEFT, WIDTH - RIGHT), Scale(ticks[0], max(ticks[-1], ticks[0] * 10), BOTTOM, TOP, log=True)
    parts: list[str] = [grid(y, ticks, lambda ms: words.tick(ms / 1000), LEFT, WIDTH - RIGHT)]
    if limit_ms <= y.high:
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(limit_ms), y2=y(limit_ms), class_="event-line"))
    for number, (name, label, css) in enumerate(
        (("p50_ms", "p50", "line-limitless"), ("p99_ms", "p99", "line-write"), ("p999_ms", "p99.9", "line-lag"))
    ):
        parts.append(_line(css, [(x(s["offered"]), y(max(s[name], 0.01))) for s in known], label))
        parts.append(text(LEFT + number * 60, 22, label, class_=f"label {css}"))
    parts += _axes(x, "offered, transactions/s", highest)
    return drawing(WIDTH, HEIGHT, "Latency by offered rate", *parts, class_="panel")


def _moments(moments: Sequence[Mapping[str, Any]]) -> Markup:
    """Return the test second by second: what was offered, what was answered, what waited."""
    if len(moments) < 2:
        return Markup()
    ends = moments[-1]["at_s"]
    highest = max(max(m["rate"], m["answered"], 1.0) for m in moments)
    waiting = max(max(m["waiting"] for m in moments), 1)
    x, y = Scale(0, ends, LEFT, WIDTH - RIGHT - 30), Scale(0, highest, BOTTOM, TOP)
    right = Scale(0, waiting, BOTTOM, TOP)
    parts: list[str] = [
        grid(y, [t for t in nice_ticks(highest, 4) if t <= highest], words.short, LEFT, WIDTH - RIGHT - 30)
    ]
    parts += [
        text(WIDTH - RIGHT - 24, right(share * waiting) + 4, words.short(share * waiting), class_="tick")
        for share in (0, 1)
    ]
    for number, (name, label, css, scale) in enumerate(
        (
            ("waiting", "waiting (right)", "line-lag faint", right),
            ("rate", "offered", "line-mirrored", y),
            ("answered", "answered", "line-limitless", y),
        )
    ):
        points = [(x(m["at_s"]), scale(m[name])) for m in moments]
        parts.append(element("path", class_=css, d=polyline(points)))
        parts.append(text(LEFT + number * 110, 22, label, class_=f"label {css}"))
    parts += [
        text(x(share * ends), BOTTOM + 16, words.clock(share * ends), class_="tick", text_anchor="middle")
        for share in (0, 0.5, 1)
    ]
    return drawing(WIDTH, HEIGHT, "The test, second by second", *parts, class_="panel")


def _uses(uses: Sequence[Mapping[str, float]]) -> Markup:
    """Return the ACU that were used at each rate."""
    if not uses:
        return Markup()
    known = sorted(uses, key=lambda u: u["rate"])
    widest, highest = known[-1]["rate"], max(u["acu"] for u in known)
    x, y = Scale(0, widest, LEFT, WIDTH - RIGHT), Scale(0, highest, BOTTOM, TOP)
    parts: list[str] = [grid(y, [t for t in nice_ticks(highest, 4) if t <= highest], words.short, LEFT, WIDTH - RIGHT)]
    parts.append(_line("line-limitless", [(x(u["rate"]), y(u["acu"])) for u in known], "ACU"))
    parts += _axes(x, "served, transactions/s", widest)
    return drawing(WIDTH, HEIGHT, "ACU by served rate", *parts, class_="panel")


def _worse(statements: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [{**s, "calls": sum(point["calls"] for point in s["points"])} for s in statements[:MOST_STATEMENTS]]

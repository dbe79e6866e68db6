"""Renders the comparison of what can be done with a writer that fills up as a page. Self-contained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from migrator.report import words
from migrator.report.svg import Scale, drawing, element, grid, nice_ticks, polyline, text
from migrator.report.template import render

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 520, 240, 56, 14, 36, 196
BAR, LABEL = 34, 168
BASES = {"measured": "good", "given": "", "assumption": "wait", "unknown": "wait"}
"""How a figure's basis is marked: what is assumed should be looked at."""


def page(body: Mapping[str, Any]) -> str:
    """Return the page of what `migrator decide --json` prints."""
    options = body["options"]
    best = options[0]
    return render(
        "decision.html",
        body=body,
        best=best,
        options=options,
        possible=sum(option["possible"] for option in options),
        load=_load(body["load"]),
        costs=_costs(options),
        figures=list(body["figures"].values()),
        bases=BASES,
        months=len(body["load"]["busy_vcpus"]) - 1,
    )


def _load(load: Mapping[str, Any]) -> Markup:
    """Return the vCPUs that are busy month by month, and where the writer, and the largest server, are full."""
    busy: Sequence[float] = load["busy_vcpus"]
    limits = [(load["now_vcpus"], "the writer now"), (load["largest_vcpus"], "the largest server is full")]
    highest = max(*busy, *(value for value, _ in limits)) * 1.05
    x, y = Scale(0, max(len(busy) - 1, 1), LEFT, WIDTH - RIGHT), Scale(0, highest, BOTTOM, TOP)
    parts: list[str] = [grid(y, [t for t in nice_ticks(highest, 4) if t <= highest], words.short, LEFT, WIDTH - RIGHT)]
    for value, label in limits:
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(value), y2=y(value), class_="event-line"))
        parts.append(text(LEFT + 4, y(value) - 4, label, class_="small"))
    points = [(x(month), y(value)) for month, value in enumerate(busy)]
    parts.append(element("path", class_="line-classic", d=polyline(points)))
    parts.append(text(LEFT, 22, "vCPU busy at the peak", class_="label line-classic"))
    parts += [
        text(x(tick), BOTTOM + 16, words.short(tick), class_="tick", text_anchor="middle")
        for tick in nice_ticks(len(busy) - 1, 6)
        if tick <= len(busy) - 1
    ]
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "months", class_="tick", text_anchor="middle"))
    return drawing(WIDTH, HEIGHT, "Busy vCPUs by month", *parts, class_="panel")


def _costs(options: Sequence[Mapping[str, Any]]) -> Markup:
    """Return what each option costs over the whole time: servers, and people behind them. Impossible ones are faint."""
    highest = max(option["total_usd"] for option in options) or 1
    x = Scale(0, highest, LABEL, WIDTH - 70)
    parts: list[str] = [
        text(LABEL, 22, "servers", class_="label line-limitless"),
        text(LABEL + 80, 22, "people", class_="label line-write"),
    ]
    for number, option in enumerate(options):
        top = TOP + number * BAR + 6
        seen = 1 if option["possible"] else 0.35
        middle = x(option["servers_usd"])
        parts += [
            text(0, top + 13, option["title"], class_="small"),
            _bar(LABEL, middle, top + 2, "dot line-limitless", seen),
            _bar(middle, x(option["total_usd"]), top + 2, "dot line-write", seen),
            text(x(option["total_usd"]) + 8, top + 13, f"{option['total_usd'] / 1000:,.0f} k", class_="tick"),
        ]
    return drawing(WIDTH, TOP + BAR * len(options) + 14, "Cost by option, in USD", *parts, class_="panel")


def _bar(begin: float, end: float, y: float, css: str, seen: float) -> Markup:
    return element("rect", x=begin, y=y, width=max(end - begin, 0.5), height=14, class_=css, opacity=seen)

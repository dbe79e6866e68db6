"""The lines that the board draws over the last hours, with what each one means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from migrator.model.series import Series
from migrator.model.shown import duration
from migrator.report import words
from migrator.serve import charts


@dataclass(frozen=True, slots=True)
class Drawn:
    """One picture. lines: (css class, name, key of `model.series`); scale: of its unit to the one shown."""

    title: str
    note: str
    lines: Sequence[tuple[str, str, str]]
    say: Callable[[float], str]
    scale: float = 1.0
    log: bool = False


def _sides(key: str) -> Sequence[tuple[str, str, str]]:
    return (("classic", "classic", f"classic_{key}"), ("limitless", "Limitless", f"limitless_{key}"))


PICTURES = (
    Drawn("Mirror lag", "highest; logarithmic", [("lag", "lag", "lag_max_s")], words.tick, log=True),
    Drawn("Latency of reads", "p99; logarithmic", _sides("p99_ms"), words.tick, 0.001, log=True),
    Drawn("Reads", "a second", _sides("reads_per_s"), words.short),
    Drawn("Reads that failed", "share", _sides("error_ratio"), lambda ratio: f"{words.two_digits(ratio * 100)}%"),
    Drawn(
        "Tenants",
        "",
        (
            ("mirrored", "mirrored", "mirrored"),
            ("joining", "joining", "joining"),
            ("limitless", "on Limitless", "limitless"),
        ),
        words.short,
    ),
    Drawn("Oldest clean validation of a tenant", "age", [("write", "age", "oldest_clean_s")], duration),
    Drawn("Classic's writer", "use of its processors", [("classic", "CPU", "cpu")], words.percent),
    Drawn("Journal", "MB on classic", [("mirrored", "journal", "journal_bytes")], words.short, 1e-6),
)
FIRST = 3
"""Pictures that are shown, empty, where nothing was measured at all."""


def over_time(found: Series | None) -> dict[str, Any]:
    """Return what the template shows: pictures of what was measured, and the time they span in words."""
    if found is None:
        return {"charts": (), "span": ""}
    times = [moment.timestamp() for moment in found.at]

    def line(css: str, name: str, key: str, scale: float) -> charts.Line:
        values = (None if value is None else value * scale for value in found.values[key])
        return charts.Line(css, name, list(zip(times, values, strict=True)))

    drawn = []
    for one in PICTURES:
        lines = [line(*which, one.scale) for which in one.lines]
        legend = [(css, name) for css, name, _ in one.lines] if len(one.lines) > 1 else []
        picture = charts.over_time(one.title, lines, one.say, log=one.log)
        drawn.append({"title": one.title, "note": one.note, "drawing": picture, "legend": legend})
    begin, end = (moment.astimezone(UTC).strftime("%H:%M") for moment in (found.since, found.until))
    measured = [one for one in drawn if one["drawing"]]
    span = f"{begin} to {end} UTC; each point stands for {duration(found.step_s)}."
    return {"charts": measured or drawn[:FIRST], "span": span}

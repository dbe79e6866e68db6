"""Estimates what the findings of an audit take: complexity and effort for each area. Pure.

All figures are assumptions and are shown as such, with where they come from; this is the one place that has them. A
team that has dealt with its first ten findings knows better.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours for the first finding of a rule, and why so many."""

    low: float
    high: float
    why: str


HOURS = {
    "blocker": Hours(6, 24, "AWS SCT calls work of more than 6 hours significant; three days as the upper end is ours"),
    "rewrite": Hours(0.5, 2, "AWS SCT calls work of less than 2 hours simple; half an hour as the lower end is ours"),
    "warning": Hours(0.25, 1, "ours: to read it, decide, and write down why"),
    "info": Hours(0, 0, "read, not worked on"),
}
"""By severity. AWS SCT: its user guide on the assessment report, read 2026-11."""

REPEATED = 0.2
"""What each further finding of the same rule costs of the first: the fix is known. An assumption of ours."""

DAY_HOURS = 6
"""Hours of a person-day that go into such work. An assumption of ours."""

LEVELS = {"blocker": (0, 4), "rewrite": (10, 100), "warning": (20, math.inf)}
"""More findings than the first is medium complexity, more than the second is high: the thresholds that yb-voyager has
for its impact levels 3, 2 and 1 (migration_complexity.go, read 2026-11)."""

ASSUMPTIONS = (
    *(
        f"{name}: {h.low:g} to {h.high:g} hours for the first of a rule ({h.why})"
        for name, h in HOURS.items()
        if h.high
    ),
    f"each further finding of the same rule: {REPEATED:.0%} of that, as the fix is known (ours)",
    f"{DAY_HOURS} hours of work in a person-day (ours)",
    "complexity: medium above 0 blockers, 10 rewrites or 20 warnings, high above 4 blockers or 100 rewrites (the "
    "thresholds of yb-voyager's assessment)",
    "not counted: provisioning, copy, cutover and observation, which this tool does, load tests, and training",
)

AREAS: dict[str, tuple[str, ...]] = {
    "Keys and sharding": ("LIM-KEY", "LIM-FK", "AUD-TEN", "AUD-CPY"),
    "Tables, columns, indexes": ("LIM-TBL", "LIM-COL", "LIM-CHK", "LIM-SEQ", "LIM-IDX"),
    "Functions, triggers, views": ("LIM-FN", "LIM-OBJ", "LIM-SEC", "LIM-EXT", "AUD-TRG"),
    "Statements of the application": ("LIM-DML", "LIM-TXN", "LIM-QRY", "AUD-EXP"),
    "Sessions and operation": ("LIM-SES", "LIM-VER", "AUD-RUN", "AUD-ACT"),
    "Evidence of this audit": ("AUD-EVD",),
}
OTHER = "Other"


@dataclass(frozen=True, slots=True)
class Area:
    """An area of work. *low* and *high* are person-days."""

    name: str
    counts: Mapping[str, int]  # severity → findings nobody acknowledged
    complexity: str
    reason: str
    low: float
    high: float

    @property
    def days(self) -> str:
        return span(self.low, self.high)


def span(low: float, high: float) -> str:
    """Return a range of days, never more precise than a day; the ends are rounded outwards."""
    if high == 0:
        return "0"
    if high <= 1:
        return "up to 1"
    return f"{math.floor(low)} to {math.ceil(high)}"


def areas(findings: Iterable[Mapping[str, Any]]) -> list[Area]:
    """Return every area that has open findings, as the findings of a report's JSON give it."""
    by_area: dict[str, list[Mapping[str, Any]]] = {}
    for finding in findings:
        if not finding["acknowledged"]:
            by_area.setdefault(_area(finding["rule"]), []).append(finding)
    return [_summed(name, by_area[name]) for name in (*AREAS, OTHER) if name in by_area]


def _area(rule: str) -> str:
    return next((name for name, prefixes in AREAS.items() if rule.startswith(prefixes)), OTHER)


def _summed(name: str, findings: Sequence[Mapping[str, Any]]) -> Area:
    counts = Counter(f["severity"] for f in findings)
    low = high = 0.0
    for (_, severity), number in Counter((f["rule"], f["severity"]) for f in findings).items():
        units = 1 + (number - 1) * REPEATED
        low += units * HOURS[severity].low / DAY_HOURS
        high += units * HOURS[severity].high / DAY_HOURS
    return Area(name, counts, *complexity(counts), low, high)


def complexity(counts: Mapping[str, int]) -> tuple[str, str]:
    """Return low, medium or high, and what makes it so."""
    for level, limit in (("high", 1), ("medium", 0)):
        for severity, limits in LEVELS.items():
            if counts.get(severity, 0) > limits[limit]:
                count, many = counts[severity], "s" * (counts[severity] != 1)
                return level, f"{count:,} {severity}{many}, more than {limits[limit]:g}"
    return "low", "below every threshold"

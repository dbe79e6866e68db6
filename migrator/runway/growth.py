"""How fast does the load grow? A robust line through daily values, which knows what a week looks like. Pure.

Sen's slope on logarithms: the median of the growth between pairs of days, so that a day of trouble, or ten, moves
nothing. Only days of the same weekday are compared, so a quiet Sunday is no decline. Its interval is Kendall's with one
season for each weekday.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import median

MONTH_DAYS = 30.4
WEEK_DAYS = 7
BELIEVED_DAYS = 28
"""Days that a measurement must span before it is believed: each weekday four times."""

BELIEVED_SHARE = 0.5
"""And this share of the days between the first and the last must be known."""

_Z = 1.2816  # leaves a tenth on either side: an interval of 80 %


@dataclass(frozen=True, slots=True)
class Growth:
    """Growth a month: 0.15 is 15 %.

    Attributes:
        low, high: bounds of an interval that holds it in 8 of 10 cases; the same as *monthly* where a person stated it.
        source: where it comes from, in words.
    """

    monthly: float
    low: float
    high: float
    source: str

    @classmethod
    def stated(cls, monthly: float, source: str) -> Growth:
        return cls(monthly, monthly, monthly, source)

    def __str__(self) -> str:
        shown = f"{self.monthly:.1%} a month"
        if self.low != self.high:
            shown += f" ({self.low:.1%} to {self.high:.1%})"
        return f"{shown}, {self.source}"


@dataclass(frozen=True, slots=True)
class Fit:
    """What daily values say about growth.

    Attributes:
        growth: None where fewer than two weeks are known.
        days: values used; span: days from the first to the last, both counted.
        doubt: why it is not believed yet; '' when it is.
    """

    growth: Growth | None
    days: int
    span: int
    doubt: str


def fit(values: Mapping[int, float] | Iterable[tuple[int, float]], what: str) -> Fit:
    """Return how *values* grow. Days without a value are gaps; a value of zero or less is one, too.

    Args:
        values: by number of the day, in any order.
        what: what the values measure, for people.
    """
    known = sorted((day, value) for day, value in dict(values).items() if value > 0 and math.isfinite(value))
    span = known[-1][0] - known[0][0] + 1 if known else 0
    slopes = sorted(
        (math.log(later) - math.log(earlier)) / (after - before)
        for (before, earlier), (after, later) in combinations(known, 2)
        if (after - before) % WEEK_DAYS == 0
    )
    if not slopes:
        return Fit(None, len(known), span, f"{what} is known of {len(known)} days, growth needs {BELIEVED_DAYS}")
    half = _Z * math.sqrt(_variance([day for day, _ in known])) / 2
    middle = len(slopes) / 2
    low = slopes[max(0, math.floor(middle - half) - 1)]
    high = slopes[min(len(slopes) - 1, math.ceil(middle + half))]
    growth = Growth(_monthly(median(slopes)), _monthly(low), _monthly(high), f"measured by {what} over {span} days")
    if span < BELIEVED_DAYS:
        doubt = f"{what} is known of {span} days, growth is believed from {BELIEVED_DAYS} on"
    elif len(known) < BELIEVED_SHARE * span:
        doubt = f"{what} is known of {len(known)} of {span} days only"
    else:
        doubt = ""
    return Fit(growth, len(known), span, doubt)


def _variance(days: list[int]) -> float:
    """Return the variance of Kendall's S, with a season for each weekday."""
    counts = [sum(day % WEEK_DAYS == weekday for day in days) for weekday in range(WEEK_DAYS)]
    return sum(n * (n - 1) * (2 * n + 5) for n in counts) / 18


def _monthly(slope: float) -> float:
    return math.exp(min(slope * MONTH_DAYS, 50.0)) - 1

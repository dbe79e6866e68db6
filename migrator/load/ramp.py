"""Which rates are offered, for how long each. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from migrator.errors import UsageError
from migrator.load.arrivals import Window, slope, steps
from migrator.load.knee import FEWEST

OF_PEAK = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
"""Rates without --rates and --to: shares of the peak, more of them near it."""

MOST_ARRIVALS = 50_000_000


class Shape(StrEnum):
    STEPS = "steps"  # one rate after another
    SLOPE = "slope"  # from the lowest straight to the highest


@dataclass(frozen=True, slots=True)
class Asked:
    """What the operator says: rates one by one, or up to which one in how many steps. None: by the peak."""

    peak: float
    rates: Sequence[float] = ()
    to: float | None = None
    count: int = 8
    seconds: float = 60.0
    warm_up_s: float = 20.0
    shape: Shape = Shape.STEPS


def windows(asked: Asked, up_to: float | None = None) -> tuple[Window, ...]:
    """Return the windows of a side on which no more than *up_to* may be offered (None: no bound).

    Rates above the bound are left out, and the bound itself ends the ramp. The peak is always among the rates that lie
    around it, because the latency at the peak is what is asked for.

    Raises:
        UsageError: there would be no rate, or far too many arrivals.
    """
    found = sorted(set(_rates(asked)))
    if any(rate <= 0 for rate in found):
        raise UsageError("rates must be more than 0")
    if up_to is not None:
        if up_to <= 0:
            raise UsageError("the most that may be offered must be more than 0")
        kept = [rate for rate in found if rate < up_to]
        found = [*kept, up_to] if len(kept) < len(found) else kept
    if asked.shape is Shape.SLOPE:
        begin = found[0] if len(found) > 1 else found[0] / 4
        made = slope(begin, found[-1], asked.count, asked.seconds, asked.warm_up_s)
    else:
        made = steps(found, asked.seconds, asked.warm_up_s)
    most = max(w.expected for w in made if not w.warm_up)
    if most < FEWEST * 1.2:
        raise UsageError(
            f"no rate has the {FEWEST} arrivals that say something: the most are {most:,.0f}",
            hint=f"Let each rate last longer: --seconds {-(-FEWEST * 1.5 * asked.seconds // most):.0f}",
        )
    if sum(w.expected for w in made) > MOST_ARRIVALS:
        raise UsageError(f"more than {MOST_ARRIVALS:,} arrivals: offer less, or for a shorter time")
    return made


def _rates(asked: Asked) -> list[float]:
    if asked.rates:
        return [float(rate) for rate in asked.rates]
    if asked.to is None:
        return [asked.peak * share for share in OF_PEAK]
    found = [asked.to * n / asked.count for n in range(1, asked.count + 1)]
    return [*found, asked.peak] if found[0] < asked.peak < found[-1] else found


def highest(made: Sequence[Window]) -> float:
    """Return the highest rate of *made*."""
    return max(max(w.begin_rate, w.end_rate) for w in made)


def seconds(made: Sequence[Window]) -> float:
    return made[-1].end_s

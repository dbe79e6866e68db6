"""When does each arrival of a test come, whatever became of those before it? Pure.

An open system: people and jobs that arrive do not wait until others were served. So the times are known before the test
begins, and latency is counted from them; a server that stalls for a second makes everybody late who arrives in that
second, not only the few that were being served (Gil Tene's "coordinated omission"; Schroeder, Wierman,
Harchol-Balter: "Open Versus Closed: A Cautionary Tale", NSDI 2006).

Arrivals are numbered through the whole test, and each has its time from the seed alone: the same test again, on the
other side or with another number of processes, has the same arrivals.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Pattern(StrEnum):
    """How arrivals follow each other."""

    POISSON = "poisson"  # independent of each other, as those of many people are
    EVEN = "even"  # at equal distances


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a test that is judged by itself: *begin_s* to *end_s* since its beginning, at a rate that goes straight
    from *begin_rate* to *end_rate* arrivals a second. warm_up: not judged."""

    begin_s: float
    end_s: float
    begin_rate: float
    end_rate: float
    warm_up: bool = False

    def __post_init__(self) -> None:
        if not (self.end_s > self.begin_s >= 0 and self.begin_rate > 0 and self.end_rate > 0):
            raise ValueError(f"not a window: {self.begin_s:g} to {self.end_s:g} s, {self.begin_rate:g}/s")

    @property
    def seconds(self) -> float:
        return self.end_s - self.begin_s

    @property
    def rate(self) -> float:
        """Its mean rate."""
        return (self.begin_rate + self.end_rate) / 2

    @property
    def expected(self) -> float:
        """How many arrivals it has, on average."""
        return self.rate * self.seconds

    def at(self, count: float) -> float:
        """Return when so many arrivals of it (0 to `expected`) are expected to have come, since the test's begin."""
        slope = (self.end_rate - self.begin_rate) / self.seconds
        if abs(slope) < 1e-12:
            return self.begin_s + count / self.begin_rate
        root = math.sqrt(max(self.begin_rate**2 + 2 * slope * count, 0.0))
        # Not (root - rate) / slope: that loses its digits where the slope is small.
        return self.begin_s + 2 * count / (self.begin_rate + root)


def steps(rates: Sequence[float], seconds: float, warm_up_s: float = 0.0) -> tuple[Window, ...]:
    """Return a window of *seconds* for each of *rates*, after a warm-up at the first of them."""
    found, at = [], 0.0
    if warm_up_s > 0:
        found.append(Window(0.0, warm_up_s, rates[0], rates[0], warm_up=True))
        at = warm_up_s
    for rate in rates:
        found.append(Window(at, at + seconds, rate, rate))
        at += seconds
    return tuple(found)


def slope(begin: float, end: float, count: int, seconds: float, warm_up_s: float = 0.0) -> tuple[Window, ...]:
    """Return *count* windows of *seconds*, through which the rate goes straight from *begin* to *end*."""
    found, at = [], 0.0
    if warm_up_s > 0:
        found.append(Window(0.0, warm_up_s, begin, begin, warm_up=True))
        at = warm_up_s
    rates = [begin + (end - begin) * n / count for n in range(count + 1)]
    for number in range(count):
        found.append(Window(at, at + seconds, rates[number], rates[number + 1]))
        at += seconds
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Arrival:
    """The *number*-th arrival of a test: when it comes, in seconds since the test's begin, and in which window."""

    number: int
    at_s: float
    window: int


def arrivals(windows: Sequence[Window], pattern: Pattern, seed: int) -> Iterator[Arrival]:
    """Yield every arrival in order.

    Poisson: unit exponential distances on the scale of expected counts, brought to time by each window's rate, so that
    a rising rate is as exact as a steady one (Çınlar's inversion).
    """
    distances = random.Random(f"{seed} arrivals")
    number, left = 0, 0.0  # how far into the next distance the window before went
    distance = _next(distances, pattern, first=True)
    for index, window in enumerate(windows):
        count = distance - left
        while count < window.expected:
            yield Arrival(number, min(window.at(count), window.end_s), index)
            number += 1
            left = 0.0
            distance = _next(distances, pattern)
            count += distance
        left = distance - (count - window.expected)


def _next(distances: random.Random, pattern: Pattern, first: bool = False) -> float:
    if pattern is Pattern.POISSON:
        return distances.expovariate(1.0)
    return 0.5 if first else 1.0

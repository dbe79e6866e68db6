"""From which rate on does a side no longer keep up? Pure: the curve of offered, served and latency in, the answer out.

A rate is *held* when what arrived was served at that rate, within the limits of latency and of errors. The answer is
the highest rate that was held below the first that was not: what was seen, and no extrapolation. It is the usable
capacity of R. Jain, The Art of Computer Systems Performance Analysis (1991), section 3.3: the highest throughput within
a limit of response time. Others that were weighed are in docs/load.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

KEEPS_UP = 0.95
"""Of what arrived in a window, so much is answered within it. What arrives just before its end is answered after it,
as what arrived before its beginning is answered in it; the rest is noise."""

FEWEST = 50
"""A window with fewer arrivals proves nothing."""

BUSY = 0.85
LATE_MS = 50.0
"""A generator's process that used so much of a processor, or began 1 % of its arrivals so late, measured itself."""


class Failure(StrEnum):
    """Why a rate was not held."""

    QUEUE = "queue"  # it was served more slowly than it was offered
    LATENCY = "latency"  # the 99th percentile was over the limit
    ERRORS = "errors"  # too many errors
    GENERATOR = "generator"  # the generator was at its own limit: nothing is known of the server
    FEW = "few"  # too few arrivals to say anything


@dataclass(frozen=True, slots=True)
class Step:
    """What became of the arrivals of one window.

    Attributes:
        rate: that was asked for, in arrivals per second; what arrived is `offered`.
        offered, served: per second, as counted; `served` without errors, within the window's time.
        p50_ms, p99_ms, p999_ms: from the planned arrival, errors too; None: nothing was answered.
        error_share: of what was answered or given up, 0 to 1.
        abandoned: arrivals whose turn had not come when a client's patience, or the test, was over.
        generator_cpu: of one processor, of the busiest of the generator's processes, 0 to 1.
        generator_late_ms: by how much 1 % of arrivals began later than planned, whatever the server did.
    """

    rate: float
    seconds: float
    arrived: int
    offered: float
    served: float
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    error_share: float = 0.0
    abandoned: int = 0
    generator_cpu: float = 0.0
    generator_late_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a rate has to keep to be held. p99_ms, error_share (0 to 1): at most; keeps_up: share served, at least."""

    p99_ms: float = 1000.0
    error_share: float = 0.01
    keeps_up: float = KEEPS_UP
    busy: float = BUSY
    late_ms: float = LATE_MS


@dataclass(frozen=True, slots=True)
class Knee:
    """The answer.

    Attributes:
        held: the step with the highest rate that was held, below the first that was not; None: none was.
        failed: the first that was not held, for a reason of the server's; None: none.
        why: for which reason; None without.
        saturation_per_s: the rate above which it does not keep up; 0.0 when not even the lowest was held. None: not
            reached.
        generator: the first step at which the generator was at its limit; None: none. Nothing above it counts.
    """

    held: Step | None
    failed: Step | None
    why: Failure | None
    saturation_per_s: float | None
    generator: Step | None = None


def failure(step: Step, bounds: Bounds) -> Failure | None:
    """Return why *step*'s rate was not held; None when it was.

    A slow generator makes answers late, never early: what it finds held is held. What is late, queues or fails while it
    is at its limit says nothing about the server: a generator that is behind sends what was due in bursts, and its own
    delays are timeouts. The errors are counted all the same, and gates judge them by themselves.
    """
    if step.arrived < FEWEST:
        return Failure.FEW
    too_many_errors = step.error_share > bounds.error_share
    keeps_up = step.served >= step.offered * bounds.keeps_up * (1 - bounds.error_share)
    if not too_many_errors and keeps_up and step.p99_ms is not None and step.p99_ms <= bounds.p99_ms:
        return None
    if step.generator_cpu > bounds.busy or step.generator_late_ms > bounds.late_ms:
        return Failure.GENERATOR
    if too_many_errors:
        return Failure.ERRORS
    return Failure.LATENCY if keeps_up else Failure.QUEUE


def knee(steps: Sequence[Step], bounds: Bounds) -> Knee:
    """Return where a side stops to keep up, from *steps* in the order of their rates."""
    held: Step | None = None
    for step in sorted(steps, key=lambda s: s.rate):
        why = failure(step, bounds)
        if why is None:
            held = step
        elif why is Failure.GENERATOR:
            return Knee(held, None, None, None, step)
        elif why is not Failure.FEW:
            return Knee(held, step, why, held.offered if held else 0.0)
    return Knee(held, None, None, None)


def at_rate(steps: Sequence[Step], rate: float, answer: Knee) -> Step | None:
    """Return the step that says what the latency is at *rate*: the lowest held one that offered it, else the highest
    held one; without any, the lowest one that answered."""
    if answer.held is None:
        answered = [s for s in steps if s.p99_ms is not None]
        return min(answered, key=lambda s: s.rate, default=None)
    enough = [s for s in steps if rate * 0.999 <= s.rate <= answer.held.rate]
    return min(enough, key=lambda s: s.rate, default=answer.held)

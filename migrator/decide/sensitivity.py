"""Finds which input would have to be otherwise for another answer: each is moved until the proposal changes. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from migrator.decide.facts import Facts
from migrator.decide.judge import Option, proposal

RANGES: dict[str, tuple[float, float]] = {
    "cpu": (0.01, 1.0),
    "growth": (0.0, 0.5),
    "months": (1.0, 120.0),
    "largest_write_share": (0.0, 1.0),
    "crossing_share": (0.0, 1.0),
    "crossing_statements": (0.0, 5_000.0),
    "blockers": (0.0, 1_000.0),
    "team": (1.0, 100.0),
    "engineer_month_usd": (1_000.0, 100_000.0),
    "vcpu_month_usd": (5.0, 2_000.0),
    "acu_hour_usd": (0.005, 5.0),
    "limitless_acu": (16.0, 6_144.0),
    "limitless_over_manual": (0.5, 10.0),
    "largest_vcpus": (2.0, 2_000.0),
    "node_vcpus": (2.0, 1_000.0),
    "citus_team": (1.0, 50.0),
}
"""What is moved, and between which values: what a database, a team or a price may be, not what is likely."""

STEPS = 60
PRECISION = 0.005


@dataclass(frozen=True, slots=True)
class Flip:
    """An input whose change changes the proposal.

    Attributes:
        value: of now; None: unknown.
        at: the nearest value, on one side, from which on another option is proposed.
        to: that option; None: nothing is possible any more.
    """

    name: str
    value: float | None
    at: float
    to: Option | None

    def to_json(self) -> dict[str, Any]:
        return {"input": self.name, "now": self.value, "at": self.at, "to": self.to.value if self.to else None}


def flips(facts: Facts) -> tuple[Flip, ...]:
    """Return for each input the nearest value below, and above, that changes the proposal; the nearest first."""
    now = proposal(facts)
    found: list[Flip] = []
    for name, (low, high) in RANGES.items():
        value = getattr(facts, name).value
        if value is None:
            continue
        for end in (low, high):
            flip = _nearest(facts, name, value, end, now)
            if flip is not None:
                found.append(flip)
    return tuple(sorted(found, key=lambda f: (_distance(f), f.name)))


WHOLE = frozenset({"crossing_statements", "blockers", "team", "largest_vcpus", "node_vcpus", "citus_team"})
"""Inputs that are counted: half an engineer more is none."""

SHARES = frozenset({"cpu", "growth", "largest_write_share", "crossing_share"})
"""Inputs that are shown in percent with one decimal."""


def outward(flip: Flip, facts: Facts) -> float:
    """Return where to show the change: rounded away from the value of now, so that what is read changes the answer."""
    value, (low, high) = flip.value, RANGES[flip.name]
    if value is None:
        return flip.at
    if flip.name in WHOLE or flip.at >= 100:
        unit = 1.0
    elif flip.name in SHARES:
        unit = 0.001
    else:
        unit = 10.0 ** (math.floor(math.log10(flip.at)) - 2) if flip.at > 0 else 0.001
    up = flip.at > value
    before = math.floor(flip.at / unit) if up else math.ceil(flip.at / unit)
    # The nearer one first: the change was found to within a share of the value, and may be at a whole number itself.
    for count in (before, before + 1, before + 2) if up else (before, before - 1, before - 2):
        rounded = count * unit
        if low <= rounded <= high and proposal(facts.but(flip.name, rounded)) is flip.to:
            return rounded
    return flip.at


def _distance(flip: Flip) -> float:
    """Return how far the value has to move: the ratio, where both are above 0."""
    if flip.value is None:
        return float("inf")
    near, far = sorted((abs(flip.value), abs(flip.at)))
    return far / near if near > 0 else far + 1


def _nearest(facts: Facts, name: str, value: float, end: float, now: Option | None) -> Flip | None:
    """Return the first change of the proposal on the way from *value* to *end*."""
    if value == end or (end < value) != (end == RANGES[name][0]):
        return None
    before = value
    for step in range(1, STEPS + 1):
        at = value + (end - value) * (step / STEPS) ** 2  # finer near the value
        if (to := proposal(facts.but(name, at))) is not now:
            at, to = _refined(facts, name, before, at, now, to)
            return Flip(name, value, at, to)
        before = at
    return None


def _refined(
    facts: Facts, name: str, same: float, other: float, now: Option | None, to: Option | None
) -> tuple[float, Option | None]:
    """Return where between *same* and *other* the proposal changes, within `PRECISION` of the value."""
    while abs(other - same) > PRECISION * max(abs(other), abs(same), 1e-6):
        middle = (same + other) / 2
        found = proposal(facts.but(name, middle))
        if found is now:
            same = middle
        else:
            other, to = middle, found
    return other, to

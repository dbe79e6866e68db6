"""How fast may copies and comparisons go? A share of what the plan allows, adapted to both sides. Pure.

Additive increase, multiplicative decrease: the share falls to a fraction when something is over its target and rises in
small steps while everything is well within it. Between both it stays, so it does not swing around a target. One look
over a target is none, unless it is far over. The share never falls below a floor, so nothing starves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EASY = 0.8
"""Up to this part of every target the share rises; between it and the target it stays."""

FAR = 2.0
"""So many times its target counts at the first look."""

LESS, STEP = 0.7, 0.05
LOOKS = 2
"""So many looks in a row must say the same."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that is measured against a target. what: in words, for the reason; value None: it is not known.

    >>> str(Signal("commits on classic take", 412, 200, "ms"))
    'commits on classic take 412 ms (target 200)'
    """

    what: str
    value: float | None
    target: float
    unit: str

    @property
    def pressure(self) -> float:
        """Return the value as times its target; 0 when unknown."""
        return max(self.value, 0.0) / self.target if self.value is not None else 0.0

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.what} an unknown time"
        return f"{self.what} {self.value:,.4g} {self.unit}".rstrip() + f" (target {self.target:,.4g})"


@dataclass(frozen=True, slots=True)
class Pace:
    """The share of what the plan allows, and why.

    Attributes:
        over, easy: looks in a row that were over a target, and well within all.
    """

    share: float = 1.0
    reason: str = ""
    over: int = 0
    easy: int = 0

    @property
    def words(self) -> str:
        return f"{self.share:.0%} of what the plan allows" + (f": {self.reason}" if self.reason else "")


def after(pace: Pace, signals: Sequence[Signal], floor: float) -> Pace:
    """Return the pace after another look.

    Args:
        signals: of both sides; without any that is known the pace stays, as nothing says that it may rise.
        floor: the share that is always left, above 0.
    """
    known = [s for s in signals if s.value is not None]
    if not known:
        return Pace(max(pace.share, floor), "neither side can be measured" if pace.share < 1 else "")
    worst = max(known, key=lambda s: s.pressure)
    if worst.pressure > 1:
        over = pace.over + 1
        if over < LOOKS and worst.pressure < FAR:
            return Pace(max(pace.share, floor), pace.reason, over)
        return Pace(max(pace.share * LESS, floor), str(worst), over)
    if worst.pressure > EASY:
        reason = f"held, {worst}" if pace.share < 1 else ""
        return Pace(max(pace.share, floor), reason)
    easy = pace.easy + 1
    share = max(pace.share if easy < LOOKS else min(pace.share + STEP, 1.0), floor)
    return Pace(share, "rising: both sides are within their targets" if share < 1 else "", 0, easy)

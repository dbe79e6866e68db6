"""When is a message tried again, and when is it given up? Pure."""

from __future__ import annotations

LONGEST_S = 300.0
"""A receiver that takes nothing is tried again at least so often."""

MOST_REFUSALS = 5
"""A message that the receiver itself does not take is tried so often: its configuration may be corrected meanwhile."""

GIVEN_UP_S = 86_400.0
"""A message that could not be sent for a day is news to no person; what still stands is told again."""


def pause_s(tries: int, asked_s: float | None = None) -> float:
    """Return how long to wait after so many *tries* in a row: 1 s, 2 s, 4 s … or what the receiver asked for."""
    return max(min(2.0 ** min(tries, 16), LONGEST_S), asked_s or 0.0)

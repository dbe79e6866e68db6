"""When a process looks at positions and writes samples: often enough for those who wait, bounded for classic. Pure.

No process is notified of positions: with hundreds of processes each cycle of each mirror would wake all of them,
whether they wait or not. A process asks while one of its threads waits, and no more often than its share of
`LOOKS_PER_S`. The first look comes when the mirror has usually caught up, so that most waits take one statement;
further ones come later each time while nothing moves. When classic answers slowly it is asked less often.
"""

from __future__ import annotations

import random
from collections.abc import Callable

LOOKS_PER_S = 10_000.0
"""Looks a second of all processes together, at most, when each of them waits all the time."""

SHORTEST_S = 0.005
LONGEST_S = 0.05
"""Bounds of the time between two looks of one process, as far as its share allows."""

LONGEST_AIM_S = 0.02
"""How long after the beginning of a wait the first look comes at most, likewise."""

PATIENCE = 4.0
"""Of the time a process waits for positions, at most one part in so many and one is classic working for it."""

CONFIRMATIONS_PER_S = 5_000.0
"""The same as LOOKS_PER_S for the question what all processes have applied, which reads a row of each."""

SAMPLES_PER_S = 5_000.0
"""Rows of samples a second of all processes together, as long as `LONGEST_FLUSH_S` allows it."""

FLUSH_S = 1.0
LONGEST_FLUSH_S = 10.0
"""Samples are written so often, and so seldom when there are many. The guard's windows are longer."""

LOADS = 2.0
"""Cores of classic that routes may keep busy while processes read the same change that are not urgent."""

LOAD_S = 0.0005
ROUTE_S = 0.000_000_4
"""What a process' reading of changed routes costs classic, and each route of it, roughly."""


class Pace:
    """The pace of one process.

    Attributes:
        fleet: how many processes there are.
        due_s: when the next look is due, while a thread waits.
    """

    def __init__(self, dice: Callable[[], float] = random.random) -> None:
        self._dice = dice
        self._aim_s = SHORTEST_S
        self._answer_s = 0.0
        self._looked_s = float("-inf")
        self._in_vain = 0
        self._asked_s = float("-inf")
        self.fleet = 1
        self.due_s = 0.0

    @property
    def interval_s(self) -> float:
        """Return the shortest time between two looks."""
        return max(SHORTEST_S, self.fleet / LOOKS_PER_S, PATIENCE * self._answer_s)

    def began(self, now_s: float) -> None:
        """A thread begins to wait, and none did."""
        self.due_s = max(self._looked_s + self._next_s(), now_s + self._aim_s)

    def ended(self, looks: int) -> None:
        """A wait ended after so many looks. Aim a little earlier when one was enough, else later."""
        if looks == 1:
            self._aim_s *= 0.95
        elif looks > 1:
            self._aim_s = min(LONGEST_AIM_S, self._aim_s * 1.1 + 0.0001)

    def looked(self, sent_s: float, answered_s: float, moved: bool) -> None:
        """A look was sent and answered; *moved*: some position was another one than before."""
        self._answer_s += (answered_s - sent_s - self._answer_s) * 0.2
        self._looked_s = sent_s
        self._in_vain = 0 if moved else self._in_vain + 1
        self.due_s = sent_s + self._next_s()

    def _next_s(self) -> float:
        shortest = self.interval_s
        grown = shortest * 1.5 ** min(self._in_vain, 20)
        return min(grown, max(shortest, LONGEST_S)) * self.about_one()

    def about_one(self) -> float:
        """Return a factor that keeps processes out of step."""
        return 0.9 + 0.2 * self._dice()

    def at_most_one(self) -> float:
        """As `about_one`, for what must not come later."""
        return 0.8 + 0.2 * self._dice()

    def may_ask_confirmations(self, now_s: float) -> bool:
        """Return whether it is time to ask what all processes have applied; it counts as asked then."""
        if now_s < self._asked_s + max(SHORTEST_S, self.fleet / CONFIRMATIONS_PER_S) * self.about_one():
            return False
        self._asked_s = now_s
        return True

    def flush_s(self, rows: int) -> float:
        """Return when to write samples again after *rows* of them."""
        return max(FLUSH_S, min(LONGEST_FLUSH_S, rows * self.fleet / SAMPLES_PER_S)) * self.about_one()

    def spread_s(self, routes: int, longest_s: float) -> float:
        """Return how long to wait before reading *routes* changed routes that are not urgent."""
        return self._dice() * min(longest_s, self.fleet * (LOAD_S + routes * ROUTE_S) / LOADS)

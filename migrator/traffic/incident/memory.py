"""What the webhook remembers between requests, bounded: messages that it has handled, and how many it may take.

Times are monotonic seconds that the caller gives.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field


@dataclass(slots=True)
class Memory:
    """Keys that were handled, each with what came of it, for *kept_s* seconds and up to *most* of them."""

    kept_s: float
    most: int = 10_000
    _found: OrderedDict[tuple[str, str], tuple[float, str]] = field(default_factory=OrderedDict)

    def get(self, source: str, key: str, now_s: float) -> str | None:
        """Return what came of it, None when nothing is known."""
        at, outcome = self._found.get((source, key), (0.0, None))
        return outcome if outcome is not None and key and now_s - at <= self.kept_s else None

    def put(self, source: str, key: str, outcome: str, now_s: float) -> None:
        if not key:
            return
        self._found[(source, key)] = (now_s, outcome)
        self._found.move_to_end((source, key))
        while len(self._found) > self.most:
            self._found.popitem(last=False)


@dataclass(slots=True)
class Bucket:
    """A token bucket: *burst* at once, *rate* a second after that."""

    rate: float
    burst: float
    _left: float = -1.0
    _at_s: float = 0.0

    def take(self, now_s: float) -> bool:
        """Return whether one more may go, and count it."""
        filled = self.burst if self._left < 0 else self._left + (now_s - self._at_s) * self.rate
        self._left, self._at_s = min(self.burst, max(0.0, filled)), now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def wait_s(self) -> float:
        """Return after how many seconds the next one may go."""
        return max(0.0, (1 - self._left) / self.rate)

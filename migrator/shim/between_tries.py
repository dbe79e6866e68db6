"""What passes between two tries of a write, for adapters that run it again in their own way."""

from __future__ import annotations

import random
from typing import Protocol

from migrator.shim.current_view import CurrentView


class Tried(Protocol):
    """A shim, as far as waiting between two tries goes."""

    _current: CurrentView

    def _rest(self, seconds: float) -> None: ...


def pause_s(tries: int) -> float:
    """Return how long to wait before another try after *tries* that failed, in seconds."""
    return 0.05 * tries * (0.5 + random.random())


def rest(shim: Tried, tries: int) -> None:
    """Wait before another try after *tries* that failed, and have the routes read meanwhile: writes may be closed."""
    shim._current.refresh()
    shim._rest(pause_s(tries))

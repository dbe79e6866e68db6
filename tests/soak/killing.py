"""When is a run of schema changes killed? At moments of its steps that chance picks."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass

from migrator.dataplane.change.progress import Moment
from tests.integration.dataplane.change.kills import Killed


@dataclass
class Kills:
    """Up to `left` runs of a file are killed; `done` were."""

    random: random.Random
    left: int
    done: int = 0

    def next(self) -> int:
        """Return at which moment the next run is to be killed, if it lasts that long; 0: it is not killed."""
        if not self.left:
            return 0
        self.left -= 1
        return self.random.randint(1, 12)


def countdown(moments: int, kill: Callable[[], object]) -> Callable[[str, Moment], None]:
    """Return what watches a run, and kills it at its nth moment; at none for 0."""
    passed = itertools.count(1)

    def watch(_: str, __: Moment) -> None:
        if next(passed) == moments:
            kill()

    return watch


def die() -> None:
    raise Killed

"""Kills a run at each moment of each of its steps in turn, until a run comes through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from migrator.dataplane.change.progress import Moment

_Done = TypeVar("_Done")


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the process goes on; its sessions end."""


@dataclass
class Kills:
    """Each run dies at the first moment that none died at before.

    Attributes:
        among: only steps whose name has this in it.
        visited: the moments so far.
    """

    among: str = ""
    visited: set[tuple[str, Moment]] = field(default_factory=set)

    def watch(self, step: str, moment: Moment) -> None:
        if self.among in step and (step, moment) not in self.visited:
            self.visited.add((step, moment))
            raise Killed

    async def through(self, run: Callable[[], Awaitable[_Done]]) -> _Done:
        """Return what the run answered that nothing killed; *run* is to call `watch` around its steps."""
        while True:
            before = len(self.visited)
            try:
                return await run()
            except Killed:
                assert len(self.visited) == before + 1

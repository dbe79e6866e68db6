"""A gate's verdict: go, or no-go with every reason."""

from __future__ import annotations

from dataclasses import dataclass

from migrator.model.blocker import Blocker


@dataclass(frozen=True, slots=True)
class Verdict:
    """Go or no-go, with every reason for a no-go."""

    blockers: tuple[Blocker, ...] = ()

    @property
    def go(self) -> bool:
        return not self.blockers

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(self.blockers + other.blockers)

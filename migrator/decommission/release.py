"""What becomes of classic when nobody needs it any more?

One door, so that the workflow does not know where it runs: on this machine a server is stopped, on AWS a final
snapshot is taken and the cluster deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Releaser(Protocol):
    """Retires the classic cluster. Both calls are safe to run twice."""

    def snapshot(self) -> str:
        """Keep a last copy; returns how it is called, empty when nothing is kept."""
        ...

    def release(self) -> str:
        """Give classic back; returns what was done, in one line."""
        ...


@dataclass(frozen=True)
class KeepClassic:
    """For clusters the tool does not own: says what is left to do."""

    why: str

    def snapshot(self) -> str:
        return ""

    def release(self) -> str:
        return f"classic was left running ({self.why}); take a last snapshot and remove it when you are ready"

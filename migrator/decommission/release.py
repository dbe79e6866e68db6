"""Retires classic after the hand-over: takes its last copy and stops it. Nothing is deleted here.

One interface, so that the workflow does not depend on where it runs: on this machine a server is stopped, on AWS
(decommission/aws.py) a final snapshot is taken, read back, and the cluster stopped; retire.py deletes it much later.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from migrator.errors import PreconditionFailed


class Releaser(Protocol):
    """Retires the classic cluster. All calls are safe to run twice.

    Attributes:
        kind: aws, local or kept; see `migrator.model.retirement.Retirement`.
    """

    @property
    def kind(self) -> str: ...

    def snapshot(self) -> str:
        """Keep a last copy; returns its name, empty when nothing is kept."""
        ...

    def stop(self) -> str:
        """Stop classic; returns what was done, in one line."""
        ...


@dataclass(frozen=True)
class KeepClassic:
    """For clusters the tool does not own: says what is left to do."""

    why: str
    kind: str = "kept"

    def snapshot(self) -> str:
        return ""

    def stop(self) -> str:
        return f"classic was left running ({self.why}); take a last snapshot and remove it when you are ready"


@dataclass(frozen=True)
class LocalReleaser:
    """A server on this machine: it is stopped, and its data directory is the last copy."""

    home: Path
    kind: str = "local"

    def _server(self) -> Any:
        from migrator.local.stack import attach  # only where local servers exist

        return attach(self.home).classic

    def snapshot(self) -> str:
        data: Path = self._server().data
        if not (data / "PG_VERSION").is_file():
            raise PreconditionFailed(f"{data} holds no database, so there is no last copy of classic")
        return str(data)

    def stop(self) -> str:
        self._server().stop()
        return "the local classic server was stopped; its data directory is kept"

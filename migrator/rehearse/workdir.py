"""The directories of a rehearsal: servers, logs, ledgers and reports.

Servers and ledgers are made afresh every time; the reports of the last rehearsal stay until the next one has begun.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from migrator.errors import UsageError


@dataclass(frozen=True, slots=True)
class Workdir:
    """The directories of one rehearsal; *root* is absolute."""

    root: Path

    @property
    def state(self) -> Path:
        """Home of the servers: MIGRATOR_HOME of every process."""
        return self.root / "state"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def ledgers(self) -> Path:
        return self.root / "ledgers"

    @property
    def report_json(self) -> Path:
        return self.root / "report.json"

    @property
    def report_html(self) -> Path:
        return self.root / "report.html"

    @property
    def operator_log(self) -> Path:
        return self.logs / "operator.log"

    def renew(self) -> None:
        """Empty what a rehearsal makes afresh. Servers of an earlier one must be down."""
        for directory in (self.logs, self.ledgers):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
        for report in (self.report_json, self.report_html):
            report.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second rehearsal out of the same directory.

        Raises:
            UsageError: one is running here.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UsageError(
                    f"another rehearsal is running in {self.root}", hint="Wait for it, or choose another --workdir."
                ) from None
            yield

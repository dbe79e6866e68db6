"""Starts, recognises and ends the routers in front of the stand-in.

They are a process of their own beside the server, which a command starts and a later one may stop.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import conninfo

from migrator.local import process
from migrator.local.faults import PortInUse, server_failed
from migrator.poll import until


@dataclass
class Routers:
    """The routers in front of a server on this machine, and the process that runs them."""

    home: Path
    port: int
    server_port: int
    detached: bool = False  # True: outlives the process that started it
    name: str = "routers"
    keeps_journal: bool = False  # for tests

    @property
    def journal(self) -> Path:
        """What passed: statements, and answers that were true for one router only."""
        return self.home / f"{self.name}.journal"

    @property
    def log(self) -> Path:
        return self.home / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """The id of the process that runs the routers, if it is alive."""
        recorded = self._recorded()
        return recorded["pid"] if recorded and process.running(recorded["pid"], self._mark) else None

    def entries(self) -> list[dict[str, Any]]:
        """What the journal holds so far; see `migrator.local.router`."""
        return [json.loads(line) for line in self.journal.read_text().splitlines() if line.endswith("}")]

    def dsn(self, dsn: str) -> str:
        """Return the server's connection string *dsn* as it reads through the routers."""
        return conninfo.make_conninfo(dsn, host="127.0.0.1", port=str(self.port))

    def start(self, timeout_s: float = 15.0) -> None:
        """Start the process and wait until it listens; nothing to do when it does. Raises PortInUse, ServerFailed.

        A process that an earlier command left on other ports is replaced.
        """
        ports = {"port": self.port, "server_port": self.server_port}
        if self.pid is not None:
            if self._recorded().items() >= ports.items():
                return
            self.stop()
        if not process.port_becomes_free(self.port):
            raise PortInUse(self.name, self.port)
        journal = ("--journal", self.journal) if self.keeps_journal else ()
        pid = process.spawn(
            [
                *(sys.executable, "-m", "migrator.local.router", "--listen", str(self.port)),
                *("--server", f"127.0.0.1:{self.server_port}"),
                *("--mark", self._mark, *journal),
            ],
            self.log,
            die_with_us=not self.detached,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        unfinished = self._mark.with_suffix(".new")
        unfinished.write_text(json.dumps({"pid": pid, **ports}))
        unfinished.replace(self._mark)

        def listens() -> bool | None:
            return None if self.pid is None else process.accepts(self.port)  # None: it has died

        if not until(listens, timeout_s, 0.02, done=lambda seen: seen is not False):
            raise server_failed(self.name, self.port, self.home, self.log)

    def stop(self) -> None:
        """End the process; every connection through it is reset."""
        if (pid := self.pid) is not None:
            process.end(pid, self._mark, signal.SIGTERM, 5.0)
        self._mark.unlink(missing_ok=True)

    def _recorded(self) -> dict[str, int]:
        with contextlib.suppress(OSError, ValueError):
            return {key: int(value) for key, value in json.loads(self._mark.read_text()).items()}
        return {}

    @property
    def _mark(self) -> Path:
        return self.home / f"{self.name}.pid"

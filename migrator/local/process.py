"""Starts, recognises and ends server processes, also those that an earlier command left running.

A process is known by its id *and* a marker, a path that only our command line contains: ids are used again, and
a file with an id in it survives a reboot.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import psutil

from migrator.poll import until

LOWEST_PORT = 10_240
"""Ports below are left to the services of a machine."""

_turns = itertools.count()

# Handles of what this process started: poll() reaps ended ones, and a handle that is kept never warns that its
# process is still running, as a detached server is meant to.
_started: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class Account:
    """The account that servers run under; `nobody` for root, as which PostgreSQL refuses to run."""

    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        return self.uid != os.geteuid()

    def own(self, *paths: Path) -> None:
        """Give each path, and everything below it, to the account."""
        if not self.is_other:
            return
        for path in paths:
            os.chown(path, self.uid, self.gid)
            for directory, directories, files in os.walk(path):
                for name in [*directories, *files]:
                    # os, since pathlib has no chown that leaves links alone.
                    os.chown(Path(directory, name), self.uid, self.gid, follow_symlinks=False)

    def may_enter(self, path: Path) -> bool:
        """Whether the account can reach *path* through all its parents."""
        if not self.is_other:
            return True
        return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def server_account() -> Account:
    """Return the account that servers run under."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def spawn(
    argv: Sequence[str | Path],
    log: Path,
    *,
    account: Account | None = None,
    die_with_us: bool = False,
    env: Mapping[str, str] | None = None,
) -> int:
    """Start a process in its own session, output appended to *log*; return its id.

    With *die_with_us* the kernel interrupts it when this process ends, also by SIGKILL (Linux). It fires when the
    thread that started it ends, so only the main thread asks for it.
    """
    guard = which("setpriv") if sys.platform == "linux" else None
    on_main_thread = threading.current_thread() is threading.main_thread()
    if die_with_us and guard and on_main_thread:
        argv = [guard, "--pdeathsig", "INT", "--", *argv]
    other = account is not None and account.is_other
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=env,
            start_new_session=True,  # Ctrl-C at the terminal must not reach the servers
            user=account.uid if account and other else None,
            group=account.gid if account and other else None,
            extra_groups=[] if other else None,
        )
    _started[process.pid] = process
    return process.pid


def exit_code(pid: int) -> int | None:
    """Return how a process started by this one ended; None while it runs or when another started it."""
    process = _started.get(pid)
    return process.poll() if process else None


def running(pid: int | None, marker: str | Path) -> bool:
    """Whether *pid* is alive and its command line contains *marker*."""
    if pid is None or pid <= 0:
        return False
    if pid in _started:  # started here: its number is not used again before poll() has reaped it
        return exit_code(pid) is None
    return str(marker) in _command(pid)


def _command(pid: int) -> str:
    """The command line of *pid*; empty for the dead, for zombies, and where it may not be read."""
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ""


def children(pid: int) -> list[int]:
    """Return the direct children of *pid*."""
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that has ended already is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_ended(pid: int, marker: str | Path, timeout_s: float) -> bool:
    """Wait until the process and all its threads have ended; False when the timeout passed first."""
    return until(lambda: not (running(pid, marker) or _leaving(pid)), timeout_s, 0.01)


def _leaving(pid: int) -> bool:
    """Whether a process without a command line still holds its sockets: memory is freed first, files later."""
    if pid in _started:
        return exit_code(pid) is None
    if sys.platform != "linux":
        return False
    try:
        found = psutil.Process(pid)
        ended = found.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return _command(pid) == "" and (not ended or found.num_threads() > 1)
    except psutil.Error:
        return False


def end(pid: int, marker: str | Path, number: signal.Signals, timeout_s: float = 20.0) -> None:
    """Send *number*, wait, and kill what does not end in time."""
    if not running(pid, marker):
        return
    send(pid, number)
    if not wait_ended(pid, marker, timeout_s):
        send(pid, signal.SIGKILL)
        wait_ended(pid, marker, timeout_s)


def free_port() -> int:
    """Return a loopback port that no process listens on now, and that no outgoing connection takes meanwhile.

    A port that the kernel chooses is one of those it gives to outgoing connections: until a server listens there, a
    process that connects anywhere may have it. Every process begins at another port and goes on upwards, so that none
    is given twice before a server listens there either.
    """
    ports = range(LOWEST_PORT, _first_outgoing_port())
    for turn in itertools.islice(_turns, len(ports)):
        port = ports[(os.getpid() * 101 + turn) % len(ports)]
        if port_is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _first_outgoing_port() -> int:
    """Return where the ports of outgoing connections begin on this machine."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        return 32768  # of Linux by default; other systems begin at 49152 (RFC 6335, section 6)


def port_is_free(port: int) -> bool:
    """Whether a server could listen on *port* now; connections of an ended server do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def port_becomes_free(port: int, timeout_s: float = 1.5) -> bool:
    """Whether *port* is free, now or soon: a process killed just now frees its sockets late."""
    return until(lambda: port_is_free(port), timeout_s, 0.02)


def accepts(port: int) -> bool:
    """Whether somebody accepts connections on loopback *port*."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True

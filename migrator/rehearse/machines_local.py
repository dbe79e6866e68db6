"""Runs a rehearsal on the local stack, in a home of its own, and breaks it."""

from __future__ import annotations

from pathlib import Path

from migrator.local import stack
from migrator.rehearse.stage import Machines


class LocalMachines(Machines):
    """Embedded classic, Limitless stand-in and Temporal under one directory."""

    start = "start on this machine"
    crashes = "crashes (SIGKILL)"
    stopped = "stopped"

    def __init__(self, home: Path, shards: int) -> None:
        self._home = home
        self._shards = shards
        self._stack: stack.Stack | None = None

    def up(self) -> None:
        """Start fresh, empty servers."""
        stack.destroy(self._home)
        self._stack = stack.up(self._home, shards=self._shards, replica=True)

    def down(self) -> None:
        """Stop what runs, also what an earlier process started."""
        stack.down(self._home)

    def remove(self) -> None:
        """Stop what runs and delete the servers' data."""
        stack.destroy(self._home)

    def pids(self) -> list[int]:
        running = self._running
        servers = (*running.servers, running.temporal)
        found = [server.pid for server in servers if server is not None]
        return [pid for pid in found if pid is not None]

    def environment(self) -> dict[str, str]:
        return {"MIGRATOR_CLASSIC_DSN": self.classic, "MIGRATOR_LIMITLESS_DSN": self.limitless}

    def left_out(self) -> list[str]:
        return []

    @property
    def classic(self) -> str:
        return self._running.classic_dsn

    @property
    def limitless(self) -> str:
        return self._running.limitless_dsn

    @property
    def replica(self) -> str:
        return self._running.replica_dsn

    def freeze_replica(self) -> None:
        """Hang it: connections stand, and nothing comes back."""
        assert self._running.replica is not None  # up() makes it
        self._running.replica.freeze()

    def thaw_replica(self) -> None:
        assert self._running.replica is not None  # up() makes it
        self._running.replica.thaw()

    def kill_limitless(self) -> None:
        """Crash it: SIGKILL, without ending sessions in order."""
        self._running.limitless.kill()

    def start_limitless(self) -> None:
        self._running.limitless.start()

    def kill_classic(self) -> None:
        """Crash it: what was not flushed is lost."""
        self._running.classic.kill()

    def start_classic(self) -> None:
        self._running.classic.start()

    def stop_temporal(self) -> None:
        temporal = self._running.temporal
        assert temporal is not None  # up() starts it
        temporal.stop()

    def start_temporal(self) -> None:
        temporal = self._running.temporal
        assert temporal is not None  # up() starts it
        temporal.start()

    def stop_classic(self) -> None:
        """Stop it for good; nothing to do when the decommission has stopped it already."""
        self._running.classic.stop()

    @property
    def _running(self) -> stack.Stack:
        if self._stack is None:
            raise RuntimeError("the servers were not started")
        return self._stack

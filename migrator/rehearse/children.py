"""Starts and ends the processes of a rehearsal: workers, traffic, and the operator's commands."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from migrator.errors import MigratorError


class ChildDied(MigratorError):
    """A process of the rehearsal ended by itself."""

    def __init__(self, name: str, code: int, log: Path, tail: str) -> None:
        super().__init__(f"{name} ended by itself (exit code {code}); {log} ends with:\n{tail}")


class CommandFailed(MigratorError):
    """A command of the operator ended with another exit code than it should."""

    def __init__(self, command: str, code: int, output: str) -> None:
        super().__init__(f"`migrator {command}` ended with exit code {code}:\n{output.strip()[-1500:]}")


@dataclass(slots=True)
class Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path
    expected_to_run: bool = True


@dataclass
class Children:
    """Starts processes with one environment and keeps their logs in one directory."""

    logs: Path
    environment: dict[str, str]
    _children: dict[str, Child] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Child:
        """Start a process of this Python, its output appended to a log of its name; *environment* comes first."""
        log = self.logs / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*_die_with_us(), sys.executable, *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**self.environment, **(environment or {})},
                start_new_session=True,  # Ctrl-C ends this process, which ends them in order
            )
        child = Child(name, process, log)
        with self._lock:
            self._children[name] = child
        return child

    def check(self) -> None:
        """Raise ChildDied when a process that should be running is not."""
        for child in self._all():
            code = child.process.poll()
            if child.expected_to_run and code is not None:
                raise ChildDied(child.name, code, child.log, tail_of(child.log))

    def pids(self) -> dict[str, int]:
        return {c.name: c.process.pid for c in self._all() if c.process.poll() is None}

    def signal(self, names: Sequence[str], number: signal.Signals) -> None:
        for child in self._all():
            if child.name in names and child.process.poll() is None:
                child.process.send_signal(number)

    def kill(self, name: str) -> None:
        """Kill one process with SIGKILL, as a crash would."""
        child = self._children[name]
        child.expected_to_run = False
        child.process.kill()
        child.process.wait()

    def stop(self, names: Sequence[str], timeout_s: float = 20.0) -> list[str]:
        """End processes with SIGTERM; returns those that had to be killed."""
        chosen = [c for c in self._all() if c.name in names]
        for child in chosen:
            child.expected_to_run = False
            with contextlib.suppress(ProcessLookupError):
                child.process.terminate()
        deadline, stubborn = time.monotonic() + timeout_s, []
        for child in chosen:
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                stubborn.append(child.name)
                child.process.kill()
                child.process.wait()
        return stubborn

    def stop_all(self) -> list[str]:
        return self.stop(list(self._children))

    def _all(self) -> list[Child]:
        with self._lock:
            return list(self._children.values())


@dataclass
class Operator:
    """Runs commands as a person would, and reads their JSON."""

    children: Children
    log: Path

    def run(self, *words: str, timeout_s: float = 60.0, codes: Sequence[int] = (0,)) -> str:
        """Run `migrator WORDS` and return what it printed on stdout.

        Raises:
            CommandFailed: it ended with another exit code than *codes*, or not in time.
        """
        shown = " ".join(w if " " not in w else f'"{w}"' for w in words)
        try:
            done = subprocess.run(
                [sys.executable, "-m", "migrator", *words],
                env=self.children.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired as late:
            raise CommandFailed(shown, -1, f"no end within {timeout_s:.0f} s") from late
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"$ migrator {shown}\n{done.stdout}{done.stderr}exit code {done.returncode}\n\n")
        if done.returncode not in codes:
            raise CommandFailed(shown, done.returncode, done.stderr or done.stdout)
        return done.stdout

    def json(self, *words: str, timeout_s: float = 60.0) -> dict[str, object]:
        """Run a command with --json and return the object it printed."""
        printed = self.run(*words, "--json", timeout_s=timeout_s)
        answer = json.loads(printed)
        return answer if isinstance(answer, dict) else {"value": answer}


def _die_with_us() -> list[str]:
    """Return what makes the kernel end a process when this one ends, even by SIGKILL; only Linux has it."""
    guard = shutil.which("setpriv") if sys.platform == "linux" else None
    # The signal fires when the thread that started the process ends, so only the main thread may ask for it.
    if guard and threading.current_thread() is threading.main_thread():
        return [guard, "--pdeathsig", "TERM", "--"]
    return []


def tail_of(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def environment(state: Path, plan: Path, **more: str) -> dict[str, str]:
    """Return the environment of every process of a rehearsal: this one's, pointing at its own state and plan."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MIGRATOR_")}
    return {**kept, "MIGRATOR_HOME": str(state), "MIGRATOR_PLAN": str(plan), "PYTHONUNBUFFERED": "1", **more}

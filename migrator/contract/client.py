"""A client under test: a process that speaks JSON lines on its standard input and output (docs/contract.md)."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shlex
import signal
import subprocess
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from psycopg import conninfo

from migrator.errors import MigratorError, UsageError

START_S = 60.0
"""How long a client may take to start: a virtual machine or an interpreter, on a busy computer."""

STOP_S = 5.0

Answer = dict[str, Any]


class ClientFailed(MigratorError):
    """The client under test did not answer as the line protocol says."""


def address(dsn: str) -> dict[str, Any]:
    """Return what a client is told of a server: parts that every driver takes."""
    parts = conninfo.conninfo_to_dict(dsn)
    return {
        "host": parts.get("host", "127.0.0.1"),
        "port": int(str(parts.get("port", 5432))),
        "database": parts.get("dbname"),
        "user": parts.get("user"),
        "password": parts.get("password", ""),
    }


def words(command: str) -> list[str]:
    """Return the program and its arguments.

    Raises:
        UsageError: *command* names no program, or its quotes do not match.
    """
    try:
        found = shlex.split(command)
    except ValueError as error:
        raise UsageError(
            f"the command cannot be read: {error}", hint='Quote it once: --command "node client.js".'
        ) from None
    if not found:
        raise UsageError("the command is empty", hint='Name a program: --command "node client.js".')
    return found


class Client:
    """One process under test. It is asked one thing at a time; use it as a context manager."""

    def __init__(self, command: str, classic: str, limitless: str, name: str) -> None:
        """Start *command*.

        Raises:
            UsageError: there is no such program.
            ClientFailed: it did not answer to `start`.
        """
        try:
            self._process = subprocess.Popen(
                words(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
        except OSError as error:
            raise UsageError(
                f"the command cannot be started: {error.strerror}", hint="Is the program installed?"
            ) from None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._number = 0
        self._hearing = threading.Thread(target=self._hear, name="client under test", daemon=True)
        self._hearing.start()
        try:
            started = self.ask("start", START_S, classic=address(classic), limitless=address(limitless), name=name)
            if not started.get("ok"):
                raise ClientFailed(f"the client did not start: {started.get('error')}: {started.get('text', '')}")
        except BaseException:
            self.close()
            raise
        self.process = str(started.get("process", ""))

    def _hear(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def send(self, do: str, **values: Any) -> None:
        """Send one command, whose answer `answer` waits for.

        Raises:
            ClientFailed: the client ended.
        """
        self._number += 1
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"id": self._number, "do": do, **values}) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise ClientFailed(f"the client ended before {do}") from None

    def answer(self, timeout_s: float) -> Answer | None:
        """Return the answer to the last command; None when there is none within *timeout_s* seconds.

        Raises:
            ClientFailed: the client ended, or said something else.
        """
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if line is None:
            raise ClientFailed("the client ended without an answer")
        try:
            found = json.loads(line)
        except ValueError:
            raise ClientFailed(f"the client's line is no JSON: {line.strip()[:200]}") from None
        if not isinstance(found, Mapping) or found.get("id") != self._number:
            raise ClientFailed(f"the client's line is no answer to command {self._number}: {line.strip()[:200]}")
        return dict(found)

    def ask(self, do: str, timeout_s: float = 60.0, **values: Any) -> Answer:
        """Send a command and return its answer.

        Raises:
            ClientFailed: there was none in time.
        """
        self.send(do, **values)
        found = self.answer(timeout_s)
        if found is None:
            raise ClientFailed(f"no answer to {do} within {timeout_s:g} s")
        return found

    def freeze(self) -> None:
        """Stop it, with its children; returns when it has stopped."""
        os.killpg(self._process.pid, signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        """Let it go on."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it: by the end of its input, then by force."""
        self.thaw()
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # children, too
        process.wait()
        self._hearing.join(STOP_S)
        process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def said(answer: Answer | None) -> str:
    """Return an answer in a few words, for evidence."""
    if answer is None:
        return "nothing"
    if answer.get("ok"):
        shown = {key: answer[key] for key in ("side", "body") if key in answer}
        return " ".join(["ok", *(f"{key} {value!r}" for key, value in shown.items())])
    text = str(answer.get("text") or "").strip().partition("\n")[0]
    return f"error {answer.get('error')}" + (f" ({text[:200]})" if text else "")

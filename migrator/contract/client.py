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
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from psycopg import conninfo

from migrator.errors import MigratorError, UsageError

START_S = 60.0
"""How long a client may take to start: a virtual machine or an interpreter, on a busy computer."""

STOP_S = 5.0

Answer = dict[str, Any]


OUTPUT_LINES = 12
"""So many of the last lines that a client wrote to its standard error are shown."""


class ClientFailed(MigratorError):
    """The client under test broke the promise that is tried: it gave no answer in time, or held a change up."""


class ClientUnusable(MigratorError):
    """The client under test ended, or does not speak the line protocol: that breaks no promise, and shows none.

    Attributes:
        lines: what happened, then what it wrote to its standard error.
    """

    def __init__(self, what: str, output: tuple[str, ...] = ()) -> None:
        self.lines = (what, *(f"it wrote: {line}" for line in output))
        super().__init__("\n  - ".join(self.lines))


class ClientNotStarted(ClientUnusable):
    """It did not answer to `start`."""


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
            ClientNotStarted: it did not answer to `start`, or said that it cannot.
        """
        try:
            self._process = subprocess.Popen(
                words(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                errors="replace", start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise UsageError(
                f"the command cannot be started: {error.strerror}", hint="Is the program installed?"
            ) from None
        addresses = {"classic": address(classic), "limitless": address(limitless)}
        self._secrets = [str(each["password"]) for each in addresses.values() if each["password"]]
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._complaints: deque[str] = deque(maxlen=OUTPUT_LINES)
        self._number = 0
        self._hearing = [
            threading.Thread(target=hear, name="client under test", daemon=True)
            for hear in (self._hear, self._hear_errors)
        ]
        for thread in self._hearing:
            thread.start()
        try:
            self.process = self._started(addresses, name)
        except BaseException:
            self.close()
            raise

    def _started(self, addresses: Mapping[str, Any], name: str) -> str:
        try:
            self.send("start", **addresses, name=name)
            found = self.answer(START_S)
        except ClientUnusable as error:
            raise ClientNotStarted(f"the client did not start: {error.lines[0]}", self._output()) from None
        if found is None:
            raise ClientNotStarted(f"the client did not start: no answer to start within {START_S:g} s", self._output())
        if not found.get("ok"):
            raise ClientNotStarted(f"the client did not start: it answered {said(found)}", self._output())
        return str(found.get("process", ""))

    def _hear(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _hear_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if text := line.strip():
                self._complaints.append(text[:200])

    def _output(self) -> tuple[str, ...]:
        """Return the last lines of its standard error, without passwords."""
        if self._process.poll() is not None:
            self._hearing[1].join(STOP_S)
        return tuple(self._masked(line) for line in tuple(self._complaints))

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _ended(self) -> ClientUnusable:
        try:
            code = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            return ClientUnusable("it closed its output without an answer", self._output())
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return ClientUnusable(f"it ended {how} without an answer", self._output())

    def send(self, do: str, **values: Any) -> None:
        """Send one command, whose answer `answer` waits for, and which says what a client wrote that reads no more."""
        self._number += 1
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps({"id": self._number, "do": do, **values}) + "\n")
            self._process.stdin.flush()

    def answer(self, timeout_s: float) -> Answer | None:
        """Return the answer to the last command; None when there is none within *timeout_s* seconds.

        Raises:
            ClientUnusable: the client ended, or said something else.
        """
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if line is None:
            self._lines.put(None)  # whoever asks again is told the same
            raise self._ended()
        shown = self._masked(line.strip())[:200]
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise ClientUnusable(f"its line is no JSON: {shown}", self._output()) from None
        if not isinstance(found, Mapping) or found.get("id") != self._number:
            raise ClientUnusable(f"its line is no answer to command {self._number}: {shown}", self._output())
        return dict(found)

    def ask(self, do: str, timeout_s: float = 60.0, **values: Any) -> Answer:
        """Send a command and return its answer.

        Raises:
            ClientFailed: there was none in time.
            ClientUnusable: the client ended, or said something else.
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
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # children, too
        process.wait()
        for thread in self._hearing:
            thread.join(STOP_S)
        process.stdout.close()
        process.stderr.close()

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

"""Runs commands of the command line as an operator does, with an environment of their own.

In this process, through the same function that the program calls, because starting Python anew for every command
would take most of the time; what belongs to the process itself (signals, exit codes) is tested with a real one.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from migrator.cli.app import run_command

PATIENCE_S = 60


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Operator:
    """A shell with its own home directory and environment."""

    home: Path
    environment: dict[str, str]

    def __call__(self, *words: str, **environment: str) -> Done:
        out, err = io.StringIO(), io.StringIO()
        with mock.patch.dict(os.environ, self.everything(environment), clear=True), _nobody_there():
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = run_command(list(words))
        return Done(int(code), out.getvalue(), err.getvalue())

    def process(self, *words: str, **environment: str) -> Done:
        """Run a command in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "migrator", *words],
            env=self.everything(environment),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def everything(self, more: dict[str, str]) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MIGRATOR_")}
        return {**kept, "MIGRATOR_HOME": str(self.home), **self.environment, **more}


@contextlib.contextmanager
def _nobody_there() -> Iterator[None]:
    """Stand for a shell without a terminal: nobody can be asked."""
    with mock.patch.object(sys, "stdin", io.StringIO()):
        yield

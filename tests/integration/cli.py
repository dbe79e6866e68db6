"""Runs commands of the command line as an operator does: in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MIGRATOR_")}
        done = subprocess.run(
            [sys.executable, "-m", "migrator", *words],
            env={**kept, "MIGRATOR_HOME": str(self.home), **self.environment, **environment},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

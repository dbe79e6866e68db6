"""Mirrors and copies in processes of their own (child.py), for tests that kill, freeze or measure them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

from tests.fixtures.world import World

MIRRORS = ("mirror", "0,1,2")


@contextlib.contextmanager
def process(
    world: World, *arguments: str, batch_rows: int = 200, batch_mb: float = 32
) -> Iterator[subprocess.Popen[bytes]]:
    """All mirrors, or what *arguments* of child.py say; gone when this is left, whatever was done to it."""
    environment = {
        **os.environ,
        "C": world.classic_dsn,
        "L": world.limitless_dsn,
        "BATCH_ROWS": str(batch_rows),
        "BATCH_MB": str(batch_mb),
    }
    command = [sys.executable, "-m", "tests.integration.dataplane.child", *(arguments or MIRRORS)]
    child = subprocess.Popen(command, env=environment)
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGCONT)
            child.kill()
        child.wait()

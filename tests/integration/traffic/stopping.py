"""A process that stops itself (SIGSTOP) at a point of its work. Commands come on stdin as JSON lines.

A clock of it may stand still while it is stopped: it is told in a file for how long so far.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

armed: str | None = None


def stop_at(point: str) -> None:
    global armed
    if point and armed == point:
        armed = None
        os.kill(os.getpid(), signal.SIGSTOP)


def let_a_clock_stand_still(which: str, stopped: Path) -> None:
    """Before anything of the shim is imported."""

    def without(real: Callable[..., float]) -> Callable[..., float]:
        return lambda *args: real(*args) - float(stopped.read_text() or 0)

    if which == "machine":
        time.clock_gettime = without(time.clock_gettime)
        time.monotonic = without(time.monotonic)
    else:
        time.time = without(time.time)


def around(owner: Any, name: str, before: str, after: str = "") -> None:
    """Let the process stop before and after what *owner* calls *name*."""
    real = getattr(owner, name)

    def stopping(*args: Any, **options: Any) -> Any:
        stop_at(before)
        answer = real(*args, **options)
        stop_at(after)
        return answer

    setattr(owner, name, stopping)


def main() -> None:
    classic, limitless, name, settings, threads, still, stopped = json.loads(sys.stdin.readline())
    let_a_clock_stand_still(still, Path(stopped))

    from migrator.shim import Ack, Settings, Shim, read, watcher
    from migrator.shim.link import Link
    from migrator.shim.pool import Pool
    from tests.integration.traffic.world import get, put

    around(read, "choose", "choosing", "chosen")
    around(Pool, "take", "taking", "taken")
    around(Pool, "give", "giving")
    around(Link, "finish", "committing", "committed")
    around(watcher, "ask", "beating", "beaten")
    around(watcher.Watcher, "_install", "installing", "installed")

    def reading(tenant: str, number: int) -> Any:
        def fn(r: Any) -> Any:
            stop_at("in a read")
            found = get(tenant, number)(r)
            stop_at("answered")
            return found

        return fn

    def writing(tenant: str, number: int, body: str) -> Any:
        def fn(w: Any) -> None:
            stop_at("in a write")
            put(tenant, number, body)(w)
            stop_at("written")

        return fn

    global armed
    shim = Shim(
        classic, limitless, name, settings=Settings(**{**settings, "ack": Ack(settings["ack"])}), threads=threads
    )
    with shim:
        print(json.dumps(shim.process_id), flush=True)
        for line in sys.stdin:
            what, armed, *args = json.loads(line)
            stop_at("before")
            try:
                if what == "read":
                    answer = shim.run_read(args[0], reading(*args))
                    while armed:  # routes are not read for each
                        answer = shim.run_read(args[0], reading(*args))
                else:
                    answer = shim.run_write(args[0], writing(*args))
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

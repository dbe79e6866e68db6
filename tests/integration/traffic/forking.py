"""A program that forks with a shim in it. Prints what it finds as JSON lines; each scenario is a function."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import psycopg

from migrator.errors import UsageError
from migrator.shim import Shim
from tests.integration.traffic.world import CALM, get, put


def say(**found: Any) -> None:
    os.write(1, json.dumps(found).encode() + b"\n")


def backend(block: Any) -> int:
    return int(block.connection.execute("SELECT pg_backend_pid()").fetchone()[0])


def work(shim: Shim, number: int) -> dict[str, Any]:
    """Write and read in two threads at once; both may be the first to use the shim here."""
    found: dict[str, Any] = {"number": number, "pid": os.getpid(), "backends": []}

    def write() -> None:
        shim.run_write("t1", put("t1", number, f"by {number}"))
        found["backends"].append(shim.run_read("t1", backend))

    thread = threading.Thread(target=write)
    thread.start()
    found["backends"].append(shim.run_read("t1", backend))
    thread.join()
    found["read"] = shim.run_read("t1", get("t1", number))[1]
    found["process_id"] = shim.process_id
    return found


def forked(child: Callable[[], None], fork: Callable[[], int] = os.fork) -> int:
    pid = fork()
    if pid == 0:
        try:
            child()
        except BaseException as error:
            say(error=f"{type(error).__name__}: {error}")
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def children(shim: Shim) -> None:
    with shim:
        say(**work(shim, 0))

        def silent() -> None:
            say(**work(shim, 1))

        def polite() -> None:
            say(**work(shim, 2))
            shim.close()

        def unused() -> None:
            shim.close()

        for child in (silent, polite, unused):
            forked(child)
        say(**work(shim, 0))


def grandchildren(shim: Shim) -> None:
    with shim:

        def child() -> None:
            say(**work(shim, 1))
            forked(lambda: say(**work(shim, 2)))
            say(**work(shim, 1))

        forked(child)
        say(**work(shim, 0))


def unwinding(shim: Shim) -> None:
    """A child leaves through its parent's blocks, as with sys.exit."""
    with shim:
        say(**work(shim, 0))
        pid = os.fork()
        if pid == 0:
            say(**work(shim, 1))
            sys.exit(0)
        os.waitpid(pid, 0)
        say(**work(shim, 0))


def in_blocks(shim: Shim) -> None:
    """The child has its parent's open blocks."""
    with shim:
        with shim.write("t1") as w, shim.read("t2") as r:
            put("t1", 0, "parent's")(w)
            backend(r)

            def child() -> None:
                for block in (w, r):
                    try:
                        block.connection.execute("SELECT")
                    except psycopg.OperationalError:
                        say(lost=True)
                    try:
                        block.__exit__(None, None, None)
                    except psycopg.Error:
                        say(lost=True)
                say(**work(shim, 1))

            forked(child)
            backend(w), backend(r)
        say(**work(shim, 2))


def before_open(shim: Shim) -> None:
    """Made in the parent, opened in each child; gunicorn's post_fork, for example."""

    def child() -> None:
        with shim:
            say(**work(shim, 1))

    for _ in range(2):
        forked(child)

    def not_opened() -> None:
        try:
            shim.run_read("t1", backend)
        except UsageError as error:
            say(refused=str(error))

    forked(not_opened)


def closed(shim: Shim) -> None:
    with shim:
        work(shim, 0)

    def child() -> None:
        try:
            shim.run_read("t1", backend)
        except UsageError as error:
            say(refused=str(error))

    forked(child)


def untold(shim: Shim) -> None:
    """A fork that Python is not told of."""
    with shim:
        say(**work(shim, 0))
        forked(lambda: say(**work(shim, 1)), ctypes.PyDLL(None).fork)
        say(**work(shim, 0))


_shared: Shim | None = None


def _in_a_pool(number: int) -> dict[str, Any]:
    assert _shared is not None
    return work(_shared, number)


def pool(shim: Shim) -> None:
    global _shared
    _shared = shim
    with shim:
        say(**work(shim, 0))
        with multiprocessing.get_context("fork").Pool(2) as workers:
            for found in workers.map(_in_a_pool, range(1, 5)):
                say(**found)
        say(**work(shim, 0))


def orphan(shim: Shim) -> None:
    """The parent is about to be killed; the child lives on."""
    with shim:
        say(**work(shim, 0))
        pid = os.fork()
        if pid:
            say(child=pid)
        sys.stdin.read()


def main() -> None:
    scenario, classic, limitless, threads = json.loads(sys.argv[1])
    globals()[scenario](Shim(classic, limitless, "web", settings=CALM, threads=threads))


if __name__ == "__main__":
    main()

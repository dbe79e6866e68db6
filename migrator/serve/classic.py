"""Asks classic in threads: a bounded number at once, each within a bound that a frozen server cannot stretch."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg

from migrator.db.connect import connect
from migrator.db.error_text import what_happened
from migrator.errors import ClusterUnavailable, MigratorError

T = TypeVar("T")
Connection = psycopg.Connection[Any]

APP = "migrator-serve"
BUSY_S = 5.0
"""Seconds that a request waits for others before it is told that the server is busy."""


class Busy(MigratorError):
    """The server answers as many requests at once as it may."""

    retryable = True
    hint = "Try again in a few seconds."


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why classic gave no answer, in a line, and what to do."""

    why: str
    hint: str = ""


class Classic:
    """Connections to one classic.

    Args:
        dsn: returns its connection string.
        at_once: questions asked at the same time.
        keep: the connection stays open between two questions.
    """

    def __init__(self, dsn: Callable[[], str], at_once: int, *, keep: bool = False) -> None:
        self._dsn = dsn
        self._slots = asyncio.Semaphore(at_once)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="classic")
        self._keep = keep
        self._kept: Connection | None = None
        self._open: set[Connection] = set()

    async def ask(self, act: Callable[[Connection], T], timeout_s: float) -> T:
        """Return what *act* returns for a connection in autocommit mode.

        Raises:
            Busy: too many others ask.
            ClusterUnavailable: it cannot be reached, or gave no answer within *timeout_s*. What *act* began may still
                have happened.
        """
        try:
            async with asyncio.timeout(BUSY_S):
                await self._slots.acquire()
        except TimeoutError:
            raise Busy() from None
        mine: list[Connection] = []
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, self._work, act, timeout_s, mine)
        work.add_done_callback(lambda _: self._slots.release())
        done, _ = await asyncio.wait({work}, timeout=timeout_s + 1)
        if not done:
            for conn in mine:
                _cut(conn)
            work.add_done_callback(_heard)
            raise ClusterUnavailable("classic", f"no answer within {timeout_s:g} s")
        return work.result()

    def _work(self, act: Callable[[Connection], T], timeout_s: float, mine: list[Connection]) -> T:
        conn = self._kept
        if conn is None or conn.closed:
            conn = connect(
                self._dsn(),
                APP,
                statement_timeout_s=timeout_s,
                lock_timeout_s=min(timeout_s, 5),
                connect_timeout_s=3,
                side="classic",
            )
        self._kept = None
        self._open.add(conn)
        mine.append(conn)
        try:
            answer = act(conn)
        except BaseException:
            self._open.discard(conn)
            conn.close()
            raise
        self._open.discard(conn)
        if self._keep:
            self._kept = conn
        else:
            conn.close()
        return answer

    def close(self) -> None:
        """End every connection, and with it every question that is being asked."""
        for conn in tuple(self._open):
            _cut(conn)
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._kept is not None:
            self._kept.close()


def _cut(conn: Connection) -> None:
    """End a connection that another thread waits on: a server that is frozen never answers it."""
    with suppress(OSError, psycopg.Error):
        with socket.socket(fileno=os.dup(conn.fileno())) as cut:
            cut.shutdown(socket.SHUT_RDWR)


def _heard(work: asyncio.Future[Any]) -> None:
    """Take the late answer, so that its error is not reported as one that was missed."""
    if not work.cancelled():
        work.exception()


def trouble_of(error: BaseException) -> Trouble:
    """Return what a person may know of *error*: no values of rows, no secret."""
    if isinstance(error, ClusterUnavailable):
        return Trouble(error.why, error.hint)
    if isinstance(error, MigratorError):
        return Trouble(str(error), error.hint)
    if isinstance(error, psycopg.Error):
        hint = "The tool's role lacks a right: docs/cli.md lists what it needs." if error.sqlstate == "42501" else ""
        return Trouble(what_happened(error), hint)
    return Trouble(f"unexpected {type(error).__name__}", "This is a bug; the server's log has the trace.")

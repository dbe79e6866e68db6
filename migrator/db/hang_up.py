"""Ends a wait for a server that does not answer, from another thread than the one that waits, or by a timer."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg


def hang_up(conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any] | None) -> None:
    """Shut *conn*'s socket, so that who waits for its server has an error at once; what is closed already stays so."""
    if conn is None:
        return
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(conn.pgconn.socket)) as line:
        line.shutdown(socket.SHUT_RDWR)


@contextmanager
def hung_up_after(seconds: float, *conns: psycopg.AsyncConnection[Any]) -> Iterator[None]:
    """Shut the sockets of *conns* when what is done with them takes longer: asyncio's own timeouts wait for the server
    once more, which may be frozen."""
    loop = asyncio.get_running_loop()
    timers = [loop.call_later(seconds, hang_up, conn) for conn in conns]
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


@contextmanager
def hung_up_in(seconds: float, conn: psycopg.Connection[Any]) -> Iterator[None]:
    """Shut the socket of *conn*, by a thread of its own, when what this thread does with it takes longer: a server that
    is frozen keeps no timeout of its own."""
    timer = threading.Timer(seconds, hang_up, (conn,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()

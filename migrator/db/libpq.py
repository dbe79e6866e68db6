"""Waits for a connection's socket, for what talks to libpq below psycopg's cursors: wide rows, and COPY into COPY."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg

Connection = psycopg.AsyncConnection[Any]


async def ready(conn: Connection, *, write: bool = False) -> None:
    """Wait until the server has sent something, or, with *write*, until it takes something."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    fd = conn.pgconn.socket

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    loop.add_reader(fd, wake)  # while writing too: the server may answer with an error
    if write:
        loop.add_writer(fd, wake)
    try:
        await done
    finally:
        loop.remove_reader(fd)
        if write:
            loop.remove_writer(fd)


async def flush(conn: Connection) -> None:
    """Return when everything that was given to libpq is on its way."""
    while conn.pgconn.flush():
        await ready(conn, write=True)
        conn.pgconn.consume_input()

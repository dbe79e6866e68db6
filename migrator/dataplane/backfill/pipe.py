"""Moves bytes from one COPY into the other, as fast as the servers allow.

The server sends one message per row. psycopg's public iterator hands each of them through the event loop; here
all messages that have arrived are taken at once, on the libpq level, and written in large blocks. No row is
looked at. Cancelling the task closes both COPYs on the server within a round trip.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from psycopg import generators, pq, sql

from migrator.db.libpq import flush, ready
from migrator.db.unwrap import error_of

Connection = psycopg.AsyncConnection[Any]
BLOCK_BYTES = 256 * 1024


async def _begin(conn: Connection, query: sql.Composed, expected: pq.ExecStatus) -> None:
    conn.pgconn.send_query(query.as_bytes(conn))
    results = await conn.wait(generators.execute(conn.pgconn))
    result = results[-1]
    if result.status != expected:
        raise error_of(conn, result)


async def _write(conn: Connection, block: bytes) -> None:
    while not conn.pgconn.put_copy_data(block):
        await flush(conn)
    await flush(conn)


async def pipe(
    origin: Connection,
    copy_out: sql.Composed,
    destination: Connection,
    copy_in: sql.Composed,
    on_block: Callable[[int, int], Awaitable[None]],
) -> tuple[int, int]:
    """Run both COPYs and return (rows, bytes) written. *on_block* is awaited with each block's bytes and messages, of
    which there is one per row, give or take header and trailer: for progress, and the throttle.

    Raises:
        psycopg.Error: either side failed; both connections are then to be closed by the caller.
    """
    await _begin(origin, copy_out, pq.ExecStatus.COPY_OUT)
    await _begin(destination, copy_in, pq.ExecStatus.COPY_IN)
    source = origin.pgconn
    pending: list[bytes] = []
    size = total = 0
    while True:
        length, data = source.get_copy_data(1)
        if length > 0:
            pending.append(bytes(data))
            size += length
            if size < BLOCK_BYTES:
                continue
        elif length == 0 and not pending:
            await ready(origin)
            source.consume_input()
            continue
        if pending:
            await _write(destination, b"".join(pending))
            await on_block(size, len(pending))
            total += size
            pending, size = [], 0
        if length < 0:
            break
    _raise_unless_ok(origin, (await origin.wait(generators.fetch_many(source)))[-1])
    result = await destination.wait(generators.copy_end(destination.pgconn, None))
    _raise_unless_ok(destination, result)
    return int(result.command_tuples or 0), total


def _raise_unless_ok(conn: Connection, result: pq.abc.PGresult) -> None:
    if result.status != pq.ExecStatus.COMMAND_OK:
        raise error_of(conn, result)

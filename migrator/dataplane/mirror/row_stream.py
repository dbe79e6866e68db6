"""Reads a result whose rows may be of any width, in bounded memory.

Row by row as the server sends them, on the libpq level: what has not been taken waits in the server. A block ends
with the row that fills it, so a block holds at most its limit and one row.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import pq, sql

from migrator.dataplane.mirror.batch import Raw
from migrator.dataplane.mirror.text_values import array
from migrator.db.libpq import flush, ready
from migrator.db.unwrap import error_of

Connection = psycopg.AsyncConnection[Any]
_ROW = pq.ExecStatus.SINGLE_TUPLE


@dataclass(slots=True)
class Block:
    """Rows as texts, how many characters they are, and whether more rows follow."""

    rows: list[Raw] = field(default_factory=list)
    size: int = 0
    more: bool = False


async def _next(conn: Connection) -> pq.abc.PGresult | None:
    pgconn = conn.pgconn
    while pgconn.is_busy():
        await ready(conn)
        pgconn.consume_input()
    return pgconn.get_result()


async def blocks(
    conn: Connection,
    query: sql.Composable,
    rows: int,
    size: int,
    columns: Sequence[Sequence[str | None]] = (),
) -> AsyncGenerator[Block]:
    """Yield the rows of *query*, in blocks of at most *rows* rows and of *size* characters and one row.

    *columns* are its parameters, one array per column. Nothing else can run on *conn* meanwhile. Left early, the
    statement is cancelled, and with it the transaction it is in.

    Raises:
        psycopg.Error: the statement failed, or the connection was lost.
    """
    async with conn.lock:
        pgconn = conn.pgconn
        parameters = [array(column).encode() for column in columns]
        pgconn.send_query_params(sql.Composed([query]).as_bytes(conn), parameters or None)
        pgconn.set_single_row_mode()
        running = True
        block = Block()
        try:
            await flush(conn)
            busy, take = pgconn.is_busy, pgconn.get_result  # once per row: no coroutine, no lookups
            while True:
                while busy():
                    await ready(conn)
                    pgconn.consume_input()
                result = take()
                if result is None:
                    break
                if result.status != _ROW:
                    running = False
                    if result.status != pq.ExecStatus.TUPLES_OK:
                        raise error_of(conn, result)
                    continue
                if len(block.rows) >= rows or block.size >= size:
                    block.more = True
                    full, block = block, Block()
                    yield full
                    del full  # the caller has it now, and frees it
                # One value after the other: of a wide one there are no more copies than must be.
                get = result.get_value
                row = tuple([None if (v := get(0, n)) is None else v.decode() for n in range(result.nfields)])
                v = result = None
                del get
                block.rows.append(row)
                block.size += sum([0 if v is None else len(v) for v in row])
                del row
            if block.rows:
                yield block
        finally:
            await _leave(conn, running)


async def first(conn: Connection, query: sql.Composable, rows: int, size: int) -> Block:
    """Return the first block of *query*; when there are more, the transaction it ran in is cancelled with it."""
    async with aclosing(blocks(conn, query, rows, size)) as found:
        return await anext(found, Block())


async def _leave(conn: Connection, running: bool) -> None:
    """Take what is still on its way, after cancelling a statement that runs; a connection that does not answer is
    closed."""
    if conn.closed:
        return
    try:
        if running:
            await conn.cancel_safe(timeout=5)
        async with asyncio.timeout(10):
            while await _next(conn) is not None:
                pass
    except (psycopg.Error, TimeoutError):
        conn.pgconn.finish()

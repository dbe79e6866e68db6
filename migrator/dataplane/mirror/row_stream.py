"""Reads a result whose rows may be of any width, in bounded memory.

Row by row as the server sends them, on the libpq level: what has not been taken waits in the server. A block ends
with the row that fills it, so a block holds at most its limit and one row.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import pq, sql

from migrator.dataplane.mirror.batch import Raw
from migrator.db.libpq import flush, ready
from migrator.db.text_values import array
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


Taken = tuple[Raw, int] | bool
"""A row and how many characters it is; False: none has arrived yet; True: there are no more."""


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
        take = _selected(conn, query, columns) if columns else _copied(conn, query)
        running = True
        block = Block()
        try:
            await flush(conn)
            if not columns:
                await _begun(conn)
            while (taken := take()) is not True:
                if taken is False:
                    await ready(conn)
                    conn.pgconn.consume_input()
                    continue
                if len(block.rows) >= rows or block.size >= size:
                    block.more = True
                    full, block = block, Block()
                    yield full
                    del full  # the caller has it now, and frees it
                block.rows.append(taken[0])
                block.size += taken[1]
                del taken
            running = False
            await _end(conn)
            if block.rows:
                yield block
        except psycopg.Error:
            running = False
            raise
        finally:
            await _leave(conn, running)


def _copied(conn: Connection, query: sql.Composable) -> Callable[[], Taken]:
    """Send *query* as a COPY, whose rows arrive each as one line: a third of the work that separate values are."""
    conn.pgconn.send_query(sql.SQL("COPY ({}) TO STDOUT").format(query).as_bytes(conn))
    get = conn.pgconn.get_copy_data

    def take() -> Taken:
        length, data = get(1)
        if length <= 0:
            return length < 0
        return row_of(str(data, "utf-8")), length

    return take


def row_of(line: str) -> Raw:
    """Return the values of one line of COPY's text format, as the server's output functions wrote them."""
    values = line[:-1].split("\t")
    if "\\" not in line:
        return tuple(values)
    return tuple([v if "\\" not in v else None if v == "\\N" else _ESCAPED.sub(_plain, v) for v in values])


_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_CONTROL = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _plain(found: re.Match[str]) -> str:
    return _CONTROL.get(found[1], found[1])


def _selected(conn: Connection, query: sql.Composable, columns: Sequence[Sequence[str | None]]) -> Callable[[], Taken]:
    """Send *query* with parameters, which COPY does not take; its rows arrive as results of one row each."""
    pgconn = conn.pgconn
    pgconn.send_query_params(sql.Composed([query]).as_bytes(conn), [array(column).encode() for column in columns])
    pgconn.set_single_row_mode()
    busy, result_of = pgconn.is_busy, pgconn.get_result

    def take() -> Taken:
        if busy():
            return False
        result = result_of()
        if result is None or result.status == pq.ExecStatus.TUPLES_OK:
            return True
        if result.status != _ROW:
            raise error_of(conn, result)
        get = result.get_value
        # One value after the other: of a wide one there are no more copies than must be.
        row = tuple([None if (v := get(0, n)) is None else v.decode() for n in range(result.nfields)])
        return row, sum([0 if v is None else len(v) for v in row])

    return take


async def _begun(conn: Connection) -> None:
    """Return when the server sends lines. Raises psycopg.Error when it refuses the statement."""
    result = await _next(conn)
    if result is not None and result.status != pq.ExecStatus.COPY_OUT:
        raise error_of(conn, result)


async def _end(conn: Connection) -> None:
    """Take the statement's last results. Raises psycopg.Error when it failed on the way."""
    while (result := await _next(conn)) is not None:
        if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            raise error_of(conn, result)


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
            while (result := await _next(conn)) is not None:
                if result.status == pq.ExecStatus.COPY_OUT:
                    await _discard(conn)
    except (psycopg.Error, TimeoutError):
        conn.pgconn.finish()


async def _discard(conn: Connection) -> None:
    """Take the lines that are still on their way."""
    while (length := conn.pgconn.get_copy_data(1)[0]) >= 0:
        if length == 0:
            await ready(conn)
            conn.pgconn.consume_input()

"""Rows read in blocks: as the server wrote them, and whatever becomes of the statement, the connection is known."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from migrator.dataplane.mirror import row_stream
from migrator.db.connect import connect_async

pytestmark = [pytest.mark.pg, pytest.mark.asyncio(loop_scope="session")]

EVERY_CHARACTER: LiteralString = """
SELECT n::text, chr(n) || 'x' || chr(n), NULL, '\\N', '', repeat('\\', n % 4) || 'n', ARRAY[chr(n), NULL]
  FROM generate_series(1, 3000) n WHERE n NOT BETWEEN 55296 AND 57343
"""


@pytest.mark.parametrize("columns", [(), (["1"],)], ids=["copied", "with parameters"])
async def test_rows_are_what_a_cursor_reads(classic_dsn: str, columns: tuple[list[str], ...]) -> None:
    """Both ways of reading give each value's text, whatever is in it; blocks hold as many rows as asked for."""
    query = EVERY_CHARACTER + ("   AND $1::int[] IS NOT NULL" if columns else "")
    async with await connect_async(classic_dsn, "test") as conn:
        cursor = psycopg.AsyncRawCursor(conn)
        await cursor.execute(query.encode(), [f"{{{c[0]}}}" for c in columns] or None)
        wanted = [tuple(map(str_of, row)) for row in texts_of(cursor)]

        sizes, found = [], []
        async with aclosing(row_stream.blocks(conn, sql.SQL(query), 700, 10**9, columns)) as blocks:
            async for block in blocks:
                sizes.append((len(block.rows), block.more))
                found += block.rows

    assert found == wanted
    assert sizes == [(700, True)] * 4 + [(200, False)]


def str_of(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def texts_of(cursor: psycopg.AsyncCursor[object]) -> list[list[bytes | None]]:
    result = cursor.pgresult
    assert result is not None
    return [[result.get_value(row, n) for n in range(result.nfields)] for row in range(result.ntuples)]


async def test_a_block_ends_with_the_row_that_fills_it(classic_dsn: str) -> None:
    async with await connect_async(classic_dsn, "test") as conn:
        query = sql.SQL("SELECT repeat('x', 1000) FROM generate_series(1, 25)")
        async with aclosing(row_stream.blocks(conn, query, 100, 10_000)) as blocks:
            counts = [len(block.rows) async for block in blocks]
    assert counts == [10, 10, 5]


FAILING = {
    "at once": (sql.SQL("SELECT * FROM migrator_not_there"), psycopg.errors.UndefinedTable),
    "on the way": (sql.SQL("SELECT 1 / (5000 - n) FROM generate_series(1, 9000) n"), psycopg.errors.DivisionByZero),
    "after a block": (sql.SQL("SELECT 1 / (8999 - n) FROM generate_series(1, 9000) n"), psycopg.errors.DivisionByZero),
}


@pytest.mark.parametrize("name", FAILING)
async def test_a_statement_that_fails_leaves_the_connection_usable(classic_dsn: str, name: str) -> None:
    query, error = FAILING[name]
    async with await connect_async(classic_dsn, "test") as conn:
        await conn.execute("BEGIN")
        with pytest.raises(error):
            async with aclosing(row_stream.blocks(conn, query, 1000, 10**9)) as blocks:
                async for _ in blocks:
                    pass
        await conn.execute("ROLLBACK")
        assert await (await conn.execute("SELECT 1")).fetchone() == (1,)


async def test_left_early_the_statement_is_cancelled(classic_dsn: str) -> None:
    """A statement that would send rows for hours, left after the first block, and once more while it is waited for."""
    forever = sql.SQL("SELECT n, pg_sleep((n = 2000)::int * 1000) FROM (SELECT generate_series(1, 1000000000)) s (n)")
    async with await connect_async(classic_dsn, "test") as conn:
        await conn.execute("BEGIN")
        block = await row_stream.first(conn, forever, 10, 10**9)
        assert (len(block.rows), block.more) == (10, True)
        assert conn.info.transaction_status is psycopg.pq.TransactionStatus.INERROR
        await conn.execute("ROLLBACK")

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await row_stream.first(conn, forever, 5000, 10**9)
        assert await (await conn.execute("SELECT 1")).fetchone() == (1,)


async def test_a_lost_connection_is_an_error_and_never_the_end_of_the_rows(classic_dsn: str) -> None:
    async with await connect_async(classic_dsn, "test") as conn, await connect_async(classic_dsn, "test") as other:
        query = sql.SQL("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)")
        with pytest.raises(psycopg.OperationalError):
            async with aclosing(row_stream.blocks(conn, query, 10, 10**9)) as blocks:
                async for _ in blocks:
                    await other.execute("SELECT pg_terminate_backend(%s)", (conn.info.backend_pid,))
        assert conn.closed

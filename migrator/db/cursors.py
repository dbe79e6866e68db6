"""Cursors on which an error knows the statement that it ended, and the side."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self

import psycopg
from psycopg.abc import Params, Query
from psycopg.rows import Row

from migrator.db.named import name_of
from migrator.db.origin import remember
from migrator.db.unwrap import Unwraps


class Cursor(psycopg.Cursor[Row]):
    def execute(self, query: Any, params: Params | None = None, **kw: Any) -> Self:
        with _of(self.connection, query):
            return super().execute(query, params, **kw)

    def executemany(self, query: Query, params_seq: Iterable[Params], **kw: Any) -> None:
        with _of(self.connection, query):
            super().executemany(query, params_seq, **kw)

    @contextmanager
    def copy(self, statement: Query, params: Params | None = None, **kw: Any) -> Iterator[psycopg.Copy]:
        with _of(self.connection, statement), super().copy(statement, params, **kw) as copying:
            yield copying


class ServerCursor(psycopg.ServerCursor[Row]):
    def execute(self, query: Any, params: Params | None = None, **kw: Any) -> Self:
        with _of(self.connection, query):
            return super().execute(query, params, **kw)


class AsyncCursor(psycopg.AsyncCursor[Row]):
    async def execute(self, query: Any, params: Params | None = None, **kw: Any) -> Self:
        with _of(self.connection, query):
            return await super().execute(query, params, **kw)

    async def executemany(self, query: Query, params_seq: Iterable[Params], **kw: Any) -> None:
        with _of(self.connection, query):
            await super().executemany(query, params_seq, **kw)

    @asynccontextmanager
    async def copy(self, statement: Query, params: Params | None = None, **kw: Any) -> AsyncIterator[psycopg.AsyncCopy]:
        with _of(self.connection, statement):
            async with super().copy(statement, params, **kw) as copying:
                yield copying


class AsyncServerCursor(psycopg.AsyncServerCursor[Row]):
    async def execute(self, query: Any, params: Params | None = None, **kw: Any) -> Self:
        with _of(self.connection, query):
            return await super().execute(query, params, **kw)


class _of:
    """Notes the side, and the name of *query*, on an error that leaves the block; as light as a block can be."""

    __slots__ = ("conn", "query")

    def __init__(self, conn: object, query: Any) -> None:
        self.conn, self.query = conn, query

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, psycopg.Error):
            remember(error, self.conn.side if isinstance(self.conn, Unwraps) else "", name_of(self.query))

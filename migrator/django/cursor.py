"""Cursors for Django. Each statement's results are fetched to their end inside its block.

Only then it is known that they may be believed: a block of Limitless says on leaving whether its route changed
meanwhile. So nothing here is bound to a server connection once `execute` has returned.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import psycopg
from django.db.backends.postgresql.base import CursorMixin
from psycopg import sql
from psycopg.client_cursor import ClientCursorMixin

from migrator.django.connection import Conn, ShimConnection
from migrator.django.statement import CopyStatement, Statement

Query = Any  # str, bytes, or composed: as psycopg has it


@cache
def cursor_type(base: type[psycopg.Cursor[Any]], server_side_binding: bool) -> type[psycopg.Cursor[Any]]:
    """Return the cursor that Django wants, on top of that of the shim's connections.

    Django's SQL cannot be sent with its parameters apart unless OPTIONS say so: they go into the text.
    """
    bases: tuple[type, ...] = (CursorMixin, base) if server_side_binding else (CursorMixin, ClientCursorMixin, base)
    return type("Cursor", bases, {})


class ServerSideCursor(CursorMixin, ClientCursorMixin["psycopg.Connection[Any]", Any], psycopg.ServerCursor[Any]):
    """A named cursor whose parameters go into the text; Django has one of its own since release 5."""


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that a statement gave. rows: None when it gives none."""

    description: Sequence[Any] | None = None
    rowcount: int = -1
    statusmessage: str | None = None
    rows: list[Any] | None = None


def results_of(cursor: psycopg.Cursor[Any]) -> list[Result]:
    """Return the results of what was executed, of each statement in its text."""
    found = []
    while True:
        described = cursor.description
        rows = None if described is None else cursor.fetchall()
        found.append(Result(described, cursor.rowcount, cursor.statusmessage, rows))
        if not cursor.nextset():
            return found


class ShimCursor:
    """A cursor as Django's wrappers use it.

    Args:
        bind: called with each server cursor before it executes, for its loaders.
    """

    def __init__(
        self,
        connection: ShimConnection,
        *,
        server_side_binding: bool = False,
        bind: Callable[[psycopg.Cursor[Any]], None] = lambda cursor: None,
    ) -> None:
        self._blocks = connection
        self._server_side_binding = server_side_binding
        self._bind = bind
        self._results = [Result()]
        self._at = 0
        self._pos = 0
        self._query: Any = None  # psycopg's, of the last statement; Django's log of statements reads it
        self.closed = False
        self.arraysize = 1
        self.adapters = connection.adapters
        self.connection = None  # with `adapters`, what psycopg asks of who composes SQL

    def _on(self, conn: Conn) -> psycopg.Cursor[Any]:
        factory: Any = conn.cursor_factory
        made: psycopg.Cursor[Any] = cursor_type(factory, self._server_side_binding)(conn)
        self._bind(made)
        return made

    def _run(self, fn: Callable[[psycopg.Cursor[Any]], object], query: Query = "") -> None:
        if self.closed:
            raise psycopg.InterfaceError("the cursor is closed")

        def work(conn: Conn) -> list[Result]:
            with self._on(conn) as cursor:
                try:
                    fn(cursor)
                finally:
                    self._query = cursor._query
                return results_of(cursor)

        self._results, self._at, self._pos = [Result()], 0, 0
        self._results = self._blocks.run(work, Statement(query))

    # -- statements ---------------------------------------------------------------------------------------

    def execute(self, query: Query, params: Any = None, **options: Any) -> Self:
        """Run a statement, in the transaction or as one of its own."""
        self._run(lambda c: c.execute(query, params, **options), query)
        return self

    def executemany(self, query: Query, params_seq: Iterable[Any], **options: Any) -> None:
        """Run a statement once for each of *params_seq*, all in one transaction."""
        listed = list(params_seq)  # it may be run again
        self._run(lambda c: c.executemany(query, listed, **options), query)

    def callproc(self, name: str, args: Sequence[Any] | None = None) -> Sequence[Any] | None:
        """Select from a function."""
        self._run(lambda c: c.callproc(name, args))  # type: ignore[attr-defined] # of Django's mixin
        return args

    @contextmanager
    def copy(self, statement: Query, params: Any = None, **options: Any) -> Iterator[psycopg.Copy]:
        """Run a COPY in the transaction, or in one of its own that ends with the block."""
        with self._blocks.held(CopyStatement(statement)) as conn, self._on(conn) as cursor:
            with cursor.copy(statement, params, **options) as copying:
                yield copying

    def stream(self, query: Query, params: Any = None, **options: Any) -> Iterator[Any]:
        """Yield rows as they come; inside of a transaction only, as they are believed before its end."""
        if not self._blocks.in_transaction:
            raise psycopg.NotSupportedError("stream() needs a transaction: with transaction.atomic()")
        with self._blocks.held(Statement(query)) as conn, self._on(conn) as cursor:
            yield from cursor.stream(query, params, **options)

    def mogrify(self, query: Query, params: Any = None) -> str:
        """Return the statement with its parameters in it."""
        return merged(query, params, self)

    # -- results ------------------------------------------------------------------------------------------

    @property
    def _result(self) -> Result:
        return self._results[self._at]

    @property
    def description(self) -> Sequence[Any] | None:
        return self._result.description

    @property
    def rowcount(self) -> int:
        return self._result.rowcount

    @property
    def statusmessage(self) -> str | None:
        return self._result.statusmessage

    @property
    def rownumber(self) -> int | None:
        return None if self._result.rows is None else self._pos

    @property
    def lastrowid(self) -> None:
        return None

    def nextset(self) -> bool | None:
        """Move to the result of the next statement, where a text held several."""
        if self._at + 1 >= len(self._results):
            return None
        self._at, self._pos = self._at + 1, 0
        return True

    def _rows(self) -> list[Any]:
        if self.closed:
            raise psycopg.InterfaceError("the cursor is closed")
        if self._result.rows is None:
            raise psycopg.ProgrammingError("the last operation didn't produce records")
        return self._result.rows

    def fetchone(self) -> Any:
        rows = self._rows()
        if self._pos >= len(rows):
            return None
        self._pos += 1
        return rows[self._pos - 1]

    def fetchmany(self, size: int = 0) -> list[Any]:
        rows, start = self._rows(), self._pos
        self._pos = min(len(rows), start + (size or self.arraysize))
        return rows[start : self._pos]

    def fetchall(self) -> list[Any]:
        rows, start = self._rows(), self._pos
        self._pos = len(rows)
        return rows[start:]

    def scroll(self, value: int, mode: str = "relative") -> None:
        rows = self._rows()
        to = self._pos + value if mode == "relative" else value
        if not 0 <= to < max(len(rows), 1):
            raise IndexError("position out of bound")
        self._pos = to

    def __iter__(self) -> Iterator[Any]:
        while (row := self.fetchone()) is not None:
            yield row

    def close(self) -> None:
        self.closed = True
        self._results, self._at = [Result()], 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def merged(query: Query, params: Any, context: Any) -> str:
    """Return a statement with %s parameters in it as a text, without asking a server how."""
    if not isinstance(query, str):
        query = query.as_string(context) if hasattr(query, "as_string") else bytes(query).decode()
    if params is None:
        return str(query)
    named = params if isinstance(params, dict) else None
    listed = iter(() if named is not None else params)

    def put(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        if match[0] == "%s" and named is None:
            value = next(listed, _MISSING)
        elif match[1] and named is not None:
            value = named.get(match[1], _MISSING)
        else:
            value = _MISSING
        if value is _MISSING:
            raise psycopg.ProgrammingError("the parameters are not those that the statement names")
        return sql.Literal(value).as_string(context)

    text = re.sub(r"%(?:%|s|\(([^)]+)\)s)", put, query)
    if next(listed, _MISSING) is not _MISSING:
        raise psycopg.ProgrammingError("there are more parameters than the statement names")
    return text


_MISSING = object()

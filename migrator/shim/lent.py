"""The connection object that an application is lent. Its transaction begins in the message of its first statement.

So a block costs no round trip for BEGIN. What is owed to the server is sent before anything else of the application
reaches it, whichever way it goes: the attribute `pgconn`, which everything of psycopg needs, is there only once the
transaction is begun. A plain `execute` sends both in one message (a pipeline of libpq); for everything else (COPY,
several statements in one text, server-side and foreign cursors, prepared statements, `pipeline()`, `transaction()`,
`info`) BEGIN goes ahead in a message of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from migrator.model.sqlstate import CANCELED
from migrator.shim.clock import now_s

NOTED = 8
"""Errors kept of one transaction."""

MEETS = all(hasattr(psycopg.Cursor, name) for name in ("_maybe_prepare_gen", "_execute_send", "_check_results"))
"""Whether this psycopg is built as relied on here. BEGIN always goes ahead by itself where it is not."""


class Lent:
    """What a lent connection knows of itself, on either front.

    Attributes:
        busy_since_s: since when a statement runs, so that a silent server can be disconnected.
        refused: SQLSTATE and message of what the server refused since the connection was taken, also what the
            caller swallowed, and on whichever cursor, at execute or at fetch.
        cut_s: how long the longest statement that was canceled had run, in seconds.
        canceled: the application itself asked the server to cancel what runs.
        interrupted: who waited for a statement was cancelled; it is not lent again.
        returned: its block ends or has ended; the borrower may not use it any more.
        owed: what begins the transaction and was not sent yet.
        pg: libpq's connection, whatever is owed.
    """

    busy_since_s: float | None = None
    refused: tuple[tuple[str, str], ...] = ()
    cut_s: float = 0.0
    canceled: bool = False
    interrupted: bool = False
    returned: bool = False
    owed: tuple[bytes, ...] = ()
    pg: PGconn

    def owes_no_more(self) -> bool:
        """Forget what is owed; return whether there was anything, so that nothing of the application was sent."""
        return False

    def note(self, error: psycopg.Error) -> None:
        """Remember what the server refused."""
        if error.sqlstate == CANCELED and self.busy_since_s is not None:
            self.cut_s = max(self.cut_s, now_s() - self.busy_since_s)
        if error.sqlstate and len(self.refused) < NOTED:
            self.refused += ((error.sqlstate, error.diag.message_primary or ""),)

    def check_lent(self) -> None:
        """Raise when the block is over."""
        if self.returned:
            raise psycopg.OperationalError("the connection is closed: it went back to the pool with its block")


class Conn(Lent, psycopg.Connection[Any]):
    """The connection that a block of the synchronous front is lent.

    Attributes:
        within: bounds a conversation, where no thread watches it.
    """

    within: Callable[[PQGen[Any]], PQGen[Any]] | None = None
    _beginning: threading.RLock

    def __init__(self, pgconn: PGconn, *args: Any) -> None:
        super().__init__(pgconn, *args)
        self.pg = pgconn

    def owe(self, statements: tuple[bytes, ...]) -> None:
        """Send *statements* before anything else from now on, with the first statement or ahead of it."""
        self._beginning = threading.RLock()
        self.owed = statements
        del self.__dict__["pgconn"]

    def owes_no_more(self) -> bool:
        """Forget what is owed; return whether there was anything, so that nothing of the application was sent."""
        owed, self.owed = self.owed, ()
        self.__dict__["pgconn"] = self.pg
        return bool(owed)

    def __getattr__(self, name: str) -> Any:
        if name != "pgconn" or "pg" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._begin()
        return self.pg

    def __del__(self, *_: Any) -> None:
        """Give no warning about a connection that is still open: it belongs to the pool, or ends with the process."""

    @property
    def closed(self) -> bool:
        """Whether it is closed for the holder of this object."""
        return self.returned or self.pg.status == ConnStatus.BAD

    def _check_connection_ok(self) -> None:
        if not self.owed or self.pg.status != ConnStatus.OK:
            super()._check_connection_ok()

    def close(self) -> None:
        if not self.returned:
            self.owes_no_more()
        super().close()

    def cancel(self) -> None:
        self.canceled = True
        super().cancel()

    def cancel_safe(self, **options: Any) -> None:
        self.canceled = True
        super().cancel_safe(**options)

    def wait(self, gen: PQGen[Any], *args: Any, **options: Any) -> Any:  # everything that waits comes through here
        """Run one conversation with the server."""
        self.check_lent()
        if self.owed:
            self._begin()
        return self.converse(gen, *args, **options)

    def wait_with_begin(self, gen: PQGen[Any]) -> None:
        """Run a conversation that sends what is owed by itself. The caller holds `lock`."""
        if not self.owed:  # another thread was first
            self.wait(gen)
            return
        self.__dict__["pgconn"] = self.pg
        try:
            self.converse(gen)
        finally:
            if self.owed:  # it failed before it sent anything
                self._begin()

    def converse(self, gen: PQGen[Any], *args: Any, **options: Any) -> Any:
        """Run one conversation, whatever is owed, and whether or not this object was given back."""
        self.busy_since_s = now_s()
        if self.within is not None:
            gen = self.within(gen)
        try:
            return super().wait(gen, *args, **options)
        except psycopg.Error as error:
            self.note(error)
            raise
        finally:
            self.busy_since_s = None

    def _begin(self) -> None:
        """Send what is owed, and wait for its answer. One thread does; others wait until it is done."""
        with self._beginning:
            if self.owed:
                self.__dict__["pgconn"] = self.pg
                self.converse(self.begin_gen())

    def begin_gen(self) -> PQGen[None]:
        """Send what is owed in a message of its own. A connection on which it fails is closed: nothing runs there."""
        try:
            for result in (yield from conversation(self.pg, b"; ".join(self.owed))):
                check(result)
        except BaseException:
            self.pg.finish()
            raise
        finally:
            self.owed = ()


class Cursor(psycopg.Cursor[Any]):
    """The cursor of a lent connection: psycopg's, and its first statement takes BEGIN along."""

    __slots__ = ()

    def __init__(self, connection: psycopg.Connection[Any], **options: Any) -> None:
        if not isinstance(connection, Conn) or not connection.owed:
            super().__init__(connection, **options)
            return
        connection.__dict__["pgconn"] = connection.pg  # looked at, not used
        try:
            super().__init__(connection, **options)
        finally:
            if connection.owed:
                connection.__dict__.pop("pgconn", None)  # another thread may make one too

    def execute(self, query: Any, params: Any = None, **options: Any) -> Cursor:  # Any: as psycopg has it
        """Run *query*, after what is owed."""
        conn = self._conn
        if not isinstance(conn, Conn) or not conn.owed:
            super().execute(query, params, **options)
            return self
        try:
            with conn.lock:
                conn.wait_with_begin(self._execute_gen(query, params, **options))
        except psycopg.Error as error:
            raise error.with_traceback(None)  # noqa: B904 - the same error without our frames, as psycopg does
        return self

    def _maybe_prepare_gen(self, pgq: Any, *, prepare: bool | None = None, binary: bool | None = None) -> PQGen[None]:
        conn = self._conn
        if not isinstance(conn, Conn) or not conn.owed:
            yield from super()._maybe_prepare_gen(pgq, prepare=prepare, binary=binary)
        elif prepare or conn.prepare_threshold is not None or not _meets(pgq.query):
            yield from conn.begin_gen()
            yield from super()._maybe_prepare_gen(pgq, prepare=prepare, binary=binary)
        else:
            results = yield from self._with_begin(conn, pgq, binary)
            self._check_results(results)
            self._set_results(results)

    def _with_begin(self, conn: Conn, pgq: Any, binary: bool | None) -> PQGen[list[PGresult]]:
        """Send what is owed and the statement in one message; return the statement's results."""
        pg, owed = conn.pg, conn.owed
        failed: Exception | None = None
        try:
            pg.enter_pipeline_mode()
            for statement in owed:
                pg.send_query_params(statement, None)
            try:
                self._execute_send(pgq, force_extended=True, binary=binary)
            except Exception as error:  # libpq does not take it, for example for its number of parameters
                failed = error
            pg.pipeline_sync()
            yield from generators.send(pg)
            answers: list[list[PGresult]] = []
            while (found := (yield from generators.fetch_many(pg))) and found[0].status != ExecStatus.PIPELINE_SYNC:
                answers.append(found)
            for begun in answers[: len(owed)]:
                check(begun[0])
            if pg.status == ConnStatus.OK:
                pg.exit_pipeline_mode()
        except BaseException:
            pg.finish()  # whether the transaction has begun is unknown, and nothing may run outside of it
            raise
        finally:
            conn.owed = ()
        if failed is not None:
            raise failed
        return answers[-1] if len(answers) > len(owed) else []


def _meets(query: bytes) -> bool:
    """Return whether a statement can go in one message with others: it is one, and no COPY."""
    return b";" not in query and b"copy" not in query.lower()


CURSOR: type[psycopg.Cursor[Any]] = Cursor if MEETS else psycopg.Cursor


def lent(pgconn: PGconn) -> Conn:
    """Return an object for an application on an open connection: transactions are begun and ended by name."""
    conn = Conn(pgconn)
    conn._autocommit = True  # its setter is a conversation
    if not conn.autocommit:
        conn.autocommit = True
    conn.prepare_threshold = None
    conn.cursor_factory = CURSOR
    return conn


def conversation(pgconn: PGconn, statement: bytes) -> PQGen[list[PGresult]]:
    """Send *statement*, which may be several, and return their results."""
    pgconn.send_query(statement)
    results: list[PGresult] = yield from generators.execute(pgconn)
    return results


def check(result: PGresult) -> None:
    """Raise what the server says went wrong.

    Raises:
        psycopg.Error: the statement was refused, or the connection was lost.
    """
    if result.status == ExecStatus.FATAL_ERROR:
        raise psycopg.errors.error_from_result(result)

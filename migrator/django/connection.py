"""What Django takes for its psycopg connection: it has none of its own, but begins blocks of the shim.

Django drives a connection by `autocommit`, `commit()` and `rollback()`. Here a statement in autocommit is a block by
itself; with autocommit off the first statement begins a block, which `commit()` leaves, and with it waits for the
acknowledgement. So server connections are the shim's: they live in its pool, across requests and threads.

Whether a transaction reads or writes is decided where it begins (`transaction.atomic()` is entered), not by its first
statement: what a writing transaction reads comes from the writer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg.adapt import AdaptersMap

from migrator.django.scope import Scope, current
from migrator.django.statement import Statement
from migrator.errors import ClusterUnavailable, UsageError, WritesClosed
from migrator.model.ack import Ack
from migrator.model.tenant import TenantId
from migrator.shim import Read, Session, Shim, Write

T = TypeVar("T")
Conn = psycopg.Connection[Any]

UNKNOWN = Statement()

NO_TENANT = TenantId("(no tenant)")
"""Has no route, so that classic answers, and Limitless once the migration is over."""


class RolledBack(Exception):
    """Ends a block by ROLLBACK."""


_REFUSED: dict[int, None] = {}
"""Statements that looked like reads and write, by the hash of their text: they are begun as writes at once."""

REMEMBERED = 1000


@contextmanager
def as_psycopg() -> Iterator[None]:
    """Raise psycopg's error, and so in the end Django's OperationalError, where a side cannot be reached.

    WritesClosed stays what it is, as everything that says what became of a write.
    """
    try:
        yield
    except WritesClosed:
        raise
    except ClusterUnavailable as error:
        raise psycopg.OperationalError(str(error)) from error


class ShimConnection:
    """Blocks of one thread, one after the other.

    Args:
        shim: the process' shim, opened.
        prepare: brings a block's connection to the session state that Django expects.
        alias: of the database that writes; a session is one of its shim's.
        ack: level of acknowledgement where the scope names none.
        plain_reads: whether a statement that only reads may be a read of classic outside of transactions: without
            replicas, which may lack what was written by a level that does not wait for them.
        reads: an alias for reads alone.
        writer: of such an alias, the connection whose transaction answers while it has one.

    Attributes:
        autocommit: as of psycopg's connections.
        closed: whether `close` was called.
        adapters, connection: psycopg's AdaptContext, for what composes SQL: there is no server connection to ask.
    """

    connection = None

    def __init__(
        self,
        shim: Callable[[], Shim],
        adapters: AdaptersMap,
        prepare: Callable[[Conn, str | None], None],
        *,
        alias: str,
        ack: Ack | None = None,
        plain_reads: bool = False,
        reads: bool = False,
        writer: Callable[[], ShimConnection | None] = lambda: None,
    ) -> None:
        self.adapters = AdaptersMap(adapters)
        self.closed = False
        self._shim = shim
        self._prepare = prepare
        self._alias = alias
        self._ack = ack
        self._plain_reads = plain_reads
        self._reads = reads
        self._writer = writer
        self._autocommit = True
        self._began: Scope | None = None  # what was bound where autocommit was turned off
        self._block: Read | Write | None = None
        self._error: psycopg.Error | None = None  # the block's last
        self._pid = os.getpid()

    # -- what Django calls --------------------------------------------------------------------------------

    @property
    def autocommit(self) -> bool:
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        if self._open is not None:
            raise psycopg.ProgrammingError("autocommit cannot be changed inside a transaction")
        self._autocommit = value
        self._began = None if value else current()

    @property
    def in_transaction(self) -> bool:
        """Whether statements belong to a transaction that is left by `commit` or `rollback`."""
        return not self._autocommit

    def commit(self) -> None:
        """Commit what was begun, and wait for its acknowledgement.

        Raises:
            CommitUnknown, CommittedUnconfirmed, WritesClosed: as `Shim.write`.
            ReadStale: as `Shim.read`.
        """
        block = self._ended()
        if block is not None:
            with as_psycopg():
                block.__exit__(None, None, None)

    def rollback(self) -> None:
        """Roll back what was begun.

        Raises:
            WritesClosed: that is why it failed.
            ReadStale: what was read must be thrown away as well.
        """
        error: Exception = self._error or RolledBack()
        block = self._ended()
        if block is not None:
            with as_psycopg():
                block.__exit__(type(error), error, None)

    def close(self) -> None:
        """Roll back what was begun; there is nothing else to close."""
        self.closed = True
        block = self._ended()
        if block is not None:
            with suppress(Exception):  # thrown away with the transaction
                block.__exit__(RolledBack, RolledBack(), None)

    # -- what cursors call --------------------------------------------------------------------------------

    def run(self, fn: Callable[[Conn], T], statement: Statement = UNKNOWN) -> T:
        """Return what *fn* returns for a connection in the block that statements belong to now.

        In autocommit, *fn* may be called again: on classic, when Limitless could not answer, or after a failure that
        certainly left nothing behind.

        Args:
            statement: what runs. One that certainly writes is refused by a read-only block before anything is sent.

        Raises:
            psycopg.Error: the server's error, or a side cannot be reached.
            MigratorError: as the shim's calls.
        """
        writer = self._writer()
        if writer is not None and writer.in_transaction:
            return writer.run(fn, statement)
        self._check()
        if self.in_transaction:
            return self._in_transaction(fn, statement)
        scope = current()
        name = scope.tenant or NO_TENANT
        with as_psycopg():
            source = self._source(scope)
            if self._is_read(scope):
                _refuse(statement)
                return source.run_read(name, lambda r: fn(self._ready(r.connection, scope.tenant)))
            if self._plain_reads and statement.reads and hash(statement.text) not in _REFUSED:
                with suppress(psycopg.errors.ReadOnlySqlTransaction):  # a function in it writes; nothing has happened
                    return source.run_read(NO_TENANT, lambda r: fn(self._ready(r.connection, scope.tenant)))
                if len(_REFUSED) >= REMEMBERED:
                    _REFUSED.clear()
                _REFUSED[hash(statement.text)] = None
            return source.run_write(name, lambda w: fn(self._ready(w.connection, scope.tenant)), ack=self._level(scope))

    @contextmanager
    def held(self, statement: Statement = UNKNOWN) -> Iterator[Conn]:
        """Give a connection for as long as the block lasts: that of the transaction, else one of its own.

        What is read there outside of a transaction is not tried again: ReadStale is raised at the end.
        """
        writer = self._writer()
        if writer is not None and writer.in_transaction:
            with writer.held(statement) as conn:
                yield conn
            return
        self._check()
        if self.in_transaction:
            yield self._in_transaction(lambda conn: conn, statement)
            return
        scope = current()
        name = scope.tenant or NO_TENANT
        with as_psycopg():
            source = self._source(scope)
            if self._is_read(scope):
                _refuse(statement)
                with source.read(name) as r:
                    yield self._ready(r.connection, scope.tenant)
            else:
                with source.write(name, ack=self._level(scope)) as w:
                    yield self._ready(w.connection, scope.tenant)

    # -- inside -------------------------------------------------------------------------------------------

    @property
    def _open(self) -> Read | Write | None:
        """The block that is open; a forked child has none, whatever its parent had."""
        if self._pid != os.getpid():
            self._pid, self._block, self._error = os.getpid(), None, None
            if not self._autocommit:
                self.closed = True  # the parent's transaction goes on there
        return self._block

    def _ended(self) -> Read | Write | None:
        block = self._open
        self._block, self._error = None, None
        return block

    def _check(self) -> None:
        if self._open is None and self.closed:
            raise psycopg.OperationalError("the connection is closed")

    def _is_read(self, scope: Scope) -> bool:
        return self._reads or scope.reads

    def _session(self, scope: Scope) -> Session | None:
        return scope.session if scope.session_of == self._alias else None

    def _source(self, scope: Scope) -> Shim | Session:
        return self._session(scope) or self._shim()

    def _level(self, scope: Scope) -> Ack | None:
        return scope.ack or (self._ack if self._session(scope) is None else None)  # a session has a level of its own

    def _ready(self, conn: Conn, tenant: str | None) -> Conn:
        conn._adapters = AdaptersMap(self.adapters)  # as Django's own backend has them given to connect()
        self._prepare(conn, tenant)
        return conn

    def _in_transaction(self, fn: Callable[[Conn], T], statement: Statement) -> T:
        scope, began = current(), self._began or current()
        block = self._block
        if block is None:
            block = self._begin(scope, began)
        if isinstance(block, Read):
            _refuse(statement)
            if scope.tenant is not None and scope.tenant != block.tenant_id:
                raise UsageError(
                    f"a transaction that reads tenant {block.tenant_id} is asked for tenant {scope.tenant}",
                    hint="Begin another transaction.atomic() for each tenant that is read.",
                )
        try:
            return fn(block.connection)
        except psycopg.Error as error:
            self._error = error
            raise

    def _begin(self, scope: Scope, began: Scope) -> Read | Write:
        tenant = scope.tenant or began.tenant
        block: Read | Write
        with as_psycopg():
            source = self._source(scope)
            if self._is_read(began):
                block = source.read(tenant or NO_TENANT)
            else:
                block = source.write(tenant or NO_TENANT, ack=self._level(scope))
            block.__enter__()
        self._block = block
        try:
            self._ready(block.connection, tenant)
        except BaseException:
            self._ended()
            with suppress(Exception):  # nothing was asked in it yet, and nothing may be without what was to be prepared
                block.__exit__(RolledBack, RolledBack(), None)
            raise
        return block


def _refuse(statement: Statement) -> None:
    if statement.writes:
        raise UsageError(
            "a statement that writes, or locks rows, runs where statements are read-only",
            hint="Leave reading() before it, or begin its transaction.atomic() outside of reading().",
        )

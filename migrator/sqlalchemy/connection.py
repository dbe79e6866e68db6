"""The connection that SQLAlchemy gets from its driver: each transaction on it is one block of the shim.

It holds nothing between transactions. `begin` opens a block and lends its psycopg connection, `commit` and `rollback`
end the block and give it back. So a session that goes on after a commit is routed anew, and no connection is held while
a session waits for its user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from migrator.errors import ReadStale, UsageError
from migrator.model.side import Side
from migrator.shim import CommittedUnconfirmed
from migrator.shim.read import ReadSteps
from migrator.shim.write import WriteSteps
from migrator.sqlalchemy.scope import Lent, Scope

T = TypeVar("T")

Configure = Callable[[psycopg.Connection[Any], Side], None]
"""Prepares a connection that a block was lent, for example registers types. It may run statements; it may not end the
transaction. Each block gets another object, so what is registered ends with the block."""


class RolledBack(Exception):
    """Told to a block whose transaction SQLAlchemy rolls back."""


class BlockConnection:
    """What PEP 249 calls a connection, as far as SQLAlchemy's dialect for psycopg uses it.

    Attributes:
        scope: of the transaction that begins next; set before `begin`.
        side, tenant: of the last transaction.
        isolation_level, read_only, deferrable: of the transactions that begin next; None: as the server has it.
    """

    isolation_level: psycopg.IsolationLevel | None = None
    read_only: bool | None = None
    deferrable: bool | None = None

    def __init__(self, configure: Configure | None = None) -> None:
        self.scope: Scope | None = None
        self.side: Side | None = None
        self.tenant: str | None = None
        self.preparing = Side.CLASSIC
        self._configure = configure
        self._conn: psycopg.Connection[Any] | None = None  # lent, while a transaction runs
        self._block: ReadSteps | WriteSteps | None = None  # to be ended here
        self._said = False  # something may have been sent in this transaction
        self._closed = False

    # -- one transaction ----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Open a block, or go on in one that was lent.

        Raises:
            UsageError: no scope was set, or an earlier statement of the lent read failed.
            ClusterUnavailable, WritesClosed, ReadStale, TokenInvalid: as the block does.
        """
        scope = self.scope
        if self._conn is not None:
            return
        if scope is None:
            raise _no_scope()
        if scope.lent is not None:
            self.run(self._go_on, scope.lent)
        else:
            self.open(scope)
        self._said = False

    def _go_on(self, lent: Lent) -> None:
        conn = lent.read.connection
        if lent.used and _failed(conn):
            raise UsageError(
                "an earlier statement of this read failed, so its transaction cannot go on",
                hint="Let the error propagate, or run a statement that may fail inside session.begin_nested().",
            )
        if not lent.used:
            self._prepare(lent.read)
        self._conn, self.side, lent.used = conn, lent.read.side, True

    def open(self, scope: Scope) -> None:
        """Open a block of *scope*. The one for asyncio does so in a thread."""
        self.tenant = scope.of_tenant()
        block = scope.opens(self.tenant)
        if scope.ended is not None:
            scope.ended.last = block
        self.enter(block)
        self._conn, self._block, self.side = block.connection, block, block.side
        self._prepare(block)

    def _prepare(self, block: ReadSteps | WriteSteps) -> None:
        settings = [
            *([f"ISOLATION LEVEL {self.isolation_level.name.replace('_', ' ')}"] if self.isolation_level else ()),
            *(["READ ONLY"] if self.read_only else ()),
            *(["DEFERRABLE"] if self.deferrable else ()),
        ]
        if settings:
            self.say(block.connection, f"SET TRANSACTION {', '.join(settings)}".encode())
        if self._configure is not None:
            self.preparing = block.side
            self.configure(block.connection, self._configure)

    def commit(self) -> None:
        """End the block as a `with` that was left without an error; returns when a write is acknowledged.

        Raises:
            CommitUnknown, WritesClosed, UsageError: as the block does.
            CommittedUnconfirmed, ReadStale: the same, where no session raises them itself.
            psycopg.Error: COMMIT was refused, for example by a deferred constraint.
        """
        self._end(None)

    def rollback(self) -> None:
        """End the block as one that was left by an error; as `commit`, raises ReadStale for a read."""
        self._end(RolledBack())

    def _end(self, error: RolledBack | None) -> None:
        block, conn, scope = self._block, self._conn, self.scope
        self._block = self._conn = None
        if block is None or conn is None:
            return
        if isinstance(block, ReadSteps):
            # SQLAlchemy rolls back what was only looked at: nothing went wrong unless the server says so.
            wrong = error is not None and self._said and _failed(conn)
            self._leave(block, psycopg.errors.InFailedSqlTransaction("rolled back") if wrong else None, scope)
        else:
            self._leave(block, error, scope)

    def _leave(self, block: ReadSteps | WriteSteps, error: Exception | None, scope: Scope | None) -> None:
        ended = scope.ended if scope is not None else None
        try:
            self.leave(block, error)
        except (CommittedUnconfirmed, ReadStale) as late:
            if ended is None:
                raise
            ended.late = late
        finally:
            if ended is not None and isinstance(block, WriteSteps) and block.committed and self._said:
                ended.committed = True

    def close(self) -> None:
        """Roll back what is running. Nothing else is held."""
        self._closed = True
        self.rollback()

    # -- what runs in it ----------------------------------------------------------------------------------

    def cursor(self, *name: str) -> Any:
        """Return a cursor of the lent connection; with a *name*, one that the server keeps."""
        if self._conn is None:
            return Pending(self, name)
        self._said = True
        return self.lent_cursor(*name)

    def lent_cursor(self, *name: str) -> Any:
        return self.lent_connection.cursor(*name)

    @property
    def lent_connection(self) -> psycopg.Connection[Any]:
        """The connection of the running block.

        Raises:
            UsageError: SQLAlchemy has begun no transaction.
        """
        if self._conn is None:
            raise UsageError(
                "a statement outside of a transaction of SQLAlchemy, whose end nothing would acknowledge or check",
                hint="Use Session, or engine.begin(), in place of engine.raw_connection(); inside of them, "
                "connection.connection.driver_connection is psycopg's connection.",
            )
        return self._conn

    @property
    def block(self) -> ReadSteps | WriteSteps | None:
        """The block that runs; None between transactions, and when it is ended by its owner."""
        return self._block

    @property
    def closed(self) -> bool:
        return self._closed or (self._conn is not None and self._conn.closed)

    broken = closed

    @property
    def info(self) -> psycopg.ConnectionInfo:
        return self.lent_connection.info

    @property
    def adapters(self) -> psycopg.adapt.AdaptersMap:
        return self.lent_connection.adapters

    @property
    def autocommit(self) -> bool:
        return False

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        if value:
            raise UsageError(
                "autocommit is not possible: a statement's commit would be acknowledged by nothing",
                hint="Use transactions. What PostgreSQL runs in none (VACUUM, CREATE INDEX CONCURRENTLY) needs an "
                "engine of its own on classic.",
            )

    # -- how it waits: here, or in a thread, or by leaving SQLAlchemy's greenlet ----------------------------

    def run(self, fn: Callable[..., T], *args: Any) -> T:
        """Run what may wait for a server."""
        return fn(*args)

    def enter(self, block: Any) -> None:
        """Begin *block*."""
        block.__enter__()

    def leave(self, block: Any, error: Exception | None) -> None:
        """End *block*, by *error* if there is one."""
        self.run(block.__exit__, type(error) if error else None, error, None)

    def say(self, conn: Any, statement: bytes) -> None:
        """Run *statement* on the connection of a block that begins."""
        conn.execute(statement)

    def configure(self, conn: Any, configure: Callable[..., Any]) -> None:
        """Have *configure* prepare the connection of a block that begins, of the side `preparing`."""
        configure(conn, self.preparing)


class Pending:
    """A cursor that was made before its transaction began, as Core does for the first statement of a connection."""

    def __init__(self, connection: BlockConnection, name: tuple[str, ...]) -> None:
        self._connection = connection
        self._name = name
        self._cursor: Any = None

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "close" and self._cursor is None:
            return lambda: None
        return getattr(self._there(), attribute)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._there())

    def _there(self) -> Any:
        if self._cursor is None:
            self._connection.lent_connection  # noqa: B018 - raises where none is lent
            self._cursor = self._connection.cursor(*self._name)
        return self._cursor


def _failed(conn: psycopg.Connection[Any]) -> bool:
    return not conn.closed and conn.pgconn.transaction_status == TransactionStatus.INERROR


def _no_scope() -> UsageError:
    return UsageError("the connection was begun by something else than SQLAlchemy's engine")

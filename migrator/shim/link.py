"""Lends connections to an application, and resets their sessions when they come back.

The shim keeps nothing of its own in what it lends. Its statements go over the wire without a cursor, so no row factory,
loader or prepared statement of the application is in their way. Whatever the application did to the session is undone
in the message that ends its transaction; what it did to the Python object stays with that object: the next
borrower gets a new one, and the old one refuses further use.

`BaseLink` holds what is common to both fronts: every conversation as a generator, which says what to send and what an
answer means and never waits, as psycopg has it. `Link` runs them and blocks; the one for asyncio is in aio/.

Two round trips of a block are spared: its BEGIN goes with its first statement (migrator.shim.lent), and no thread waits
for the end of a read, as nothing depends on how it ends. The next borrower reads that answer.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ConnStatus, ExecStatus, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from migrator.errors import UsageError
from migrator.model import session
from migrator.model.side import Side
from migrator.shim import forked
from migrator.shim.clock import now_s
from migrator.shim.lent import Conn, Lent, check, conversation, lent

T = TypeVar("T")

RESETS: dict[Side, tuple[str, ...]] = {
    # DISCARD ALL cannot share a message, and would throw away the plans of capture's triggers as well.
    Side.CLASSIC: (
        "CLOSE ALL",
        "SET SESSION AUTHORIZATION DEFAULT",
        "RESET ROLE",
        "RESET ALL",
        "DEALLOCATE ALL",
        "UNLISTEN * /* migrator */",  # else an audit takes it for the application's, as the locks below
        "DISCARD TEMP",
        "DISCARD SEQUENCES",
        "SELECT pg_catalog.pg_advisory_unlock_all() /* migrator */",
    ),
    # Which has neither LISTEN nor temporary tables.
    Side.LIMITLESS: (
        "CLOSE ALL",
        "SET SESSION AUTHORIZATION DEFAULT",
        "RESET ROLE",
        "RESET ALL",
        "DEALLOCATE ALL",
        "DISCARD SEQUENCES",
        "SELECT pg_catalog.pg_advisory_unlock_all()",
    ),
}
"""Statements that reset a session. Sent with the statement that ends a transaction, in one message."""

PINNED = f"{session.OWN_STATEMENTS}SELECT {session.durable()};"
"""Precedes each statement of the shim's own, also in its transactions."""


class OwnCursor(psycopg.ClientCursor[Any]):
    """Runs statements of the shim in transactions of their own, whatever the session's defaults are."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> OwnCursor:  # Any: as psycopg has it
        """Run *query* and move to its result."""
        super().execute(PINNED + query, params, **options)
        while self.nextset():
            pass
        return self


RECENT_S = 1.0
"""A server that answered within this time is believed to be there. After a longer rest BEGIN goes alone: a connection
that is lost is found, and replaced, before the application's block."""


class NotReset(psycopg.OperationalError):
    """A session cannot be lent again."""


@dataclass(eq=False)
class BaseLink:
    """One connection, and a second handle on its socket by which another thread may end it."""

    conn: Lent
    _socket: socket.socket
    resets: list[str] = field(default_factory=list)  # shared by the links of a pool; see `finish`
    fresh: bool = True  # not used before
    clean: bool = True  # nothing of the last borrower is left
    said: list[str | None] = field(default_factory=list)  # see `start` and `finish`
    silent_s: float | None = None  # how long one statement may take before the connection is shut down
    heard_s: float = float("-inf")  # an answer came after this
    _ending: tuple[str, ...] | None = None  # what was sent to end a read, until its answer is read
    _poll: select.poll | None = None

    def __post_init__(self) -> None:
        forked.connected(self)

    def disown(self, dead: int) -> None:
        """In a forked process: leave the connection to the parent, and have a closed socket in its place."""
        self._socket.close()
        os.dup2(dead, self.conn.pg.socket, inheritable=False)

    # -- what the fronts do each in their way; an awaitable where they do not block ------------------------

    def ask(self, statement: str) -> list[str | None] | Awaitable[list[str | None]]:
        """Run *statement*, which may be several; return the first row of the last with columns, as the server's texts.

        Raises:
            psycopg.Error: the server's error, or the connection was lost.
        """
        raise NotImplementedError  # each front's own

    def start(self, statement: str, *, owe: bool) -> Awaitable[None] | None:
        """Run *statement* for the next borrower; with *owe*, together with the borrower's first one if that is safe.

        What it answers is `said`, when it does not go with the borrower's.

        Raises:
            NotReset: the session is not as it was before the last borrower.
            psycopg.Error: the server's error, or the connection was lost.
        """
        raise NotImplementedError  # each front's own

    def finish(self, how: str, *, first: Sequence[str] = (), then: str = "") -> str | Awaitable[str]:
        """End the transaction by COMMIT or ROLLBACK and undo what was done to the session; return the command's tag.

        Args:
            first: statements to run before the end, in the same message.
            then: asked behind it in the same message; the first row of its answer is `said`, empty without one.

        Raises:
            psycopg.Error: the end was refused, or the connection was lost; or one of *first* was refused, and the
                transaction is still to be ended. A failed reset raises nothing: it is not `clean` then.
        """
        raise NotImplementedError  # each front's own

    def leave(self, how: str) -> Awaitable[None] | None:
        """As `finish`, for a transaction that nothing depends on: its answer is read by the next borrower's `start`.

        Raises:
            psycopg.Error: the connection was lost.
        """
        raise NotImplementedError  # each front's own

    def _lent(self) -> Lent:
        """Return a new Python object on the connection."""
        raise NotImplementedError  # each front's own

    # -- what is seen of it without asking ------------------------------------------------------------------

    def overdue(self, at_s: float) -> bool:
        """Return whether the statement that runs now should have been answered long ago."""
        since = self.conn.busy_since_s
        return self.silent_s is not None and since is not None and at_s - since > self.silent_s

    def kill(self) -> None:
        """Shut the socket down: who waits on it gets a lost connection. Safe from any thread, at any time."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection, also when the object was returned already."""
        self._socket.close()
        with contextlib.suppress(psycopg.Error):
            self.conn.pg.finish()

    @property
    def closed(self) -> bool:
        """Whether the connection was closed or lost, as far as this side knows."""
        return bool(self.conn.pg.status == ConnStatus.BAD)

    @property
    def status(self) -> TransactionStatus:
        """The state of its transaction; one that begins with the first statement counts as begun."""
        return TransactionStatus.INTRANS if self.conn.owed else TransactionStatus(self.conn.pg.transaction_status)

    @property
    def untouched(self) -> bool:
        """Whether nothing was said since it was lent: its transaction has not begun."""
        return bool(self.conn.owed)

    @property
    def usable(self) -> bool:
        """Whether it may be lent again, as far as this side knows."""
        if self.conn.interrupted:
            return False
        if self._ending is not None:
            return True
        return not self.closed and self.status is TransactionStatus.IDLE

    def withdraw(self) -> None:
        """Have the application's object refuse further use: from here on nothing may come between our statements."""
        self.conn.returned = True

    def check(self) -> None:
        """Raise UsageError when the application left something running."""
        if self.conn.pg.pipeline_status != PipelineStatus.OFF:
            raise UsageError(
                "the block ended in pipeline mode, so its transaction cannot be ended; it is rolled back",
                hint="Leave connection.pipeline() before the block ends.",
            )
        if self.conn.pg.transaction_status == TransactionStatus.ACTIVE:
            raise UsageError(
                "the block ended while a statement was running, so its transaction cannot be ended; it is rolled back",
                hint="Read COPY and stream() to their end, or close them, before the block ends.",
            )

    def renew(self) -> None:
        """Put a new Python object on the connection; the old one refuses further use."""
        self.heard_s = now_s()
        old = self.conn
        if self._ending is None:
            self.conn = self._new_object()
        old.returned = True  # else the new one comes when the answer does, with which the last borrower's news may come

    def _new_object(self) -> Lent:
        pgconn = self.conn.pg
        while pgconn.notifies() is not None:
            pass  # of the last borrower
        return self._lent()

    def _speaks(self) -> bool:
        """Return whether there is something to read: that the connection was closed, if it is not mere news."""
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._socket, select.POLLIN)
        return self.conn.pg.status != ConnStatus.OK or bool(self._poll.poll(0))

    # -- conversations ----------------------------------------------------------------------------------------

    def _send(self, statement: str) -> PQGen[list[PGresult]]:
        return conversation(self.conn.pg, statement.encode())

    def asking(self, statement: str) -> PQGen[list[str | None]]:
        results = yield from self._send(statement)
        for result in results:
            check(result)
        return next((first_row(result) for result in reversed(results) if result.nfields), [])

    def finishing(self, how: str, first: Sequence[str], then: str) -> PQGen[str]:
        resets = tuple(self.resets)
        message = "; ".join((*first, how, *resets, *((then,) if then else ())))
        results = yield from self._send(message)
        for result in results[: len(first)]:
            check(result)
        results = results[len(first) :]
        if then and len(results) == len(resets) + 2 and results[-1].status == ExecStatus.TUPLES_OK:
            self.said = first_row(results.pop())
        return self._ended(results, resets)

    def left(self, how: str) -> bool:
        """Send what ends a read; return whether all of it went, else the socket has to be waited for."""
        self._ending = tuple(self.resets)
        self.clean = True  # as far as is known; `start` finds out
        self.conn.pg.send_query("; ".join((how, *self._ending)).encode())
        return not self.conn.pg.flush()

    def reading_end(self) -> PQGen[None]:
        """Read the answer to what `leave` sent."""
        resets, self._ending = self._ending or (), None
        try:
            self._ended((yield from generators.fetch_many(self.conn.pg)), resets)
        except psycopg.Error:
            self.clean = False

    def took_back(self) -> None:
        """Give the connection a new object once that answer was read."""
        self.conn = self._new_object()
        if not self.clean or self.conn.pg.transaction_status != TransactionStatus.IDLE:
            raise NotReset("the session of the last borrower could not be reset")

    def _ended(self, results: list[PGresult], resets: Sequence[str]) -> str:
        check(results[0])
        errors = [(number, r) for number, r in enumerate(results) if r.status == ExecStatus.FATAL_ERROR]
        self.clean = not errors
        for number, result in errors:  # at most one: what follows it is not run
            if isinstance(psycopg.errors.error_from_result(result), psycopg.errors.FeatureNotSupported):
                # An older build of Limitless: what it cannot reset, it cannot set either. Learnt once per pool.
                with contextlib.suppress(ValueError, IndexError):
                    self.resets.remove(resets[number - 1])
        return (results[0].command_status or b"").decode()


@dataclass(eq=False)
class Link(BaseLink):
    """A connection whose conversations block."""

    conn: Conn

    def close(self) -> None:
        """Close the connection, also when the object was returned already."""
        with contextlib.suppress(psycopg.Error):
            self.conn.close()
        super().close()

    def start(self, statement: str, *, owe: bool) -> None:
        """Run *statement* for the next borrower; see BaseLink."""
        if self._ending is not None:
            self._converse(self.reading_end())
            self.took_back()
        if not owe or now_s() - self.heard_s > RECENT_S or self._speaks():
            self.said = self.ask(statement)
        else:
            self.conn.owe(tuple(statement.encode().split(b"; ")))

    def ask(self, statement: str) -> list[str | None]:
        """Run *statement*; see BaseLink."""
        return self._converse(self.asking(statement))

    def finish(self, how: str, *, first: Sequence[str] = (), then: str = "") -> str:
        """End the transaction; see BaseLink."""
        self.said = []
        if self.conn.owes_no_more():
            self.clean = True
            return how
        return self._converse(self.finishing(how, first, then))

    def leave(self, how: str) -> None:
        """End the transaction of a read; see BaseLink."""
        if self.conn.owes_no_more():
            self.clean = True
            return
        with self.conn.lock:
            if not self.left(how):
                self.conn.converse(generators.send(self.conn.pg))

    def _lent(self) -> Conn:
        return lent(self.conn.pg)

    def _converse(self, gen: PQGen[T]) -> T:
        with self.conn.lock:
            found: T = self.conn.converse(gen)
        return found


def first_row(result: PGresult) -> list[str | None]:
    """Return the first row of *result* as the server's texts; empty without one."""
    if not result.ntuples:
        return []
    values: Sequence[bytes | None] = [result.get_value(0, column) for column in range(result.nfields)]
    return [None if value is None else value.decode() for value in values]

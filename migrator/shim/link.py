"""Lends connections to an application, and resets their sessions when they come back.

The shim keeps nothing of its own in what it lends. Its statements go over the wire without a cursor, so no row factory,
loader or prepared statement of the application is in their way. Whatever the application did to the session is undone
in the message that ends its transaction; what it did to the Python object stays with that object: the next
borrower gets a new one, and the old one refuses further use.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from migrator.errors import UsageError
from migrator.model import session
from migrator.model.side import Side
from migrator.shim.clock import now_s

RESETS: dict[Side, tuple[str, ...]] = {
    # DISCARD ALL cannot share a message, and would throw away the plans of capture's triggers as well.
    Side.CLASSIC: (
        "CLOSE ALL",
        "SET SESSION AUTHORIZATION DEFAULT",
        "RESET ROLE",
        "RESET ALL",
        "DEALLOCATE ALL",
        "UNLISTEN *",
        "DISCARD TEMP",
        "DISCARD SEQUENCES",
        "SELECT pg_catalog.pg_advisory_unlock_all()",
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


NOTED = 8
"""Errors kept of one transaction."""


class Conn(psycopg.Connection[Any]):
    """A connection that knows since when a statement runs, so that a silent server can be disconnected.

    Attributes:
        refused: SQLSTATE and message of what the server refused since the connection was taken, also what the
            caller swallowed, and on whichever cursor, at execute or at fetch.
    """

    busy_since_s: float | None = None
    refused: tuple[tuple[str, str], ...] = ()
    returned: bool = False  # to the pool; the borrower may not use it any more

    @property
    def closed(self) -> bool:
        """Whether it is closed for the holder of this object."""
        return self.returned or super().closed

    def wait(self, gen: PQGen[Any], *args: Any, **options: Any) -> Any:  # everything that waits comes through here
        """Run one conversation with the server."""
        if self.returned:
            raise psycopg.OperationalError("the connection is closed: it went back to the pool with its block")
        self.busy_since_s = now_s()
        try:
            return super().wait(gen, *args, **options)
        except psycopg.Error as error:
            if error.sqlstate and len(self.refused) < NOTED:
                self.refused += ((error.sqlstate, error.diag.message_primary or ""),)
            raise
        finally:
            self.busy_since_s = None


class OwnCursor(psycopg.ClientCursor[Any]):
    """Runs statements of the shim in transactions of their own, whatever the session's defaults are."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> OwnCursor:  # Any: as psycopg has it
        """Run *query* and move to its result."""
        super().execute(PINNED + query, params, **options)
        while self.nextset():
            pass
        return self


@dataclass(eq=False)
class Link:
    """One connection, and a second handle on its socket by which another thread may end it."""

    conn: Conn
    _socket: socket.socket
    resets: list[str] = field(default_factory=list)  # shared by the links of a pool; see `finish`
    fresh: bool = True  # not used before
    clean: bool = True  # nothing of the last borrower is left
    silent_s: float | None = None  # how long one statement may take before the connection is shut down

    def overdue(self, at_s: float) -> bool:
        """Return whether the statement that runs now should have been answered long ago."""
        since = self.conn.busy_since_s
        return self.silent_s is not None and since is not None and at_s - since > self.silent_s

    def kill(self) -> None:
        """Shut the socket down: a thread that waits on it gets a lost connection. Safe from any thread, at any time."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()
        with contextlib.suppress(psycopg.Error):
            self.conn.close()

    @property
    def usable(self) -> bool:
        return not self.conn.closed and self.conn.info.transaction_status is TransactionStatus.IDLE

    def check(self) -> None:
        """Raise UsageError when the application left something running."""
        if self.conn.pgconn.pipeline_status != PipelineStatus.OFF:
            raise UsageError(
                "the block ended in pipeline mode, so its transaction cannot be ended; it is rolled back",
                hint="Leave connection.pipeline() before the block ends.",
            )
        if self.conn.pgconn.transaction_status == TransactionStatus.ACTIVE:
            raise UsageError(
                "the block ended while a statement was running, so its transaction cannot be ended; it is rolled back",
                hint="Read COPY and stream() to their end, or close them, before the block ends.",
            )

    def ask(self, statement: str) -> list[str | None]:
        """Run *statement*, which may be several; return the first row of the last, as the server's texts.

        Raises:
            psycopg.Error: the server's error, or the connection was lost.
        """
        results = self._send(statement)
        for result in results:
            _check(result)
        return _row(results[-1])

    def finish(self, how: str) -> str:
        """End the transaction by COMMIT or ROLLBACK and undo what was done to the session; return the command's tag.

        Raises:
            psycopg.Error: the end was refused, or the connection was lost. A failed reset raises nothing: it
                is not `clean` then.
        """
        resets = tuple(self.resets)
        results = self._send("; ".join((how, *resets)))
        _check(results[0])
        errors = [(number, r) for number, r in enumerate(results) if r.status == ExecStatus.FATAL_ERROR]
        self.clean = not errors
        for number, result in errors:  # at most one: what follows it is not run
            if isinstance(psycopg.errors.error_from_result(result), psycopg.errors.FeatureNotSupported):
                # An older build of Limitless: what it cannot reset, it cannot set either. Learnt once per pool.
                with contextlib.suppress(ValueError):
                    self.resets.remove(resets[number - 1])
        return (results[0].command_status or b"").decode()

    def renew(self) -> None:
        """Put a new Python object on the connection; the old one refuses further use."""
        pgconn, old = self.conn.pgconn, self.conn
        while pgconn.notifies() is not None:
            pass  # of the last borrower
        self.conn = lent(pgconn)
        old.returned = True

    def _send(self, statement: str) -> list[PGresult]:
        with self.conn.lock:
            found: list[PGresult] = self.conn.wait(_conversation(self.conn.pgconn, statement.encode()))
        return found


def lent(pgconn: PGconn) -> Conn:
    """Return an object for an application on an open connection: transactions are begun and ended by name."""
    conn = Conn(pgconn)
    conn.autocommit = True
    conn.prepare_threshold = None
    return conn


def _conversation(pgconn: PGconn, statement: bytes) -> PQGen[list[PGresult]]:
    pgconn.send_query(statement)
    results: list[PGresult] = yield from generators.execute(pgconn)
    return results


def _check(result: PGresult) -> None:
    if result.status == ExecStatus.FATAL_ERROR:
        raise psycopg.errors.error_from_result(result)


def _row(result: PGresult) -> list[str | None]:
    if not result.ntuples:
        return []
    values: Sequence[bytes | None] = [result.get_value(0, column) for column in range(result.nfields)]
    return [None if value is None else value.decode() for value in values]

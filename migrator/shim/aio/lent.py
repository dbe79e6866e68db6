"""The connection object that a block of asyncio is lent.

Its transaction is begun before it is lent: here nothing can be sent in the application's back without an `await`, so
BEGIN cannot wait for the first statement as it does in migrator.shim.lent.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen
from psycopg.pq import ConnStatus, TransactionStatus
from psycopg.pq.abc import PGconn

from migrator.shim.clock import now_s
from migrator.shim.lent import Lent

CANCEL_S = 1.0
"""How long a server may take to end a statement whose task was cancelled. One that takes longer counts as lost."""

INTERVAL_S = 0.1
"""How often psycopg looks at a connection on which nothing happens."""


class AsyncConn(Lent, psycopg.AsyncConnection[Any]):
    """A psycopg connection whose statements end with the task that waits for them.

    Attributes:
        doomed: it is closed once no task waits for it: a socket must not be closed under the event loop.
    """

    doomed: bool = False

    def __init__(self, pgconn: PGconn, *args: Any) -> None:
        super().__init__(pgconn, *args)
        self.pg = pgconn

    def __del__(self, *_: Any) -> None:
        """Give no warning about a connection that is still open: it belongs to the pool, or ends with the process."""

    @property
    def closed(self) -> bool:
        """Whether it is closed for the holder of this object."""
        return self.returned or self.pg.status == ConnStatus.BAD

    async def wait(self, gen: PQGen[Any], *args: Any, **options: Any) -> Any:
        """Run one conversation of the application with the server."""
        self.check_lent()
        return await self.converse(gen, *args, **options)

    async def converse(
        self, gen: PQGen[Any], interval: float = INTERVAL_S, *, politely: bool = True, **options: Any
    ) -> Any:
        """Run one conversation, also when this object was given back.

        Args:
            politely: when the task is cancelled, have the server end the statement first; else the connection is
                closed at once.
        """
        self.busy_since_s = now_s()
        try:
            return await waiting.wait_async(gen, self.pg.socket, interval=interval, **options)
        except asyncio.CancelledError:
            await self._interrupted(gen, politely)
            raise
        except psycopg.Error as error:
            self.note(error)
            raise
        except BaseException:  # the event loop is gone, and the coroutine is thrown away
            self.pg.finish()
            raise
        finally:
            self.busy_since_s = None
            if self.doomed:
                self.pg.finish()

    def cancel(self) -> None:
        self.canceled = True
        super().cancel()

    async def cancel_safe(self, **options: Any) -> None:
        self.canceled = True
        await super().cancel_safe(**options)

    async def stop(self) -> None:
        """Have the server end what another task of the block still waits for."""
        self.interrupted = True
        with suppress(psycopg.Error, TimeoutError):
            async with asyncio.timeout(CANCEL_S):
                await self._ask_to_cancel()

    async def _ask_to_cancel(self) -> None:
        await lent(self.pg).cancel_safe(timeout=CANCEL_S)  # by an object that was not given back

    async def _interrupted(self, gen: PQGen[Any], politely: bool) -> None:
        """End a statement that no task waits for any more: what was asked of a saturated writer must not go on there.

        A server that does not do it in time is taken for lost. In either case the connection is not lent again: a
        request to cancel may come late, and must not end the statement of somebody else.
        """
        self.interrupted = True
        if self.pg.status == ConnStatus.BAD or self.pg.transaction_status != TransactionStatus.ACTIVE:
            return
        try:
            if politely:
                async with asyncio.timeout(CANCEL_S):
                    await self._ask_to_cancel()
                    await waiting.wait_async(gen, self.pg.socket, interval=INTERVAL_S)
        except (psycopg.Error, TimeoutError):
            pass  # QueryCanceled, as a rule; whatever it is, what counts is whether the statement has ended
        finally:
            if self.pg.transaction_status == TransactionStatus.ACTIVE:
                self.pg.finish()


def lent(pgconn: PGconn) -> AsyncConn:
    """Return an object for an application on an open connection: transactions are begun and ended by name."""
    conn = AsyncConn(pgconn)
    conn._autocommit = True  # its setter is a conversation
    conn.prepare_threshold = None
    return conn

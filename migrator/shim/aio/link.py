"""A connection whose conversations are awaited; what is said is BaseLink's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import psycopg
from psycopg import generators
from psycopg.abc import PQGen

from migrator.shim.aio.lent import AsyncConn, lent
from migrator.shim.link import BaseLink
from migrator.shim.replica_pool import OfReplica

T = TypeVar("T")

ROLLBACK_S = 5.0
"""A transaction that does not end within this time is ended by closing its connection, which has the same effect."""


@dataclass(eq=False)
class AsyncLink(BaseLink):
    """One connection of an event loop."""

    conn: AsyncConn

    def close(self) -> None:
        """Close the connection; at the end of what another task of the block still waits for, if there is such."""
        if self.conn.busy_since_s is None:
            super().close()
            return
        self.conn.doomed = True
        self.kill()
        self._socket.close()

    async def start(self, statement: str, *, owe: bool) -> None:
        """Run *statement* for the next borrower; nothing is owed here."""
        if self._ending is not None:
            await self._converse(self.reading_end())
            self.took_back()
        self.said = await self._converse(self.asking(statement))

    async def ask(self, statement: str) -> list[str | None]:
        """Run *statement*; see BaseLink."""
        return await self._converse(self.asking(statement), politely=True)

    async def finish(self, how: str, *, first: Sequence[str] = (), then: str = "") -> str:
        """End the transaction; see BaseLink. A ROLLBACK that is not answered in time counts as a lost connection."""
        self.said = []
        conversation = self.finishing(how, first, then)
        if how == "COMMIT":
            return await self._converse(conversation)
        if self.conn.busy_since_s is not None:
            await self.conn.stop()
        try:
            async with asyncio.timeout(ROLLBACK_S):
                return await self._converse(conversation)
        except TimeoutError:
            raise psycopg.OperationalError("the transaction could not be ended in time") from None

    async def leave(self, how: str) -> None:
        """End the transaction of a read; see BaseLink."""
        async with self.conn.lock:
            if not self.left(how):
                await self.conn.converse(generators.send(self.conn.pg), politely=False)

    def _lent(self) -> AsyncConn:
        return lent(self.conn.pg)

    async def _converse(self, gen: PQGen[T], *, politely: bool = False) -> T:
        async with self.conn.lock:
            found: T = await self.conn.converse(gen, politely=politely)
        return found


@dataclass(eq=False)
class AsyncReplicaLink(OfReplica, AsyncLink):
    """A connection to a replica."""

    async def start(self, statement: str, *, owe: bool) -> None:
        """Run *statement* for the next borrower: its answer says whether this replica may be read."""
        await super().start(statement, owe=False)
        self.row = self.said

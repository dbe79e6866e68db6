"""Reads classic's half of a comparison on a replica, so that the writer is spared.

A replica cannot take the mirror's snapshot. It gives one of a moment *after* the fence instead, which a mark proves
that this run wrote when it held the fence: what the fence shows was committed before, so it precedes the mark in the
log. A tenant whose digests are equal then has its rows on Limitless. One that differs was written meanwhile, or
diverges; which of both the writer says, at the fence. So a replica makes nothing clean that the writer would not, and
nothing divergent at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg.pq import TransactionStatus

from migrator.consistency import check, store
from migrator.consistency.compare import EMPTY, Digest, differing
from migrator.consistency.fence import Connection, Fence
from migrator.db.connect import connect_async
from migrator.errors import ClusterUnavailable
from migrator.model.side import Side
from migrator.model.table import Table

FOLLOW_S = 5.0
"""A replica that is further behind is not waited for: a fence holds back vacuum on the writer."""

FAILURES = 3
"""After so many fences in a row at which it could not be read, the rest of a run is read on the writer."""

_LOOK_S = 0.02

Digests = dict[str | None, Digest]


class _NotThere(Exception):
    """A replica that cannot be read; says why."""


@dataclass(slots=True)
class Spare:
    """The replica that one run reads, and what it was good for.

    Attributes:
        rows: of tenants that were equal there, table by table: the writer did not read them.
        again: rows that the writer read after all, since they differed there.
        notes: why something was not read there, in words.
    """

    dsn: str
    run_id: uuid.UUID
    name: str = "replica"
    rows: int = 0
    again: int = 0
    notes: list[str] = field(default_factory=list)
    _failures: int = 0

    @contextlib.asynccontextmanager
    async def now(self, control: Connection) -> AsyncIterator[Connection | None]:
        """Yield a connection to the replica that sees all that was committed before; None: the writer is to be read.

        Args:
            control: a connection to the writer, which writes the mark.
        """
        conn = None if self._failures >= FAILURES else await self._ready(control)
        try:
            yield conn
        finally:
            if conn is not None:
                await conn.close()

    async def _ready(self, control: Connection) -> Connection | None:
        mark = await store.mark(control, self.run_id)
        conn: Connection | None = None
        try:
            conn = await connect_async(self.dsn, "migrator validate", lock_timeout_s=FOLLOW_S, side="classic's replica")
            self.name = f"{conn.info.host}:{conn.info.port}"
            await self._follow(conn, mark)
        except BaseException as error:
            if conn is not None:
                await conn.close()
            if not isinstance(error, (psycopg.Error, ClusterUnavailable, _NotThere)):
                raise
            self.failed(error)
            return None
        return conn

    async def _follow(self, conn: Connection, mark: int) -> None:
        """Return when the replica shows *mark*, in a transaction on the very snapshot that shows it.

        Another transaction may be another server's, where a proxy spreads them over replicas.
        """
        deadline = time.monotonic() + FOLLOW_S
        while True:
            await conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            row = await (await conn.execute("SELECT pg_catalog.pg_is_in_recovery()")).fetchone()
            if not (row and row[0]):
                raise _NotThere("is no replica: it is not in recovery")
            if await store.shows(conn, self.run_id, mark):
                return
            await conn.execute("ROLLBACK")
            if time.monotonic() > deadline:
                raise _NotThere(f"does not follow this classic, or is more than {FOLLOW_S:g} s behind")
            await asyncio.sleep(_LOOK_S)

    def failed(self, error: Exception) -> None:
        """Note why the writer is read in its place."""
        self._failures += 1
        why = str(error) if isinstance(error, _NotThere) else f"did not answer ({type(error).__name__})"
        note = f"{self.name} {why}"
        if note not in self.notes:
            self.notes.append(note)

    async def digests(
        self, replica: Connection, fence: Fence, table: Table, tenants: Sequence[str], known: int
    ) -> tuple[Digests, Digests]:
        """Return (classic, limitless) digests of *tenants*, of *known* in all.

        Classic's come from *replica* where they are equal to Limitless', and from the writer, at the fence, where not.
        """
        if replica.info.transaction_status != TransactionStatus.INTRANS:  # it failed at an earlier table
            return await check.table_digests(fence, table, tenants, known)
        classic, limitless = await asyncio.gather(
            check.digests(replica, table, Side.CLASSIC, tenants, known),
            check.digests(fence.limitless, table, Side.LIMITLESS, tenants, known),
            return_exceptions=True,
        )
        if isinstance(limitless, BaseException):
            raise limitless
        if isinstance(classic, BaseException):
            if not isinstance(classic, psycopg.Error):
                raise classic
            self.failed(classic)  # cancelled by what it replays, lost, or its tables have changed since
            return await check.digests(fence.classic, table, Side.CLASSIC, tenants, known), limitless
        self._failures = 0
        differ = differing(classic, limitless)
        self.rows += sum(digest.rows for tenant, digest in classic.items() if tenant not in set(differ))
        if differ:
            names = [tenant for tenant in differ if tenant is not None]
            here = await check.digests(fence.classic, table, Side.CLASSIC, names, known)
            classic = {**classic, **{tenant: here.get(tenant, EMPTY) for tenant in differ}}
            self.again += sum(digest.rows for digest in here.values())
        return classic, limitless

"""The AsyncShim: reads and writes by tenant for applications on asyncio."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from migrator.errors import UsageError
from migrator.model.ack import Ack, level
from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.shim.again import written
from migrator.shim.aio.acknowledge import AsyncAcknowledgement, AsyncReplayWait
from migrator.shim.aio.backstage import Backstage
from migrator.shim.aio.blocks import AsyncRead, AsyncWrite
from migrator.shim.aio.pool import AsyncPool, AsyncReplicaPool
from migrator.shim.aio.session import AsyncSession
from migrator.shim.aio.shadow import on_loop
from migrator.shim.answer import answer
from migrator.shim.core import After
from migrator.shim.listener import Listener
from migrator.shim.pool import ConnectionInfo, Lender
from migrator.shim.session import Chain
from migrator.shim.settings import Settings
from migrator.shim.stats import Stats
from migrator.shim.token import SessionToken, session_token

T = TypeVar("T")

THREADS = 4
"""For what blocks and is rare: opening, closing, raising fallbacks. As many again ask other machines for secrets: one
of those that does not answer must not keep a write from its fallback, or the shim from closing."""

PLACE_S = 30.0
"""How long a task waits for a connection of the pool. Longer than a thread does: tasks come by the thousand."""


class AsyncShim:
    """Routes a process' reads and writes by tenant. One per event loop; its tasks share it.

    The same promises, levels, settings, events and figures as migrator.shim.Shim, whose judgements it uses.

    Args:
        classic, limitless, name, listener, readers, listen, settings: as Shim's. A function that returns a connection
            string may block: it runs in a thread. The listener must not: it is called from the event loop too.
        pool_size: connections per side at most, besides those that serve the shim's own threads.
        pool_wait_s: how long a task waits for one of them.
    """

    def __init__(
        self,
        classic: ConnectionInfo,
        limitless: ConnectionInfo,
        name: str,
        listener: Listener | None = None,
        *,
        readers: Sequence[ConnectionInfo] = (),
        pool_size: int = 16,
        pool_wait_s: float = PLACE_S,
        listen: bool | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._back = Backstage(
            classic, limitless, name, listener, readers=readers, listen=listen, settings=settings,
            new_replica_pool=self._replica_pool,
        )  # fmt: skip
        self._size, self._wait_s = pool_size, pool_wait_s
        self._sides_given = (classic, limitless)
        self._pools = self._new_pools()
        self._pid = 0  # the process it is open in
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads: tuple[ThreadPoolExecutor, ...] = ()  # the shim's own, and those that ask for secrets
        self._ack: AsyncAcknowledgement | None = None

    def _new_pools(self) -> Mapping[Side, AsyncPool]:
        def new(side: Side, dsn: ConnectionInfo, connect_timeout_s: float, silent_s: float) -> AsyncPool:
            return AsyncPool(
                side, dsn, f"migrator-shim:{self.name}", in_thread=self._asking, size=self._size,
                wait_s=self._wait_s, connect_timeout_s=connect_timeout_s, silent_s=silent_s,
            )  # fmt: skip

        classic, limitless = self._sides_given
        return {Side.CLASSIC: new(Side.CLASSIC, classic, 5, 30), Side.LIMITLESS: new(Side.LIMITLESS, limitless, 2, 6)}

    def _replica_pool(self, dsn: ConnectionInfo) -> AsyncReplicaPool:
        return AsyncReplicaPool(
            Side.CLASSIC, dsn, f"migrator-shim:{self.name}", in_thread=self._asking, size=self._size,
            connect_timeout_s=2, silent_s=max(self._back._settings.replica_answer_s, 2.0),
        )  # fmt: skip

    @property
    def name(self) -> str:
        """What operators see."""
        return self._back.name

    @property
    def process_id(self) -> str:
        """The name under which it is registered on classic."""
        return self._back.process_id

    # -- lifetime -----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Register this process and read the routes.

        In a process that was forked from one in which it was open, it may be opened again.

        Raises:
            ClusterUnavailable, NotInstalled: as Shim.open.
            UsageError: it is open or was closed, or this process has no real threads.
        """
        if self._loop is not None and self._pid == os.getpid():
            raise UsageError("the shim is open already")
        if self._pid:
            self._pools = self._new_pools()  # what the parent had is the parent's
        self._pid, self._loop = os.getpid(), asyncio.get_running_loop()
        self._threads = tuple(ThreadPoolExecutor(THREADS, f"migrator-shim-{what}") for what in ("aio", "login"))
        self._back.serve(self._loop, *self._pools.values())
        opening = _Opening(self._back)
        try:
            await self._in_thread(opening.run)
        except BaseException:
            opening.abandon()
            self._forget()
            raise
        back, replay, who = self._back, None, f"shim {self.name}"
        if back._replicas is not None:
            replay = AsyncReplayWait(
                back._replicas.all, back._classic, back._listener, f"{who} ({self.process_id})",
                in_thread=self._in_thread,
            )  # fmt: skip
        self._ack = AsyncAcknowledgement(
            back._current, back._classic, back._listener, back._settings, who, replay, in_thread=self._in_thread
        )

    async def close(self) -> None:
        """Take this process off the register and close its connections."""
        if self._loop is None or self._pid != os.getpid():
            return
        try:
            await self._in_thread(self._back.close)
        finally:
            for pool in self._pools.values():
                pool.close()
            self._forget()

    def _forget(self) -> None:
        self._loop = self._ack = None
        for threads in self._threads:
            threads.shutdown(wait=False)
        self._threads = ()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- reads --------------------------------------------------------------------------------------------

    def read(self, tenant: TenantId | str, *, after: After = None) -> AsyncRead:
        """Return a read of *tenant* on the side its route says, for `async with`; as Shim.read.

        Raises:
            TokenInvalid: *after* cannot be read.
            ReadStale: (on leaving) the route changed or went stale meanwhile; what was read must be thrown away.
        """
        return self._read(TenantId(str(tenant)), after=session_token(after))

    def _read(
        self,
        tenant_id: TenantId,
        *,
        after: SessionToken | None = None,
        only_classic: bool = False,
        only_writer: bool = False,
        judged_later: bool = False,
        retry: int = 0,
    ) -> AsyncRead:
        self._check()
        back, new = self._back, _new_read(self._back, retry)
        return new(
            tenant_id, back._current, self._lenders(after, only_writer), back._breakers, back._inflight,
            back._metrics, back._settings, back._doubts, after=after, only_classic=only_classic,
            judged_later=judged_later,
        )  # fmt: skip

    def _lenders(self, after: SessionToken | None, only_writer: bool) -> Callable[[Side], Lender]:
        replicas = self._back._replicas
        return self._pool if replicas is None else replicas.over(self._pool, after, only_writer)

    def _pool(self, side: Side) -> AsyncPool:
        return self._pools[side]

    async def run_read(
        self, tenant: TenantId | str, fn: Callable[[AsyncRead], Awaitable[T]], *, after: After = None
    ) -> T:
        """Return what the coroutine function *fn* returns for a read of *tenant*; *fn* must be repeatable.

        Run again, once, on classic as Shim.run_read says.
        """
        tenant_id, wanted, tries = TenantId(str(tenant)), session_token(after), itertools.count()

        def new_read(*, only_classic: bool = False, only_writer: bool = False) -> AsyncRead:
            return self._read(
                tenant_id, after=wanted, only_classic=only_classic, only_writer=only_writer, judged_later=True,
                retry=next(tries),
            )  # fmt: skip

        back = self._back
        result, by_route = await answer(new_read, fn, back._doubts, back._observed.listener)
        if by_route and wanted is None and self._loop is not None:  # what a token names may be on one side only
            back._maybe_shadow(tenant_id, on_loop(fn, self._loop))
        found: T = result
        return found

    # -- writes -------------------------------------------------------------------------------------------

    def write(self, tenant: TenantId | str, *, ack: Ack | str | None = None, chain: Chain | None = None) -> AsyncWrite:
        """Return a transaction of *tenant*, for `async with`, which commits on leaving; as Shim.write.

        Raises (on leaving):
            CommitUnknown: the answer to COMMIT was lost; `outcome` may tell more. CommitInterrupted, which is one:
                the task was cancelled meanwhile.
            CommittedUnconfirmed: committed, but a read may still miss it. UnconfirmedInterrupted, which is one: the
                task was cancelled while it waited.
            WritesClosed: the short pause before classic retires; nothing was written.
        """
        return self._write(TenantId(str(tenant)), ack, chain)

    def _write(self, tenant_id: TenantId, ack: Ack | str | None, chain: Chain | None, *, retry: int = 0) -> AsyncWrite:
        self._check()
        assert self._ack is not None
        back, new = self._back, _new_write(self._back, retry)
        return new(
            tenant_id, back._current, self._pool, self._ack, back._settings,
            back._settings.ack if ack is None else level(ack), chain, back._observed.wrote,
        )  # fmt: skip

    async def run_write(
        self,
        tenant: TenantId | str,
        fn: Callable[[AsyncWrite], Awaitable[T]],
        *,
        ack: Ack | str | None = None,
        chain: Chain | None = None,
    ) -> T:
        """Return what the coroutine function *fn* returns inside a write of *tenant*.

        Run again when certainly nothing was committed, as Shim.run_write says. Never after CommitUnknown.
        """
        tenant_id = TenantId(str(tenant))

        def new_write(tries: int) -> AsyncWrite:
            return self._write(tenant_id, ack, chain, retry=tries)

        found: T = await written(new_write, fn, self._back._current.refresh, asyncio.sleep)
        return found

    def session(self, token: After = None) -> AsyncSession:
        """Return a session: its reads see what its writes wrote, which do not wait for the mirror; as Shim.session.

        Raises:
            TokenInvalid: *token* cannot be read.
        """
        self._check()
        return AsyncSession(self, self._back._current, session_token(token))

    def stats(self) -> Stats:
        """Return what this shim has counted since it was opened, and how things are now; costs no round trip."""
        return self._back.stats()

    async def outcome(self, xid: int) -> str | None:
        """Return the outcome of transaction *xid* on classic: committed, aborted, in progress; None when too old."""
        self._check()
        return await self._in_thread(self._back.outcome, xid)

    # -- the event loop -------------------------------------------------------------------------------------

    async def _in_thread(self, fn: Callable[..., T], *args: Any) -> T:
        """Return what *fn* returns, which blocks. A task that is cancelled leaves the thread to its work."""
        return await self._run(0, fn, *args)

    async def _asking(self, fn: Callable[..., T], *args: Any) -> T:
        """Return what *fn* returns, which asks another machine for a secret."""
        return await self._run(1, fn, *args)

    async def _run(self, which: int, fn: Callable[..., T], *args: Any) -> T:
        if self._loop is None or not self._threads:
            raise UsageError("the shim is closed")
        return await self._loop.run_in_executor(self._threads[which], lambda: fn(*args))

    def _check(self) -> None:
        if self._ack is None:
            raise UsageError("the shim is not open")
        if self._pid != os.getpid():
            raise UsageError("the shim was opened before a fork; open one in each process")
        if asyncio.get_running_loop() is not self._loop:
            raise UsageError("the shim was opened in another event loop; open one in each")


def _new_read(back: Backstage, retry: int) -> Callable[..., AsyncRead]:
    """Return what makes a read; *retry*: tries of the same before it."""
    if (tracer := back._observed.tracer) is None:
        return AsyncRead
    from migrator.shim.aio.traced import AsyncTracedRead

    return partial(AsyncTracedRead, tracer=tracer, retry=retry)


def _new_write(back: Backstage, retry: int) -> Callable[..., AsyncWrite]:
    """Return what makes a write; *retry*: tries of the same before it."""
    if (tracer := back._observed.tracer) is None:
        return AsyncWrite
    from migrator.shim.aio.traced import AsyncTracedWrite

    return partial(AsyncTracedWrite, tracer=tracer, retry=retry)


class _Opening:
    """Opens what is behind the shim in a thread, and closes it again when no task waits for it any more."""

    def __init__(self, back: Backstage) -> None:
        self._back = back
        self._lock = threading.Lock()
        self._opened = self._abandoned = False

    def run(self) -> None:
        self._back.open()
        with self._lock:
            self._opened = True
            alone = self._abandoned
        if alone:
            self._back.close()

    def abandon(self) -> None:
        with self._lock:
            self._abandoned = True
            opened = self._opened
        if opened:
            threading.Thread(target=self._back.close, name="migrator-shim-end", daemon=True).start()

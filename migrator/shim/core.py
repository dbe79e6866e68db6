"""The Shim: reads and writes of an application by tenant, while its tenants move."""

from __future__ import annotations

import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

import psycopg

from migrator.errors import ClusterUnavailable, NotInstalled, UsageError, WritesClosed
from migrator.model.route import WriteMode
from migrator.model.side import Side
from migrator.model.sqlstate import Fault
from migrator.model.tenant import TenantId
from migrator.shim import statements as st
from migrator.shim.answer import answer, why
from migrator.shim.breakers import Breakers
from migrator.shim.clock import now_s
from migrator.shim.current_view import CurrentView
from migrator.shim.doubt import Doubts
from migrator.shim.inflight import Inflight
from migrator.shim.link import Link
from migrator.shim.listener import Listener, LoggingListener
from migrator.shim.metrics import Metrics
from migrator.shim.pool import PING, Lender, Pool, fault
from migrator.shim.read import BEGIN_ON_CLASSIC, Read, begin_on_limitless
from migrator.shim.routing import Token
from migrator.shim.settings import Settings
from migrator.shim.shadow import Shadow
from migrator.shim.view import View
from migrator.shim.watcher import Identity, Watcher
from migrator.shim.write import Acknowledgement, Write

T = TypeVar("T")

WRITE_TRIES = 4
"""A write that certainly did not commit is run at most so many times in all."""

MISSING = ("42P01", "3F000")  # undefined_table, invalid_schema_name


class Shim:
    """Routes a process' reads and writes by tenant. One per process; threads share it.

    Args:
        classic, limitless: connection strings. Through a pooler in transaction mode is fine.
        name: what operators see, for example "web-1".
        listener: receives events; by default the standard library's logging, as `migrator.shim`.
        pool_size: connections per side at most. Another one to classic watches the routes.
        settings: override what the plan says; for tests.
    """

    def __init__(
        self,
        classic: str,
        limitless: str,
        name: str,
        listener: Listener | None = None,
        *,
        pool_size: int = 16,
        settings: Settings | None = None,
    ) -> None:
        self.name = name
        self.process_id = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._listener = listener or LoggingListener()
        self._given = settings
        self._settings = settings or Settings()
        app = f"migrator-shim:{name}"
        self._classic = Pool(Side.CLASSIC, classic, app, size=pool_size, connect_timeout_s=5, silent_s=30)
        self._limitless = Pool(Side.LIMITLESS, limitless, app, size=pool_size, connect_timeout_s=2, silent_s=6)
        self._current = CurrentView()
        self._inflight = Inflight()
        self._metrics = Metrics()
        self._doubts = Doubts(self._current.now_s)
        self._breakers = Breakers(self._settings, self._listener, self._current.now_s)
        self._watcher: Watcher | None = None
        self._guard_stop = threading.Event()
        self._guard: threading.Thread | None = None
        self._shadow: Shadow | None = None
        self._ack: Acknowledgement | None = None
        self._trips: list[tuple[str, str, str]] = []
        self._pid = 0

    # -- lifetime -----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Register this process and read the routes.

        Without classic it works only when the migration is over, which Limitless then says.

        Raises:
            ClusterUnavailable: classic cannot be reached and the migration is not known to be over.
            NotInstalled: classic has no control schema and the migration is not known to be over.
        """
        if self._pid:
            raise UsageError("the shim is open already")
        self._pid = os.getpid()
        try:
            link = self._classic.connect()
            try:
                self._start(link)
            except BaseException:
                if self._watcher is None:
                    link.close()
                raise
        except (ClusterUnavailable, NotInstalled, psycopg.Error) as error:
            if not self._ask_settled():
                self._pid = 0
                if isinstance(error, psycopg.Error):
                    raise _unusable(error) from None
                raise
            view = View(write_mode=WriteMode.LIMITLESS_ONLY)
            self._current.install(view)
        self._ack = Acknowledgement(self._current, self._classic, self._listener, self._settings, f"shim {self.name}")
        self._shadow = Shadow(self._run_on, self._metrics, self._listener)
        self._guard = threading.Thread(target=self._watch_the_silent, name="migrator-shim-guard", daemon=True)
        self._guard.start()

    def _start(self, link: Link) -> None:
        row = link.conn.execute(st.SETTINGS).fetchone()
        if self._given is None and row is not None:
            self._settings = Settings.of(row[0])
            self._breakers.use(self._settings)
        watcher = Watcher(
            Identity(self.process_id, self.name),
            self._settings,
            self._current,
            self._inflight,
            self._listener,
            self._classic.connect,
            self._ask_settled,
            self._flush,
            lambda view: self._breakers.taken_over(view.fallbacks),
        )
        watcher.open(link)
        self._watcher = watcher

    def close(self) -> None:
        """Take this process off the register and close its connections."""
        if not self._pid:
            return
        self._guard_stop.set()
        if self._shadow is not None:
            self._shadow.close()
        if self._watcher is not None:
            self._watcher.close()
        if self._guard is not None:
            self._guard.join(timeout=5)
        self._classic.close()
        self._limitless.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- reads --------------------------------------------------------------------------------------------

    def read(self, tenant: TenantId | str, *, after: Token | None = None) -> Read:
        """Return a read of *tenant* on the side its route says, as a context manager.

        Args:
            after: the token of a write that this read must see, when that write came from another system.

        Raises (on leaving):
            ReadStale: the route changed or went stale meanwhile; what was read must be thrown away.
        """
        return self._read(TenantId(str(tenant)), after=after)

    def _read(
        self,
        tenant_id: TenantId,
        *,
        after: Token | None = None,
        only_classic: bool = False,
        judged_later: bool = False,
    ) -> Read:
        self._check()
        return Read(
            tenant_id, self._current, self._lenders(tenant_id), self._breakers, self._inflight, self._metrics,
            self._settings, self._doubts, after=after, only_classic=only_classic, judged_later=judged_later,
        )  # fmt: skip

    def run_read(self, tenant: TenantId | str, fn: Callable[[Read], T], *, after: Token | None = None) -> T:
        """Return what *fn* returns for a read of *tenant*.

        Run again, once, on classic when Limitless failed by itself or the answer was stale, and to ask whether classic
        gives an error too that Limitless gave: *fn* must be repeatable. The caller gets an error of Limitless only when
        classic gives it as well, or a short while ago did.
        """
        tenant_id = TenantId(str(tenant))

        def new_read(*, only_classic: bool = False) -> Read:
            return self._read(tenant_id, after=after, only_classic=only_classic, judged_later=True)

        result, by_route = answer(new_read, fn, self._doubts, self._listener)
        if by_route:
            self._maybe_shadow(tenant_id, fn)
        return result

    def _maybe_shadow(self, tenant_id: TenantId, fn: Callable[[Read], object]) -> None:
        ratio = self._settings.shadow_ratio
        if ratio <= 0 or self._current.settled or self._shadow is None or random.random() >= ratio:
            return
        if tenant_id in self._current.view.routes:  # others may not have been copied yet
            self._shadow.offer(tenant_id, fn)

    def _run_on(self, side: Side, fn: Callable[[Any], object]) -> object:
        """Run a read on one side, outside routes, breakers and metrics."""
        begin = BEGIN_ON_CLASSIC if side is Side.CLASSIC else begin_on_limitless(self._settings.read_timeout_s)
        pool = self._pool(side)
        link = pool.take(begin)
        try:
            return fn(_Shadowed(link.conn, side))
        finally:
            with suppress(psycopg.Error):  # a read; nothing depends on how it ends
                link.finish("ROLLBACK")
            pool.give(link, discard=side is Side.LIMITLESS)

    # -- writes -------------------------------------------------------------------------------------------

    def write(self, tenant: TenantId | str) -> Write:
        """Return a transaction of *tenant*, as a context manager that commits on leaving.

        When it returns, every read through a shim that starts now sees the write.

        Raises (on leaving):
            CommitUnknown: the answer to COMMIT was lost; `outcome` may tell more.
            CommittedUnconfirmed: committed, but a read may still miss it.
            WritesClosed: the short pause before classic retires; nothing was written.
        """
        self._check()
        assert self._ack is not None
        tenant_id = TenantId(str(tenant))
        return Write(tenant_id, self._current, self._lenders(tenant_id, writes=True), self._ack, self._settings)

    def run_write(self, tenant: TenantId | str, fn: Callable[[Write], T]) -> T:
        """Return what *fn* returns inside a write of *tenant*.

        Run again when certainly nothing was committed and another try may work: writes were closed, the connection
        broke before COMMIT, a deadlock or a serialization failure. Never after CommitUnknown.
        """
        for tries_left in reversed(range(WRITE_TRIES)):
            write = self.write(tenant)
            try:
                with write:
                    return fn(write)
            except (WritesClosed, ClusterUnavailable, psycopg.Error) as error:
                if not tries_left or write.committed or not _worth_another_try(write, error):
                    raise
                self._current.refresh()
                self._rest(0.05 * (WRITE_TRIES - tries_left) * (0.5 + random.random()))
        raise AssertionError("unreachable")

    def outcome(self, xid: int) -> str | None:
        """Return the outcome of transaction *xid* on classic: committed, aborted, in progress; None when too old."""
        if self._current.settled:
            raise UsageError("classic is retired; look at the row itself")
        link = self._classic.take(PING)
        try:
            row = link.conn.execute(st.OUTCOME, (str(xid),)).fetchone()
        finally:
            self._classic.give(link)
        return None if row is None or row[0] is None else str(row[0])

    # -- the background -----------------------------------------------------------------------------------

    def _pool(self, side: Side) -> Pool:
        return self._classic if side is Side.CLASSIC else self._limitless

    def _lenders(self, tenant_id: TenantId, *, writes: bool = False) -> Callable[[Side], Lender]:
        """Return where a block of *tenant_id* takes its connection from; migrator.testing listens here."""
        return self._pool

    def _rest(self, seconds: float) -> None:
        time.sleep(seconds)

    def _check(self) -> None:
        if self._pid != os.getpid():
            if not self._pid:
                raise UsageError("the shim is not open")
            raise UsageError("the shim was opened before a fork; open one in each process")

    def _ask_settled(self) -> bool:
        """Return whether Limitless says that the migration is over."""
        try:
            link = self._limitless.connect()
        except ClusterUnavailable:
            return False
        try:
            row = link.conn.execute(st.SETTLED).fetchone()
            return row is not None and row[0] == WriteMode.LIMITLESS_ONLY
        except psycopg.Error:
            return False  # the table exists only after the hand-over
        finally:
            link.close()

    def _watch_the_silent(self) -> None:
        """Shut down connections to servers that neither answer nor close: server-side timeouts do not cover those."""
        while not self._guard_stop.wait(0.25):
            now = now_s()
            self._limitless.kill_overdue(now)
            if self._watcher is not None:
                self._watcher.kill_if_silent(now)

    def _flush(self, link: Link) -> None:
        """Write samples and the open breakers to classic."""
        mine = {"process_id": self.process_id}
        try:
            reads = self._metrics.take_reads()
            if reads is not None:
                link.conn.execute(st.SAMPLES, {**mine, **reads})
            shadows = self._metrics.take_shadows()
            if shadows is not None:
                link.conn.execute(
                    st.SHADOWS,
                    {
                        **mine,
                        "compared": shadows.compared,
                        "mismatched": shadows.mismatched,
                        "classic_ms": shadows.classic_ms,
                        "limitless_ms": shadows.limitless_ms,
                    },
                )
            trips = [(scope.value, key, reason) for scope, key, reason in self._breakers.open()]
            if trips or self._trips:
                scopes, keys, reasons = ([t[i] for t in trips] for i in range(3))
                link.conn.execute(st.TRIPS, {**mine, "scopes": scopes, "keys": keys, "reasons": reasons})
                self._trips = trips
        except psycopg.Error:
            if link.conn.closed:
                raise
            # A refused sample must not stop the reading of routes.


class _Shadowed:
    """Given to a shadow read in place of a Read."""

    def __init__(self, connection: psycopg.Connection[Any], side: Side) -> None:
        self.connection = connection
        self.side = side


def _worth_another_try(write: Write, error: Exception) -> bool:
    if isinstance(error, WritesClosed):
        return error.waited_s == 0  # closed after it began; a write that waited its limit raises
    if isinstance(error, ClusterUnavailable):
        return True
    return write.lost or (fault(error) is Fault.CONFLICT and error.__class__ is not psycopg.errors.LockNotAvailable)


def _unusable(error: psycopg.Error) -> NotInstalled | ClusterUnavailable:
    if error.sqlstate in MISSING:
        return NotInstalled("the control schema is missing on classic")
    return ClusterUnavailable("classic", why(error))

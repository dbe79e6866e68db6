"""The Shim: reads and writes of an application by tenant, while its tenants move."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import psycopg

from migrator.errors import ClusterUnavailable, NotInstalled, UsageError
from migrator.model.ack import Ack, level
from migrator.model.route import WriteMode
from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.shim import statements as st
from migrator.shim.acknowledge import Acknowledgement
from migrator.shim.again import written
from migrator.shim.answer import answer, why
from migrator.shim.breakers import Breakers
from migrator.shim.clock import now_s
from migrator.shim.current_view import CurrentView
from migrator.shim.doubt import Doubts
from migrator.shim.hand_over import settled_on
from migrator.shim.identity import Identity, forget_gone
from migrator.shim.inflight import Inflight
from migrator.shim.inline import InlineWatcher, TimedLink
from migrator.shim.lifetime import Lifetime
from migrator.shim.link import Link
from migrator.shim.listener import Listener, LoggingListener
from migrator.shim.metrics import Metrics
from migrator.shim.observed import Observed
from migrator.shim.pool import PING, ConnectionInfo, Lender, Pool
from migrator.shim.read import Read
from migrator.shim.read_replicas import ReadReplicas
from migrator.shim.reports import Reports
from migrator.shim.session import Session
from migrator.shim.settings import Settings
from migrator.shim.shadow import Shadow
from migrator.shim.shadow_evidence import Evidence, JournalEvidence
from migrator.shim.stats import Stats
from migrator.shim.steps import at_once
from migrator.shim.token import SessionToken, Token, session_token
from migrator.shim.view import View
from migrator.shim.watcher import Watcher
from migrator.shim.write import Chain, Write

T = TypeVar("T")

After = SessionToken | Token | str | bytes | None
"""Names writes that a read must see: of one write, of a session, or the session's text."""

MISSING = ("42P01", "3F000")  # undefined_table, invalid_schema_name


class Shim(Lifetime):
    """Routes a process' reads and writes by tenant. One per process; threads share it.

    Args:
        classic, limitless: connection strings, or functions that return one for each new connection, where passwords
            change or are tokens (migrator.shim.rds). Through a pooler in transaction mode is fine.
        name: what operators see, for example "web-1".
        readers: the same of classic's read replicas, one of each instance (no balanced endpoint).
        listener: receives events; by default the standard library's logging, as `migrator.shim`.
        pool_size: connections per side at most. Another one to classic watches the routes.
        listen: whether route changes are also announced by LISTEN on that one. Without it they are found within
            `shim.poll_s`, and no session of classic is held while nothing happens: for poolers in transaction mode.
            By default where there are threads.
        threads: without them it opens with the first use, and reads and writes read the routes themselves when they are
            old: for processes that are frozen between two invocations. No read replicas, no shadow reads.
        settings: override what the plan says; for tests.
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
        listen: bool | None = None,
        threads: bool = True,
        settings: Settings | None = None,
    ) -> None:
        super().__init__(threads=threads)
        if readers and not threads:
            raise UsageError("read replicas are watched by threads", hint="Leave readers out, or threads=False.")
        self._listens = threads if listen is None else listen
        self.name = name
        self._listener = listener or LoggingListener()
        self._given = settings
        self._sides_given = (classic, limitless)
        self._readers_given = tuple(readers)
        self._pool_size = pool_size
        self._make()

    def _make(self) -> None:
        self.process_id = Identity.new(self.name).process_id
        self._settings = self._given or Settings()
        app, size, (classic, limitless) = f"migrator-shim:{self.name}", self._pool_size, self._sides_given
        self._classic = Pool(Side.CLASSIC, classic, app, size=size, connect_timeout_s=5, silent_s=30)
        self._limitless = Pool(Side.LIMITLESS, limitless, app, size=size, connect_timeout_s=2, silent_s=6)
        if not self._threads:
            self._classic.link_type = self._limitless.link_type = TimedLink
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
        self._replicas: ReadReplicas | None = None
        self._reports = Reports(self.process_id, self._metrics, self._breakers)
        self._observed = Observed(self, self._listener, self._metrics)

    # -- lifetime -----------------------------------------------------------------------------------------

    def _open(self) -> None:
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
                if isinstance(error, psycopg.Error):
                    raise _unusable(error) from None
                raise
            self._current.install(View(write_mode=WriteMode.LIMITLESS_ONLY))
        self._ack = Acknowledgement(
            self._current, self._classic, self._listener, self._settings, f"shim {self.name}",
            self._replicas.wait if self._replicas is not None else None,
        )  # fmt: skip
        timeout_s = self._settings.read_timeout_s
        self._shadow = Shadow(self._pool, self._evidence(), self._metrics, self._listener, timeout_s)
        self._observed.look()
        if not self._threads:
            return
        self._guard = threading.Thread(target=self._watch_the_silent, name="migrator-shim-guard", daemon=True)
        self._guard.start()

    def _start(self, link: Link) -> None:
        row = link.conn.execute(st.SETTINGS).fetchone()
        self._current.asks_briefly = row is not None and bool(row[1])
        if self._given is None and row is not None:
            self._settings = Settings.of(row[0])
            self._breakers.use(self._settings)
        self._replicas = self._with_replicas(link)
        forget_gone(link, self.name)
        kind = Watcher if self._threads else partial(InlineWatcher, renamed=self._renamed)
        watcher = kind(
            Identity(self.process_id, self.name),
            self._settings,
            self._current,
            self._inflight,
            self._listener,
            self._classic.connect,
            self._ask_settled,
            self._flush,
            lambda view: self._breakers.taken_over(view.fallbacks),
            listen=self._listens,
            read_more=self._replicas.read if self._replicas is not None else None,
        )
        watcher.open(link)
        self._watcher = watcher
        if self._replicas is not None:
            self._replicas.start()

    def _renamed(self, identity: Identity) -> None:
        self.process_id = self._reports.process_id = identity.process_id

    def _with_replicas(self, link: Link) -> ReadReplicas | None:
        if not self._readers_given:
            return None
        found = ReadReplicas(
            self._readers_given, self._current, self._settings, self._metrics, self._classic, self._listener,
            self.process_id, f"shim {self.name}", f"migrator-shim:{self.name}", self._pool_size,
        )  # fmt: skip
        found.enter(link)
        return found

    def close(self) -> None:
        """Take this process off the register and close its connections."""
        if not self._closes():
            return
        if self._shadow is not None:
            self._shadow.close()
        if self._replicas is not None:
            self._replicas.close()
        if self._watcher is not None:
            self._watcher.close()
        self._guard_stop.set()  # not before: it ends connections that do not answer
        if self._guard is not None:
            self._guard.join(timeout=5)
        self._observed.close()
        self._classic.close()
        self._limitless.close()

    # -- reads --------------------------------------------------------------------------------------------

    def read(self, tenant: TenantId | str, *, after: After = None) -> Read:
        """Return a read of *tenant* on the side its route says, as a context manager.

        Args:
            after: names writes that this read must see, when they did not wait for that (level `session`), or came
                from another system. While Limitless does not hold them, classic answers.

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
    ) -> Read:
        self._check()
        return self._observed.read(retry)(
            tenant_id, self._current, self._readers(tenant_id, after, only_writer), self._breakers, self._inflight,
            self._metrics, self._settings, self._doubts, after=after, only_classic=only_classic,
            judged_later=judged_later,
        )  # fmt: skip

    def run_read(self, tenant: TenantId | str, fn: Callable[[Read], T], *, after: After = None) -> T:
        """Return what *fn* returns for a read of *tenant*.

        Run again, once, on classic when Limitless failed by itself or the answer was stale, and to ask whether classic
        gives an error too that Limitless gave: *fn* must be repeatable. The caller gets an error of Limitless only when
        classic gives it as well, or a short while ago did.
        """
        tenant_id, wanted, tries = TenantId(str(tenant)), session_token(after), itertools.count()

        def new_read(*, only_classic: bool = False, only_writer: bool = False) -> Read:
            return self._read(
                tenant_id, after=wanted, only_classic=only_classic, only_writer=only_writer, judged_later=True,
                retry=next(tries),
            )  # fmt: skip

        result, by_route = at_once(answer(new_read, fn, self._doubts, self._observed.listener))
        if by_route and wanted is None:  # what a token names may be on one side only
            self._maybe_shadow(tenant_id, fn)
        found: T = result
        return found

    def _maybe_shadow(self, tenant_id: TenantId, fn: Callable[[Read], object]) -> None:
        ratio = self._settings.shadow_ratio
        if ratio <= 0 or not self._threads or self._current.settled or self._shadow is None or random.random() >= ratio:
            return
        if self._current.view.positions:  # else nothing follows classic yet
            self._shadow.offer(tenant_id, fn)

    def _evidence(self) -> Evidence:
        return JournalEvidence(self._classic, self._current)

    # -- writes -------------------------------------------------------------------------------------------

    def write(self, tenant: TenantId | str, *, ack: Ack | str | None = None, chain: Chain | None = None) -> Write:
        """Return a transaction of *tenant*, as a context manager that commits on leaving.

        Args:
            ack: what is true when it returns; the plan's `shim.ack` when not given. `everywhere`: every read through a
                shim that starts now sees the write. `session`: reads that are given its token do. `none`: it is
                committed.
            chain: of a session; see `session`.

        Raises (on leaving):
            CommitUnknown: the answer to COMMIT was lost; `outcome` may tell more.
            CommittedUnconfirmed: committed, but a read may still miss it.
            WritesClosed: the short pause before classic retires; nothing was written.
        """
        return self._write(TenantId(str(tenant)), ack, chain)

    def _write(self, tenant_id: TenantId, ack: Ack | str | None, chain: Chain | None, *, retry: int = 0) -> Write:
        self._check()
        assert self._ack is not None
        return self._observed.write(retry)(
            tenant_id, self._current, self._lenders(tenant_id, writes=True), self._ack, self._settings,
            self._settings.ack if ack is None else level(ack), chain, self._observed.wrote,
        )  # fmt: skip

    def run_write(
        self,
        tenant: TenantId | str,
        fn: Callable[[Write], T],
        *,
        ack: Ack | str | None = None,
        chain: Chain | None = None,
    ) -> T:
        """Return what *fn* returns inside a write of *tenant*.

        Run again when certainly nothing was committed and another try may work: writes were closed, the connection
        broke before COMMIT, a deadlock or a serialization failure. Never after CommitUnknown.
        """
        tenant_id = TenantId(str(tenant))

        def new_write(tries: int) -> Write:
            return self._write(tenant_id, ack, chain, retry=tries)

        found: T = at_once(written(new_write, fn, self._current.refresh, self._rest))
        return found

    def session(self, token: After = None) -> Session:
        """Return a session: its reads see what its writes wrote, which do not wait for the mirror.

        Args:
            token: the text of an earlier one (`Session.token`), of this process or another.

        Raises:
            TokenInvalid: *token* cannot be read.
        """
        self._check()
        return Session(self, self._current, session_token(token))

    def stats(self) -> Stats:
        """Return what this shim has counted since it was opened, and how things are now; costs no round trip."""
        return self._observed.stats(self._current, self._breakers, self._settings.staleness_s)

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

    def _readers(self, tenant_id: TenantId, after: SessionToken | None, only_writer: bool) -> Callable[[Side], Lender]:
        """Return where a read takes its connection from: of classic, a replica where one may answer."""
        pools = self._lenders(tenant_id)
        return pools if self._replicas is None else self._replicas.over(pools, after, only_writer)

    def _rest(self, seconds: float) -> None:
        time.sleep(seconds)

    def _ask_settled(self) -> bool:
        """Return whether Limitless says that the migration is over."""
        return settled_on(self._limitless, self._current)

    def _watch_the_silent(self) -> None:
        """Shut down connections to servers that neither answer nor close: server-side timeouts do not cover those."""
        while not self._guard_stop.wait(0.25):
            self._end_silent(now_s())

    def _end_silent(self, now: float) -> None:
        self._observed.look_now_and_then(now)
        self._limitless.kill_overdue(now)
        if self._replicas is not None:
            self._replicas.kill_overdue(now)
        if self._watcher is not None:
            self._watcher.kill_if_silent(now)

    def _flush(self, link: Link) -> int:
        """Write samples and the open breakers to classic; return how many samples of reads."""
        return self._reports.write(link)


def _unusable(error: psycopg.Error) -> NotInstalled | ClusterUnavailable:
    if error.sqlstate in MISSING:
        return NotInstalled("the control schema is missing on classic")
    return ClusterUnavailable("classic", why(error))

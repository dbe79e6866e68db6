"""Connections to read replicas, and which of them may be asked; replica_lender.py lends them.

What a read may rely on is asked in the message that begins it: which instance answers, whether it is in recovery, how
far it has replayed. No answer is used of a server that says something else than the registry, however it came to be
behind that address. On leaving it is compared with the registry once more.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import psycopg

from migrator.errors import ClusterUnavailable
from migrator.login.parts import parts_of
from migrator.model.side import Side
from migrator.shim import replica_sql as sql
from migrator.shim.current_view import CurrentView
from migrator.shim.link import BaseLink, Link
from migrator.shim.metrics import Metrics
from migrator.shim.pool import ConnectionInfo, Pool
from migrator.shim.replica_change import Level
from migrator.shim.replicas import Bucket, Health, Lag, Registry, Replica, Seen, by_turns, too_slow
from migrator.shim.settings import Settings
from migrator.shim.steps import got


class OfReplica(BaseLink):
    """A connection to a replica, with what it said of itself when it last began a read."""

    row: list[str | None] | None = None
    replica: Replica | None = None
    lease = 0
    began_s = 0.0


class ReplicaLink(OfReplica, Link):
    """One whose conversations block."""

    def start(self, statement: str, *, owe: bool) -> None:
        """Run *statement* for the next borrower, at once: its answer says whether this replica may be read."""
        super().start(statement, owe=False)

    def ask(self, statement: str) -> list[str | None]:
        """Run *statement*; return the first row of the last statement that returned any columns."""
        self.row = super().ask(statement)
        return self.row

    def own(self, statement: str) -> list[str | None]:
        """Run a statement of the shim in a transaction of its own, as a server in recovery allows it."""
        return self.ask(f"{sql.OWN}; {statement}; COMMIT")


class ReplicaPool(Pool):
    """Of one replica."""

    link_type = ReplicaLink


class Lends(Protocol):
    """What reads of a replica need of a pool."""

    def take(self, begin: str, *, silent_s: float | None = None) -> BaseLink | Awaitable[BaseLink]: ...
    def give(self, link: Any, *, discard: bool = False) -> None: ...
    def kill_overdue(self, at_s: float) -> None: ...
    def kill_all(self) -> None: ...
    def drop_idle(self) -> None: ...
    def close(self) -> None: ...


@dataclass(eq=False)
class Endpoint:
    """One replica as this process is given it. The watcher of replicas keeps *instance*, *aurora* and *why* up to date.

    Attributes:
        pool: whose connections block; for those who watch it.
        lends: from which reads are lent theirs; with asyncio another one.
        instance: that answered last, None while none does.
        unfit_until_s: it refused what this process reads, as every standby would; it is not asked before.
        why: it cannot be read now, as operators see it; empty when it can.
    """

    name: str
    pool: ReplicaPool
    lends: Lends
    health: Health = field(default_factory=Health)
    instance: str | None = None
    aurora: bool = False
    unfit_until_s: float = 0.0
    why: str = "not asked yet"


def endpoint(dsn: ConnectionInfo, app: str, size: int, answer_s: float, name: str) -> Endpoint:
    """Return the endpoint of a connection string, called by its address, or *name* while that cannot be had.

    Raises:
        UsageError: it cannot be read.
    """
    pool = ReplicaPool(Side.CLASSIC, dsn, app, size=size, connect_timeout_s=2, silent_s=max(answer_s, 2.0))
    with suppress(ClusterUnavailable):
        parts = parts_of(dsn if isinstance(dsn, str) else pool.info())
        name = f"{parts.get('host') or 'local'}:{parts.get('port') or 5432}"
    return Endpoint(name, pool, pool)


class Replicas:
    """All of them, with what is known of the registry. Threads share it; every change is announced by *changed*."""

    def __init__(
        self, endpoints: Sequence[Endpoint], current: CurrentView, settings: Settings, metrics: Metrics
    ) -> None:
        self.endpoints = tuple(endpoints)
        self.current = current
        self.metrics = metrics
        self.changed = threading.Condition()
        self.asked = threading.Condition()  # ends the rest of those who watch the replicas
        self.registry = Registry()
        self.aurora = False  # as the writer says
        self.supported = False  # by the control tables; else every read goes to the writer, as without replicas
        self.replayed: dict[str, int] = {}  # by instance: what it has replayed at least; only grows
        self.lag = Lag()
        self.waiting = 0  # writes that wait for replay
        self._turn = itertools.count()
        self._lock = threading.Lock()
        self.use(settings)

    def use(self, settings: Settings) -> None:
        """Take over settings."""
        self.settings = settings
        self._bucket = Bucket(settings.writer_reads_per_s)

    @property
    def on(self) -> bool:
        """Whether classic's reads go to replicas at all."""
        return bool(self.settings.replica_reads) and self.supported and not self.current.settled

    def install(self, registry: Registry) -> None:
        """Replace the registry; see watcher.Watcher for when."""
        with self.changed:
            news = registry.replicas.keys() != self.registry.replicas.keys() or any(
                self.registry.replicas[key].epoch != row.epoch for key, row in registry.replicas.items()
            )
            self.registry = registry
            self.changed.notify_all()
        if news:
            self.wake()

    def wake(self) -> None:
        """Make those who watch the replicas ask them now."""
        with self.asked:
            self.asked.notify_all()

    def note(self, seen: Seen) -> None:
        """Note how far an instance has replayed: a fact about it that stays true."""
        with self.changed:
            if seen.in_recovery and seen.lsn > self.replayed.get(seen.instance, -1):
                self.replayed[seen.instance] = seen.lsn
            self.changed.notify_all()

    def judge(self, at: Endpoint, health: Callable[[Health], Health]) -> None:
        """Replace the health of *at* by what *health* makes of it."""
        with self._lock:
            at.health = health(at.health)

    # -- choosing -----------------------------------------------------------------------------------------

    def serving(self, at: Endpoint, at_s: float) -> Replica | None:
        """Return the replica behind *at* when it may be read under the routes of now."""
        if at.instance is None or at_s < at.unfit_until_s or not self.current.view.valid(at_s):
            return None
        found = self.registry.serves(at.instance)
        if found is None or self.lag.of(self.replayed.get(at.instance, -1), at_s) > self.settings.max_lag_s:
            return None
        return found

    def candidates(self, at_s: float) -> list[Endpoint]:
        """Return the replicas to ask, in order; marks a trial of one that was ejected."""
        able = [n for n, at in enumerate(self.endpoints) if self.serving(at, at_s) and at.health.admits(at_s)]
        return [self.endpoints[n] for n in by_turns(able, next(self._turn))]

    def admit(self, at: Endpoint, at_s: float) -> bool:
        """Return whether *at* may be asked; of one that was ejected by one read at a time."""
        with self._lock:
            if not at.health.admits(at_s):
                return False
            if at.health.half_open:
                at.health = replace(at.health, trial=True)
            return True

    def unasked(self, at: Endpoint) -> None:
        """Let another read try *at*: the one that was admitted brought nothing to judge it by."""
        self.judge(at, lambda health: replace(health, trial=False))

    def writer_may(self, at_s: float) -> bool:
        """Return whether the writer may take one more read that a replica should have answered."""
        with self._lock:
            return not self.settings.writer_reads_per_s or self._bucket.take(at_s)

    def bounded(self, at_s: float) -> bool:
        """Whether replicas have taken reads off the writer that it must not get back at once."""
        return self.registry.began and any(at_s >= at.unfit_until_s for at in self.endpoints)

    def why(self) -> str:
        """Return why no replica can be read."""
        return "; ".join(f"{at.name}: {at.why or 'ejected'}" for at in self.endpoints)

    # -- reading ------------------------------------------------------------------------------------------

    async def begin(self, at: Endpoint, after: int) -> OfReplica | None:
        """Return a connection inside a read on *at*; None when it must not be read now, which is no fault of its.

        Raises:
            ClusterUnavailable, psycopg.Error: it does not answer.
        """
        began_s = self.current.now_s()
        replica = self.serving(at, began_s)  # before the message is sent, and compared with on leaving
        lease = self.current.view.lease
        if replica is None:
            return None
        link = await got(at.lends.take(sql.begin(at.aurora), silent_s=self.settings.replica_answer_s))
        assert isinstance(link, OfReplica) and link.row is not None
        seen = Seen.of(link.row)
        covered = seen.lsn >= after
        if seen.in_recovery and seen.instance == replica.instance and covered:
            link.silent_s = None  # statements of the application may take their time; the watcher of replicas looks
            link.replica, link.lease, link.began_s = replica, lease, began_s
            return link
        try:
            with suppress(psycopg.Error):
                await got(link.finish("ROLLBACK"))
        finally:
            at.lends.give(link, discard=not (seen.in_recovery and seen.instance == replica.instance))
        if not seen.in_recovery:
            at.why = "it is no replica any more: promoted, or the writer itself"
        return None

    def stale(self, link: OfReplica) -> str | None:
        """Return why what was read must be thrown away."""
        assert link.replica is not None
        view, now = self.registry.replicas.get(link.replica.instance), self.current.view
        if view is None or (view.level, view.epoch) != (Level.SERVING, link.replica.epoch):
            return f"replica {link.replica.name} was taken out of service"
        if now.lease != link.lease or not now.valid(self.current.now_s()):
            return "routes went stale"
        return None

    def failed(self, at: Endpoint, asked_s: float, *, silent: bool) -> None:
        """Count a read that *at* did not begin. *silent*: it is ejected at once."""
        now = self.current.now_s()
        self.judge(at, lambda health: health.failed(now, random.random(), silent=silent))
        at.why = at.why or "it does not answer"
        self.metrics.endpoint(at.name, (now - asked_s) * 1000, failed=True)

    def ended(self, at: Endpoint, ms: float, *, failed: bool) -> None:
        """Count a read on *at*, and eject it when it fails or is far slower than the others."""
        self.metrics.endpoint(at.name, ms, failed=failed)
        now, jitter = self.current.now_s(), random.random()
        if failed:
            self.judge(at, lambda health: health.failed(now, jitter))
            return
        self.judge(at, lambda health: health.answered(ms))
        others = [each.health for each in self.endpoints if each is not at]
        if too_slow(at.health, others):
            self.judge(at, lambda health: health.ejected(now, jitter))
            at.why = "it answers far slower than the others"

    def kill_overdue(self, at_s: float) -> None:
        """End connections of replicas that neither answer nor close."""
        for at in self.endpoints:
            at.lends.kill_overdue(at_s)

    def status(self) -> Mapping[str, str]:
        """Return by endpoint why it cannot be read; empty when it can."""
        return {at.name: at.why for at in self.endpoints}

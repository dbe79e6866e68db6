"""Connections to read replicas, and the choice of one for each read of classic; the writer is the last resort.

What a read may rely on is asked in the message that begins it: which instance answers, whether it is in recovery, how
far it has replayed. No answer is used of a server that says something else than the registry, however it came to be
behind that address. On leaving it is compared with the registry once more.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import psycopg

from migrator.errors import ClusterUnavailable
from migrator.login.parts import parts_of
from migrator.model.side import Side
from migrator.shim import replica_sql as sql
from migrator.shim.current_view import CurrentView
from migrator.shim.link import BaseLink, Link
from migrator.shim.metrics import Metrics
from migrator.shim.pool import ConnectionInfo, Lender, Pool, PoolExhausted, silent
from migrator.shim.replica_change import Level
from migrator.shim.replicas import Bucket, Health, Lag, Registry, Replica, Seen, by_turns, too_slow
from migrator.shim.settings import Settings
from migrator.shim.statements import ASK_AND_BEGIN_READ
from migrator.shim.steps import at_once, got

WRITER = "writer"

SERIALIZABLE = (
    "reads begin serializable transactions, which no standby can do: the writer answers, without a bound; set"
    " default_transaction_isolation, or the level of each read, to REPEATABLE READ"
)
UNFIT_S = 600.0
"""A replica that refused a serializable read is left alone for so long."""

WAIT_S = 1.0
"""A read that the writer's bound holds back waits at most so long for a replica, or for its turn."""

UNSUPPORTED = "0A000"
OF_A_REPLICA = frozenset({"40001", "40P01", "25006", "55000", UNSUPPORTED})
"""SQLSTATEs that a replica gives where the writer would not: conflicts with recovery, and what no standby can do."""


class ReadsBounded(ClusterUnavailable):
    """No replica could answer, and the writer had its share of reads already."""

    def __init__(self, per_s: float, why: str) -> None:
        super().__init__(
            Side.CLASSIC.value,
            f"no replica could answer ({why}) and the writer takes at most {per_s:g} such reads a second of a process",
            "Try again; bring replicas back, or raise shim.writer_reads_per_s.",
        )


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
        self.lends_by: type[ReadLender] = ReadLender  # another one with asyncio
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

    def lender(self, writer: Lender, *, after: int | None, only_writer: bool) -> ReadLender:
        """Return where one read of classic takes its connection from: a replica that replayed *after*, or the writer.

        Args:
            after: None when it is not known how far a replica must be; then only the writer is far enough.
            only_writer: a replica gave no answer; another one may be asked when the writer takes no more reads.
        """
        return self.lends_by(self, writer, after, only_writer)

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
                at.health = Health(
                    at.health.row, at.health.good, at.health.mean_ms, at.health.out_until_s, at.health.times, True
                )
            return True

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


class ReadLender:
    """Lends a connection for one read of classic: of a replica, or of the writer.

    `taking` is written once for both fronts; `take` and `_rest` block, and are others with asyncio.
    """

    def __init__(self, replicas: Replicas, writer: Lender, after: int | None, only_writer: bool) -> None:
        self._all = replicas
        self._writer = writer
        self._after = after
        self._only_writer = only_writer or after is None
        self._at: Endpoint | None = None
        self._began_s = 0.0

    def take(self, begin: str, *, silent_s: float | None = None) -> BaseLink | Awaitable[BaseLink]:
        """Return a connection as `taking` does."""
        return at_once(self.taking(begin, silent_s))

    def _rest(self, seconds: float) -> Awaitable[None] | None:
        time.sleep(seconds)
        return None

    async def taking(self, begin: str, silent_s: float | None) -> BaseLink:
        """Return a connection inside a read that *begin* starts on the writer, or its like on a replica.

        Raises:
            ReadsBounded: no replica can answer, and the writer has its share.
            ClusterUnavailable: the writer cannot be had.
        """
        everything = self._all
        self._began_s = everything.current.now_s()
        until_s = self._began_s + WAIT_S
        over = everything.on and bool(everything.endpoints)
        asks = begin == ASK_AND_BEGIN_READ  # what only the writer says
        while True:
            if over and not (asks or self._only_writer) and (link := await self._of_a_replica()) is not None:
                return link
            now = everything.current.now_s()
            if not (over and everything.bounded(now)) or everything.writer_may(now):
                return await got(self._writer.take(begin, silent_s=silent_s))
            if self._only_writer and not asks and self._after is not None:
                self._only_writer = False  # its turn does not come; a replica is better than no answer
                continue
            if now >= until_s:
                raise ReadsBounded(everything.settings.writer_reads_per_s, everything.why())
            await got(self._rest(0.02))

    async def _of_a_replica(self) -> OfReplica | None:
        everything, after = self._all, self._after
        assert after is not None
        for at in everything.candidates(everything.current.now_s()):
            asked_s = everything.current.now_s()
            if not everything.admit(at, asked_s):
                continue
            try:
                link = await everything.begin(at, after)
            except PoolExhausted:
                link = None
            except (ClusterUnavailable, psycopg.Error):
                waited_s = everything.current.now_s() - asked_s
                everything.failed(at, asked_s, silent=waited_s >= 0.9 * everything.settings.replica_answer_s)
                continue
            except BaseException as error:
                if silent(error):
                    everything.failed(at, asked_s, silent=True)
                raise
            if link is not None:
                self._at = at
                return link
            everything.judge(at, lambda health: Health(
                health.row, health.good, health.mean_ms, health.out_until_s, health.times))  # fmt: skip
        return None

    def give(self, link: BaseLink, *, discard: bool = False) -> None:
        """Take the connection back."""
        if self._at is None:
            self._writer.give(link, discard=discard)
        else:
            self._at.lends.give(link, discard=discard)

    def ended(self, link: BaseLink, states: frozenset[str], *, lost: bool) -> str | None:
        """Count the read; return why what it gave must be thrown away and asked again, None when it stands."""
        everything = self._all
        ms = (everything.current.now_s() - self._began_s) * 1000
        if self._at is None:
            everything.metrics.endpoint(WRITER, ms, failed=lost)
            return None
        assert isinstance(link, OfReplica)
        own = states & OF_A_REPLICA
        everything.ended(self._at, ms, failed=lost)
        if lost:
            return f"the connection to replica {self._at.name} was lost"
        if own:
            if UNSUPPORTED in own and Seen.of(link.row or ()).serializable:
                self._at.unfit_until_s, self._at.why = everything.current.now_s() + UNFIT_S, SERIALIZABLE
            return f"replica {self._at.name} could not answer (SQLSTATE {', '.join(sorted(own))})"
        return everything.stale(link)

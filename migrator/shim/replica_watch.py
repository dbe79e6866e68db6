"""Watches the read replicas of a process: asks each how far it is, takes them into service and out of it.

One thread per replica, with a connection to it of its own, so that one that is frozen does not hold up the others. It
never decides alone that a replica may be read: it proposes, and classic's control tables decide for every process at
once (replica_change.py). The order of a promotion is that of a tenant's reads:

1. `joining` is written, when every live process has said that it can wait for this replica.
2. All live processes have confirmed that epoch: from here on every acknowledged write waits for it.
3. The writer is asked where it is now: that is behind everything acknowledged before.
4. The replica, the same instance still, shows the mark of the epoch of step 1 and has replayed that position.
5. `serving` is written, by compare-and-swap.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import psycopg

from migrator.errors import ClusterUnavailable, NotInstalled
from migrator.shim import replica_sql as sql
from migrator.shim.link import Link
from migrator.shim.listener import Listener, ReplicaServes, ReplicaTakenOut
from migrator.shim.pace import LOOKS_PER_S
from migrator.shim.pool import PING, Pool
from migrator.shim.replica_change import Level, join, serve, take_out
from migrator.shim.replica_lender import SERIALIZABLE
from migrator.shim.replica_pool import Endpoint, ReplicaLink, Replicas
from migrator.shim.replicas import Position, Registry, Seen
from migrator.shim.view import View

CALM_S = 0.5
"""How often a replica is asked while nothing waits for it."""

FAST_S = 0.002
"""The pause between two questions while a write waits; longer in a large fleet, as with positions (pace.py)."""

JOINS_S = 0.03
"""How often it is asked while it joins."""

HELP_S = 2.0
"""A process helps with the joining that another one began when that takes longer."""

HOLD_S = 1.0
"""How long a replica that was taken out stays out at least; doubled each time."""

LONGEST_HOLD_S = 30.0
"""How often it is proposed at least, while some process could not wait for it."""


_ANOTHER_HISTORY = "it does not show this history of classic: it follows another server, or is very late"


class ReplicaWatch:
    """Keeps one endpoint up to date, and its replica in service while it can be."""

    def __init__(
        self,
        at: Endpoint,
        everything: Replicas,
        classic: Pool,
        process_id: str,
        who: str,
        listener: Listener,
        reached: Callable[[], None],
    ) -> None:
        self.at = at
        self._all = everything
        self._classic = classic
        self._process_id = process_id
        self._who = who
        self._listener = listener
        self._reached = reached
        self._link: ReplicaLink | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"migrator-shim-replica-{at.name}", daemon=True)
        self._hold_s = 0.0  # nothing is proposed before
        self._refused = 0  # proposals in a row

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop; returns when the thread has ended or hangs on a server that does not answer."""
        self._stop.set()
        self._all.wake()
        link = self._link
        if link is not None:
            link.kill()
        self._thread.join(timeout=3)
        self.at.lends.close()

    def kill_if_silent(self, at_s: float) -> None:
        """Shut down connections of a replica that does not answer; reads on it then fail and are asked elsewhere."""
        link = self._link
        if link is not None and link.overdue(at_s):
            self.at.why = "it does not answer"
            link.kill()
            self.at.lends.kill_all()

    # -- the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self._link is None:
                    self._connect()
                seen = self._ask()
                self._work(seen)
            except (psycopg.Error, ClusterUnavailable, NotInstalled, OSError) as error:
                self._lost(error)
            self._rest()
        if self._link is not None:
            self._link.close()

    def _connect(self) -> None:
        link = self.at.pool.connect()
        assert isinstance(link, ReplicaLink)
        link.silent_s = self._all.settings.replica_answer_s
        self._link = link
        self.at.aurora = link.own(sql.FIND_AURORA) == ["t"]

    def _ask(self) -> Seen:
        link = self._link
        assert link is not None
        seen = Seen.of(link.own(sql.replayed(self.at.aurora)))
        self._all.note(seen)
        return seen

    def _lost(self, error: Exception) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()
        self.at.why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        self.at.lends.drop_idle()

    def _work(self, seen: Seen) -> None:
        if self.at.instance != seen.instance:
            before, self.at.instance = self.at.instance, seen.instance
            self._reached()
            if before is not None:
                self._take_out(before, "the server was restarted, or another one answers at its address")
        if not self._all.supported:
            self.at.why = "the control tables on classic know nothing of replicas, or the rights on them are missing"
            return
        if not seen.in_recovery:
            self.at.why = "it is no replica: promoted, or the writer itself"
            self._take_out(seen.instance, "it is no replica any more")
            return
        if not self._all.on or not self._all.current.view.valid(self._all.current.now_s()):
            return
        self._advance(seen)

    def _advance(self, seen: Seen) -> None:
        registry, now = self._all.registry, self._all.current.now_s()
        row = registry.replicas.get(seen.instance)
        if row is not None and row.level is not Level.OUT and row.writer != registry.writer:
            self._take_out(seen.instance, "the writer was restarted, replaced or restored")
        elif row is None or row.level is Level.OUT:
            if now >= self._hold_s:
                self._join(seen, registry, now)
        elif row.level is Level.JOINING:
            self.at.why = "it joins"
            if row.changed_by == self._by or row.age_s > HELP_S:
                self._serve(seen, registry, row.epoch)
        else:
            self.at.why = SERIALIZABLE if now < self.at.unfit_until_s else ""

    def _join(self, seen: Seen, registry: Registry, now: float) -> None:
        row = registry.replicas.get(seen.instance)
        self._hold_s = now + HOLD_S * (0.5 + random.random())
        if row is not None:
            rest_s = HOLD_S * 2.0 ** max(0, row.outs - 1) - row.age_s
            if rest_s > 0:
                self.at.why = f"it was taken out of service and waits {rest_s:.0f} s longer"
                return
        lag_s = self._all.lag.of(seen.lsn, now)
        if not self._all.lag.marks or lag_s > self._all.settings.replica_wait_s / 2:
            self.at.why = f"it is {lag_s:.1f} s behind"
            return
        view = self._all.current.view
        if view.mark is None or not self._shows(view.epoch, view.mark):
            self.at.why = _ANOTHER_HISTORY
            return
        with self._on_classic() as link:
            unable = join(link.conn, seen.instance, self.at.name, by=self._by)
        self._refused = min(self._refused + 1, 6) if unable else 0
        if unable:
            self._hold_s = now + min(LONGEST_HOLD_S, HOLD_S * 2.0**self._refused) * (0.5 + random.random() / 2)
            self._reached()  # this one may be among them: a restored classic does not know it
        self.at.why = f"these processes could not wait for it: {', '.join(unable)}" if unable else "it joins"
        self._all.current.refresh()

    def _serve(self, seen: Seen, registry: Registry, epoch: int) -> None:
        if registry.confirmed < epoch:
            self._all.current.refresh()  # reads confirmations
            return
        mark = self._all.current.view.marks.get(epoch)
        with self._on_classic() as link:
            position = Position.of(link.ask(sql.written(self.at.aurora)))
            if position is None or position.writer != registry.writer:
                return
            shown = mark is not None and self._shows(epoch, mark)
            again = self._ask()  # after the mark was shown: within one instance replay only goes forward
            if not shown:
                self.at.why = _ANOTHER_HISTORY
                return
            if again.instance != seen.instance or not again.in_recovery:
                return
            while again.lsn < position.lsn:
                if self._stop.wait(FAST_S) or self._all.registry.replicas.get(seen.instance) is None:
                    return
                row_now = self._all.registry.replicas[seen.instance]
                if (row_now.level, row_now.epoch) != (Level.JOINING, epoch):
                    return
                again = self._ask()
                if again.instance != seen.instance or not again.in_recovery:
                    return
            if serve(link.conn, seen.instance, self.at.name, epoch=epoch, by=self._by):
                self._listener.on_event(ReplicaServes(self.at.name))
        self._all.current.refresh()

    def _shows(self, epoch: int, mark: str) -> bool:
        """Return whether the replica has replayed this very history up to *epoch*: marks never come again."""
        link = self._link
        assert link is not None
        return link.own(sql.MARK_OF.format(epoch=epoch)) == [mark]

    def _take_out(self, instance: str, reason: str) -> None:
        row = self._all.registry.replicas.get(instance)
        if row is None or row.level is Level.OUT or not self._all.supported:
            return
        with self._on_classic() as link:
            take_out(link.conn, instance, self.at.name, by=self._by, reason=reason)
        self._listener.on_event(ReplicaTakenOut(self.at.name, reason))
        self._all.current.refresh()

    @property
    def _by(self) -> str:
        return f"{self._who} ({self._process_id})"

    def _on_classic(self) -> _Lent:
        return _Lent(self._classic)

    def _rest(self) -> None:
        everything = self._all
        row = everything.registry.replicas.get(self.at.instance or "")
        pause_s = CALM_S * (0.75 + 0.5 * random.random())
        if self._link is not None and everything.waiting:
            pause_s = max(FAST_S, everything.current.pace.fleet / LOOKS_PER_S)
        elif self._link is not None and row is not None and row.level is Level.JOINING:
            pause_s = JOINS_S
        if pause_s <= JOINS_S:
            self._stop.wait(pause_s)
            return
        with everything.asked:  # a write that begins to wait, and every change of the registry, end the rest
            if not everything.waiting and not self._stop.is_set():
                everything.asked.wait(pause_s)


class _Lent:
    """A connection to classic for one piece of work."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __enter__(self) -> Link:
        self._link = self._pool.take(PING)
        return self._link

    def __exit__(self, *_: object) -> None:
        self._pool.give(self._link)


def read_registry(everything: Replicas, link: Link, old: View, view: View) -> None:
    """Read what is in service, on the watcher's connection, between its reading of the routes and their installation.

    So that the epoch that is confirmed next covers this as well.
    """
    if not everything.supported:
        return
    asked_s = everything.current.now_s()
    before = everything.registry
    same = old.epoch < 0 or view.knows(old.epoch, old.mark or "")
    try:
        row = link.conn.execute(
            sql.replicas(everything.aurora),
            {"confirmed": before.asks or not same, "epoch": view.epoch, "mark": view.mark},
        ).fetchone()
    except psycopg.errors.UndefinedTable:
        everything.supported = False  # classic was restored to before an upgrade of its tables
        return
    assert row is not None
    registry = Registry.of(row, before, same_history=same)
    if row[1] is not None:
        everything.lag.wrote(asked_s, int(row[1]))
    everything.install(registry)


def supported(everything: Replicas, link: Link) -> bool:
    """Return whether classic's control tables know replicas, this role may write them, and positions can be asked."""
    try:
        found = link.conn.execute(sql.SUPPORTED).fetchone()
        aurora = link.conn.execute(sql.FIND_AURORA).fetchone()
        everything.aurora = aurora is not None and bool(aurora[0])
        link.conn.execute(sql.written(everything.aurora))
    except psycopg.Error:
        if link.conn.closed:
            raise
        return False
    return found is not None and bool(found[0])

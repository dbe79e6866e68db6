"""Lets an acknowledged write wait until every replica in service has replayed it.

The wait is bounded. Past the bound the replicas that are behind are taken out of service for every process, and the
write returns once all of them have applied that: the same as with a mirror that does not follow (write.py).
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Sequence

import psycopg

from migrator.errors import ClusterUnavailable
from migrator.shim import replica_sql as sql
from migrator.shim.listener import Listener, ReplicaTakenOut
from migrator.shim.pool import PING, Pool
from migrator.shim.replica_change import Level, take_out
from migrator.shim.replica_pool import Replicas
from migrator.shim.replicas import Position, Replica
from migrator.shim.steps import got


class ReplayWait:
    """Of the writes of one process. Its steps are those of both fronts (steps.py)."""

    def __init__(self, everything: Replicas, classic: Pool, listener: Listener, who: str) -> None:
        self._all = everything
        self._classic = classic
        self._listener = listener
        self._who = who
        self._taking = threading.Lock()

    @property
    def after_commit(self) -> str:
        """What to ask in the message that commits: where the writer is behind it; empty without replicas."""
        return sql.written(self._all.aurora) if self._all.supported else ""

    async def wait(self, position: Position | None, final_s: float) -> bool:
        """Return whether every read of a replica that starts now sees what was committed at *position*.

        Args:
            position: None when it is not known: classic is asked, which is late enough.
            final_s: when to give up.
        """
        if not self._all.supported or self._all.current.settled:
            return True
        if position is None:
            position = await got(self._ask())
            if position is None:
                return False
        if self._seen_by_all(position):
            return True
        started_s = self._all.current.now_s()
        bound_s = started_s + self._all.settings.replica_wait_s
        with self._all.changed:
            self._all.waiting += 1
        self._all.wake()
        try:
            while not await got(self._until(lambda: self._seen_by_all(position), min(bound_s, final_s))):
                now = self._all.current.now_s()
                if now >= final_s:
                    return False
                if now >= bound_s:
                    bound_s = now + 0.05  # then: until it is confirmed, or another one is behind
                    if self._all.current.view.valid(now):
                        await got(self._take_out(position, now - started_s))
                    self._all.current.refresh()  # reads confirmations
        finally:
            with self._all.changed:
                self._all.waiting -= 1
        return True

    def _seen_by_all(self, position: Position) -> bool:
        valid = self._all.current.view.valid(self._all.current.now_s())
        return valid and not self._all.registry.behind(position, self._all.replayed)

    # -- these block, and are others with asyncio

    def _until(self, satisfied: Callable[[], bool], at_s: float) -> bool | Awaitable[bool]:
        with self._all.changed:
            return self._all.changed.wait_for(satisfied, max(0.001, at_s - self._all.current.now_s()))

    def _ask(self) -> Position | Awaitable[Position | None] | None:
        return self.ask_now()

    def _take_out(self, position: Position, waited_s: float) -> Awaitable[None] | None:
        self.take_out_now(position, waited_s)
        return None

    def ask_now(self) -> Position | None:
        """Return where the writer is; None when it does not say. Blocks."""
        try:
            link = self._classic.take(PING)
            try:
                return Position.of(link.ask(sql.written(self._all.aurora)))
            finally:
                self._classic.give(link)
        except (ClusterUnavailable, psycopg.Error):
            return None

    def _to_take_out(self, position: Position) -> Sequence[Replica]:
        """Return the replicas that keep a write waiting. None: only confirmations are waited for."""
        return [r for r in self._all.registry.behind(position, self._all.replayed) if r.level is not Level.OUT]

    def take_out_now(self, position: Position, waited_s: float) -> None:
        """Take the replicas that are behind *position* out of service. Blocks."""
        with self._taking:  # one thread of this process at a time; the next one finds the work done
            behind = self._to_take_out(position)
            if not behind:
                return
            try:
                link = self._classic.take(PING)
            except ClusterUnavailable:
                return  # tried again until the final bound
            try:
                for replica in behind:
                    self._one(link.conn, replica, position, waited_s)
            except psycopg.Error:
                return
            finally:
                self._classic.give(link)

    def _one(self, conn: psycopg.Connection[object], replica: Replica, position: Position, waited_s: float) -> None:
        reason = f"it did not replay a write within {self._all.settings.replica_wait_s:g} s"
        if replica.writer != position.writer:
            reason = "the writer was restarted, replaced or restored"
        take_out(conn, replica.instance, replica.name, by=self._who, reason=reason)
        self._listener.on_event(ReplicaTakenOut(replica.name, f"{reason} (waited {waited_s:.2f} s)"))

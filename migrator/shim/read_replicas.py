"""The read replicas of a process in one place: registered, watched, lent, waited for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from migrator.model.side import Side
from migrator.shim import replica_sql as sql
from migrator.shim.current_view import CurrentView
from migrator.shim.link import Link, OwnCursor
from migrator.shim.listener import Listener
from migrator.shim.metrics import Metrics
from migrator.shim.pool import PING, ConnectionInfo, Lender, Pool
from migrator.shim.replica_lender import ReadLender
from migrator.shim.replica_pool import Replicas, endpoint
from migrator.shim.replica_wait import ReplayWait
from migrator.shim.replica_watch import ReplicaWatch, read_registry, supported
from migrator.shim.settings import Settings
from migrator.shim.token import SessionToken
from migrator.shim.view import View


class ReadReplicas:
    """Of one shim. Made before its process is registered, or it counts as one that knows no replicas."""

    def __init__(
        self,
        dsns: Sequence[ConnectionInfo],
        current: CurrentView,
        settings: Settings,
        metrics: Metrics,
        classic: Pool,
        listener: Listener,
        process_id: str,
        who: str,
        app: str,
        pool_size: int,
    ) -> None:
        endpoints = [
            endpoint(dsn, app, pool_size, settings.replica_answer_s, f"reader {number}")
            for number, dsn in enumerate(dsns, 1)
        ]
        self.all = Replicas(endpoints, current, settings, metrics)
        self.wait = ReplayWait(self.all, classic, listener, f"{who} ({process_id})")
        self.lends_by: type[ReadLender] = ReadLender  # another one with asyncio
        self._classic = classic
        self._process_id = process_id
        self._watches = [
            ReplicaWatch(at, self.all, classic, process_id, who, listener, self._reached) for at in endpoints
        ]

    def enter(self, link: Link) -> None:
        """Say that this process waits for replicas, before it is registered."""
        self.all.supported = supported(self.all, link)
        if self.all.supported:
            self._reach(link, [])

    def start(self) -> None:
        for watch in self._watches:
            watch.start()

    def read(self, link: Link, old: View, view: View) -> None:
        """Read the registry with the routes; see watcher.Watcher."""
        read_registry(self.all, link, old, view)

    def over(
        self, pools: Callable[[Side], Lender], after: SessionToken | None, only_writer: bool
    ) -> Callable[[Side], Lender]:
        """Return *pools* with replicas in the place of classic's writer, for one read."""
        if not self.all.on:
            return pools

        def lender(side: Side) -> Lender:
            if side is not Side.CLASSIC:
                return pools(side)
            return self.lends_by(self.all, pools(side), 0 if after is None else after.lsn, only_writer)

        return lender

    def kill_overdue(self, at_s: float) -> None:
        """End connections of replicas that neither answer nor close."""
        self.all.kill_overdue(at_s)
        for watch in self._watches:
            watch.kill_if_silent(at_s)

    def close(self) -> None:
        """Stop watching, and take this process off the register of those that wait."""
        for watch in self._watches:
            watch.close()

    def _reached(self) -> None:
        """Say which replicas this process can wait for."""
        if not self.all.supported:
            return
        link = self._classic.take(PING)
        try:
            self._reach(link, [at.instance for at in self.all.endpoints if at.instance is not None])
        finally:
            self._classic.give(link)

    def _reach(self, link: Link, instances: Sequence[str]) -> None:
        OwnCursor(link.conn).execute(sql.REACH, {"process_id": self._process_id, "instances": list(instances)})

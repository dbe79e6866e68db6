"""Waits until every later read sees a committed write, on whichever side and replica it is answered.

The wait is bounded. Past the bound the partitions that are behind fall back to classic for every process, and the
write returns once all of them have applied that.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence

import psycopg

from migrator.errors import ClusterUnavailable, MigratorError
from migrator.model.route import FallbackScope
from migrator.model.tenant import TenantId
from migrator.shim.current_view import CurrentView
from migrator.shim.fallback import raise_fallback
from migrator.shim.hand_over import wait_until_known
from migrator.shim.listener import FallbackRaised, Listener
from migrator.shim.pool import PING, Pool
from migrator.shim.replica_wait import ReplayWait
from migrator.shim.replicas import Position
from migrator.shim.settings import Settings
from migrator.shim.steps import got
from migrator.shim.token import ON_LIMITLESS, Token
from migrator.shim.view import ALL_PARTS, View

DOUBT_S = 2.0
"""How much longer a write waits when its partitions are unknown: partitions without work publish once a second."""


class CommittedUnconfirmed(MigratorError):
    """A write is committed, but a reader may not see it yet. xid: 0 for a write on Limitless."""

    def __init__(self, tenant_id: str, xid: int, waited_s: float) -> None:
        if xid == ON_LIMITLESS.xid:
            super().__init__(
                f"write of tenant {tenant_id} is committed on limitless; after {waited_s:.1f} s not every process has "
                "confirmed that the migration is over, so a read in another one may still go to classic and miss it",
                hint="Do not write again. A process of an earlier plan may have a larger shim.staleness_s, in seconds.",
            )
        else:
            super().__init__(
                f"write of tenant {tenant_id} (transaction {xid}) is committed; after {waited_s:.1f} s neither the "
                "mirror nor a fallback is confirmed, so a read may still miss it",
                hint="Do not write again. Read it from classic, or wait until classic's control tables can be reached.",
            )
        self.tenant_id = tenant_id
        self.xid = xid


class Acknowledgement:
    """Waits for the mirror, and raises a fallback for partitions that do not follow in time.

    Its steps are those of both fronts (steps.py); `_until` and `_fall_back` block, and are others with asyncio.
    """

    def __init__(
        self,
        board: CurrentView,
        classic: Pool,
        listener: Listener,
        settings: Settings,
        who: str,
        replay: ReplayWait | None = None,
    ) -> None:
        self.replay = replay
        self._current = board
        self._classic = classic
        self._listener = listener
        self._settings = settings
        self._who = who
        self._raising = threading.Lock()

    async def wait_replicas(self, tenant_id: TenantId, xid: int, position: Position | None) -> None:
        """Return when every read of a replica that starts now sees the write; mirrors go on meanwhile.

        Raises:
            CommittedUnconfirmed: as `wait`.
        """
        if self.replay is None:
            return
        started_s = self._current.now_s()
        final_s = started_s + self._settings.replica_wait_s + self._settings.registered_s + 5.0
        if not await self.replay.wait(position, final_s):
            raise CommittedUnconfirmed(tenant_id, xid, self._current.now_s() - started_s)

    async def wait(self, tenant_id: TenantId, token: Token) -> None:
        """Return when every read of Limitless that starts now sees the write.

        Raises:
            CommittedUnconfirmed: neither was confirmed in time; the write is committed nevertheless.
        """
        if seen_by_all(self._current.view, token, self._current.now_s()):
            return
        started_s = self._current.now_s()
        bound_s = started_s + self._settings.ack_wait_s + (DOUBT_S if token.parts == ALL_PARTS else 0.0)
        # Confirming a fallback takes at most the staleness limit; past this something else is wrong.
        final_s = bound_s + self._settings.registered_s + 2 * self._settings.poll_s + 5.0
        with self._current.attention():
            while not await got(
                self._until(
                    lambda view: seen_by_all(view, token, self._current.now_s()),
                    max(0.001, min(bound_s, final_s) - self._current.now_s()),
                )
            ):
                now = self._current.now_s()
                view = self._current.view
                if now >= final_s:
                    raise CommittedUnconfirmed(tenant_id, token.xid, now - started_s)
                if now >= bound_s:
                    bound_s = now + 0.25  # try again: another partition may need it, or the first try failed
                    if view.valid(now):
                        await got(self._fall_back(token, now - started_s))

    async def wait_hand_over(self, tenant_id: TenantId) -> None:
        """Return when every read that starts now goes to Limitless, where the write was committed.

        Raises:
            CommittedUnconfirmed: as `wait`.
        """
        waited_s = await wait_until_known(self._current, self._settings, self._until)
        if waited_s is not None:
            raise CommittedUnconfirmed(tenant_id, ON_LIMITLESS.xid, waited_s)

    def _until(self, satisfied: Callable[[View], bool], timeout_s: float) -> bool | Awaitable[bool]:
        """Return whether *satisfied* held for the current view before the time ran out; in the way of its front."""
        return self._current.wait_until(satisfied, timeout_s)

    def _fall_back(self, token: Token, waited_s: float) -> Awaitable[None] | None:
        """Raise a fallback for the partitions that are behind and that some process may read under today's routes."""
        self.fall_back_now(token, waited_s)
        return None

    def behind(self, token: Token) -> Sequence[int]:
        """Return the partitions to fall back. None: only older views of other processes are waited for, which end by
        their staleness limit."""
        return self._current.view.behind_now(token.xid, token.parts)

    def fall_back_now(self, token: Token, waited_s: float) -> None:
        """Raise it, and have it read. Blocks."""
        with self._raising:  # one thread of this process at a time; the next one finds the work done
            behind = self.behind(token)
            if not behind:
                return
            reason = f"the mirror did not follow a write within {self._settings.ack_wait_s:g} s"
            try:
                for part, epoch in self._raised(behind, reason):
                    self._listener.on_event(FallbackRaised(part, epoch, waited_s))
            except (ClusterUnavailable, psycopg.Error):
                return  # tried again until the final bound
            self._current.refresh()
            self._current.wait_until(lambda view: view.epoch >= epoch, self._settings.poll_s)

    def _raised(self, parts: Sequence[int], reason: str) -> Iterator[tuple[int, int]]:
        """Raise a fallback for each of *parts* on classic; yield the part and the epoch to confirm."""
        link = self._classic.take(PING)
        try:
            for part in parts:
                yield part, raise_fallback(link.conn, FallbackScope.PART, str(part), by=self._who, reason=reason)
        finally:
            self._classic.give(link)


def seen_by_all(view: View, token: Token, at_s: float) -> bool:
    """Return whether every read that starts from now on, in any process, sees the write."""
    if not view.knows(token.epoch, token.mark):
        return False  # its transaction's epoch is one that this process has not read yet, or none
    if not view.behind(token.xid, token.parts):
        return True  # a fact about Limitless, true whatever the routes are
    if not view.valid(at_s):
        return False
    return not view.behind(token.xid, view.must_cover(token.parts))

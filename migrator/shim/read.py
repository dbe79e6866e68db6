"""A read of one tenant: chooses its side, and checks on leaving that its answer may be used and whose errors it had.

`ReadSteps` is the read of both fronts (steps.py); `Read` is that of threads, AsyncRead (aio/) that of asyncio.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from migrator.errors import ClusterUnavailable, NotInstalled, ReadStale, UsageError
from migrator.model.route import Level, WriteMode
from migrator.model.side import Side
from migrator.model.sqlstate import (
    CANCELED,
    FOLLOWS,
    counts_for_breaker,
    ended_by_caller,
    fault_of,
    is_lost_in_a_read,
    made_by_a_read,
)
from migrator.model.tenant import TenantId
from migrator.shim import statements as st
from migrator.shim.breakers import Breakers, Ticket
from migrator.shim.current_view import CurrentView
from migrator.shim.doubt import Doubt, Doubts
from migrator.shim.inflight import Flight, Inflight
from migrator.shim.link import BaseLink
from migrator.shim.metrics import LOST, Metrics
from migrator.shim.pool import Lender, silent
from migrator.shim.replica_lender import ReadsBounded
from migrator.shim.routing import Choice, choose, moved
from migrator.shim.settings import Settings
from migrator.shim.steps import Block, Blocking, got
from migrator.shim.token import SessionToken


@functools.cache
def begin_on_limitless(read_timeout_s: float) -> str:
    """Return what starts a bounded read: one round trip, nothing outlives the transaction."""
    statement = sql.SQL("BEGIN READ ONLY; SET LOCAL statement_timeout = {}").format(
        sql.Literal(max(1, round(read_timeout_s * 1000)))
    )
    return statement.as_string(None)


NO_STATES: frozenset[str] = frozenset()

GRACE_S = 1.0
"""A server that runs into its own statement timeout needs a moment to report it."""


class ReadSteps(Block):
    """What a read does, in order.

    Attributes:
        connection: a psycopg connection inside a read-only transaction.
        side: where it reads.
        failed: after leaving, whether the cluster (not the caller) was at fault.
        doubt: after leaving, errors of the server that may be the caller's or the cluster's.
        lost: after leaving, whether the side was unreachable, or the connection was lost.
        at_replica: after leaving, whether a read replica gave something that must be thrown away.
    """

    connection: Any

    def __init__(
        self,
        tenant_id: TenantId,
        board: CurrentView,
        pools: Callable[[Side], Lender],
        breakers: Breakers,
        inflight: Inflight,
        metrics: Metrics,
        settings: Settings,
        doubts: Doubts,
        *,
        after: SessionToken | None = None,
        only_classic: bool = False,
        judged_later: bool = False,
    ) -> None:
        self.tenant_id = tenant_id
        self.side = Side.CLASSIC
        self.failed = False
        self.doubt: Doubt | None = None
        self.lost = False
        self.at_replica = False
        self._current = board
        self._pools = pools
        self._breakers = breakers
        self._inflight = inflight
        self._metrics = metrics
        self._settings = settings
        self._doubts = doubts
        self._after = after
        self._only_classic = only_classic
        self._judged_later = judged_later  # by `judge`, when classic has been asked
        self._flight: Flight | None = None  # set while on Limitless by route
        self._ticket: Ticket | None = None
        self._link: BaseLink | None = None
        self._lender: Lender | None = None
        self._started_s = 0.0
        self._ended_s = 0.0
        self._said = NO_STATES  # SQLSTATEs of the server's errors, whoever is to blame

    async def enter(self) -> None:
        """Choose the side and begin there."""
        self._started_s = self._current.now_s()
        try:
            await self._begin()
        except ClusterUnavailable:
            self._metrics.unanswered(self.side)
            raise

    async def _begin(self) -> None:
        if self._after is not None and self._after.writes:
            await self._wait_for(self._after)
        if self._current.settled:
            self.side = Side.LIMITLESS
            await self._take()
        elif self._only_classic or not await self._try_limitless():
            try:
                await self._take_classic()
            except ReadsBounded:
                # Classic cannot carry it. Where only this process' breaker is in the way, a slow answer is better.
                if self._only_classic or not await self._try_limitless(in_spite_of_breakers=True):
                    raise
                self.failed = self.lost = False

    async def _wait_for(self, wanted: SessionToken) -> None:
        """Wait for what may make Limitless answer, within the settings' bound; learn of the hand-over first.

        Raises:
            ReadStale: a write was made on Limitless, and this process cannot find out that the migration is over.
        """
        current, settings = self._current, self._settings
        if current.settled:
            return
        if wanted.on_limitless:
            asked_s = current.now_s()
            current.refresh()
            with current.attention():
                await got(
                    self._until(
                        lambda view: view.settled or view.valid_until_s >= asked_s + settings.staleness_s,
                        settings.staleness_s,
                    )
                )
            if not current.settled:
                raise ReadStale(
                    "the session token names a write on limitless, and to this process's knowledge classic takes them",
                    hint="Read again when classic's control tables can be reached; the token may be of another system.",
                )
        elif settings.session_wait_s > 0 and not self._only_classic:
            view = current.view
            route = view.routes.get(self.tenant_id)
            if route is not None and view.level(self.tenant_id) is Level.LIMITLESS and wanted.missing(view, route.part):
                with current.attention():
                    await got(self._until(lambda view: not wanted.missing(view, route.part), settings.session_wait_s))

    async def _try_limitless(self, *, in_spite_of_breakers: bool = False) -> bool:
        """Go to Limitless when route and breakers allow it and it accepts the connection; return whether it did."""
        if not moved(self._current.view, self.tenant_id):
            return False
        flight = Flight(self.tenant_id)
        self._inflight.begin(flight)  # before looking at the routes; see Inflight
        try:
            choice, ticket = self._choose(flight)
            if choice.part is None and choice.side is Side.LIMITLESS:
                self.side = Side.LIMITLESS  # settled just now
                await self._take()
                return True
            if ticket is None and (choice.part is None or not in_spite_of_breakers):
                return False
            self.side = Side.LIMITLESS
            try:
                await self._take()
            except (ClusterUnavailable, psycopg.Error):
                # Nothing ran yet, so classic can answer; the breaker counts it.
                self._ended_s = self._current.now_s()
                self._tell(ticket, failed=True)
                self.failed = self.lost = False
                self._started_s = self._current.now_s()
                return False
            except BaseException as error:
                if silent(error):  # else a server that does not answer would never be found out by callers in a hurry
                    self._ended_s = self._current.now_s()
                    self._tell(ticket, failed=True)
                raise
            self._flight, self._ticket = flight, ticket
            return True
        finally:
            if self._flight is None:
                self._inflight.end(flight)

    def _choose(self, flight: Flight) -> tuple[Choice, Ticket | None]:
        view = self._current.view
        flight.lease = view.lease
        choice = choose(view, self.tenant_id, self._current.now_s(), random.random(), self._after)
        if choice.side is Side.CLASSIC or choice.part is None:
            return choice, None
        return choice, self._breakers.admit(self.tenant_id, choice.part)

    async def _take_classic(self) -> None:
        """Begin on classic, unless it is not read any more: once routes have run out, classic itself is asked."""
        view = self._current.view  # one, as routes may be renewed meanwhile, by which the migration is over
        if not view.settled:
            self.side = Side.CLASSIC
            if view.valid(self._current.now_s()):
                await self._take()
                return
            if await self._take(st.ASK_AND_BEGIN_READ) is not WriteMode.LIMITLESS_ONLY:
                return
            await self._give_back()
            self._current.settle()
            self._current.refresh()
        self.side = Side.LIMITLESS
        await self._take()

    async def _give_back(self) -> None:
        assert self._link is not None and self._lender is not None
        link, self._link = self._link, None
        try:
            with suppress(psycopg.Error):  # nothing was read; the pool closes it
                await got(link.finish("ROLLBACK"))
        finally:
            self._lender.give(link)

    async def _take(self, on_classic: str = st.BEGIN_READ) -> WriteMode | None:
        """Begin on the side; return the write mode when *on_classic* asks for it."""
        limitless = self.side is Side.LIMITLESS
        begin = begin_on_limitless(self._settings.read_timeout_s) if limitless else on_classic
        try:
            self._lender = self._pools(self.side)
            self._link = await got(
                self._lender.take(begin, silent_s=self._settings.read_timeout_s + GRACE_S if limitless else None)
            )
        except ClusterUnavailable:
            self.failed = self.lost = True
            raise
        self.connection = self._link.conn
        if begin != st.ASK_AND_BEGIN_READ:
            return None
        if not self._link.said:
            await self._give_back()
            raise NotInstalled("the control schema on classic is not complete")
        return WriteMode(self._link.said[0] or "")

    async def leave(self, error: BaseException | None) -> None:
        """End the read that *error* ended, None when nothing did."""
        link, flight, lender = self._link, self._flight, self._lender
        assert link is not None and lender is not None
        self._link = self._flight = None
        link.withdraw()
        self._ended_s = self._current.now_s()
        if flight is not None:
            self._inflight.end(flight)
        self.doubt = self._doubt_of(link)
        interrupted: BaseException | None = None
        try:
            healthy = await self._end(link, error)
        except BaseException as raised:  # the task was cancelled: nothing more is known of the connection
            healthy, error, interrupted = False, raised, raised
        lost = link.closed and not _left_idle(link)  # asked before the pool may close it
        again = lender.ended(link, self.states, lost=lost or self.lost)
        lender.give(link, discard=not healthy)
        self._note(link, lost)
        stale = flight is not None and self._stale(flight) and (error is None or isinstance(error, Exception))
        if stale:
            self.doubt = None  # the answer is discarded, and so are its errors
        if not self.in_doubt or self.doubt is None:
            self._tell(self._ticket, failed=self.failed or lost)
        elif not self._judged_later or not (error is None or isinstance(error, Exception)):
            self.judge(self._doubts.suspects(self.tenant_id, self.doubt))
        if interrupted is not None:
            raise interrupted
        if again is not None and (error is None or isinstance(error, Exception)):
            self.at_replica = True
            raise ReadStale(
                f"what tenant {self.tenant_id} read must be thrown away: {again}",
                hint="Read again; run_read does so by itself.",
            ) from error
        if stale:
            raise ReadStale(
                f"the route of tenant {self.tenant_id} changed or went stale while it was read from limitless",
                hint="Read again; run_read does so by itself.",
            ) from error

    @property
    def in_doubt(self) -> bool:
        """Whether `judge` has to be called: the read went to Limitless by its route, and errors were in it."""
        return self.doubt is not None and self._ticket is not None

    @property
    def states(self) -> frozenset[str]:
        """The SQLSTATEs of the errors in doubt."""
        return NO_STATES if self.doubt is None else self.doubt.states

    def judge(self, against_limitless: bool) -> None:
        """Count a read whose errors were in doubt in breakers and samples. *doubt* stays set."""
        self.failed = against_limitless
        self._tell(self._ticket, failed=against_limitless)

    def _doubt_of(self, link: BaseLink) -> Doubt | None:
        """Note whether the connection was lost; return the errors that classic must be asked about."""
        refused = link.conn.refused
        states = frozenset(state for state, _ in refused if state != FOLLOWS) if refused else NO_STATES
        self._said = states
        self.failed = self.lost = (link.closed and not _left_idle(link)) or any(map(is_lost_in_a_read, states))
        if self.failed:
            return None
        if CANCELED in states and link.conn.canceled:
            states -= {CANCELED}
            if not states:
                return None  # what the application canceled by itself is not asked for again
        if not states:
            broken = link.status is TransactionStatus.INERROR
            return Doubt(frozenset({FOLLOWS})) if broken else None  # something failed past every cursor
        return Doubt(states, refused[0][1], cut_short=link.conn.cut_s < self._settings.read_timeout_s)

    def _note(self, link: BaseLink, lost: bool) -> None:
        """Count the read in the error rates; on classic some errors are clear without asking."""
        if not (lost or self._only_classic or self._current.settled):
            self._doubts.ended(self.tenant_id, self.side, self.states)
        if self.doubt is not None and self.side is Side.CLASSIC and not self.failed:
            self.failed = any(
                counts_for_breaker(fault_of(state)) and not made_by_a_read(state) for state in self.states
            )

    async def _end(self, link: BaseLink, error: BaseException | None) -> bool:
        """End the transaction; return whether the connection may be used again."""
        if link.closed:
            return False
        try:
            link.check()
            if error is None:
                await got(link.leave("COMMIT"))
            else:
                await got(link.finish("ROLLBACK"))
        except (psycopg.Error, UsageError):
            return False  # the answers were already read; only the connection is lost
        # Builds of Limitless before 16.9.100 refuse writes on a connection after rolling back a READ ONLY transaction.
        return error is None or self.side is Side.CLASSIC

    def _tell(self, ticket: Ticket | None, *, failed: bool) -> None:
        ms = (self._ended_s - self._started_s) * 1000
        if ticket is not None:
            self._breakers.record(ticket, not failed, ms)
        self._metrics.read(
            self.tenant_id, self.side, ms, failed=failed, watched=self.tenant_id in self._current.view.watched,
            state_class=self._state_class if failed else LOST,
        )  # fmt: skip

    @property
    def _state_class(self) -> str:
        """The class of the SQLSTATE that a failed read is counted by: of the error that speaks against the server."""
        states = sorted(self._said or self.states)
        against = [s for s in states if counts_for_breaker(fault_of(s)) and not made_by_a_read(s)]
        return next(iter(against or states), LOST)[:2]

    def _stale(self, flight: Flight) -> bool:
        view = self._current.view
        if self._current.settled:
            return False
        return flight.lowered or view.lease != flight.lease or not view.valid(self._current.now_s())


def _left_idle(link: BaseLink) -> bool:
    """Return whether the server closed the connection because the application let its block wait."""
    return ended_by_caller({state for state, _ in link.conn.refused})


class Read(Blocking, ReadSteps):
    """Reads of one tenant, on one side. Use it as a context manager; see ReadSteps for its attributes."""

    connection: psycopg.Connection[Any]

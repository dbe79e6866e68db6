"""A write of one tenant: commits on classic, and is acknowledged by its level (migrator.model.ack).

By level `everywhere` every later read of the touched rows from Limitless must see the write, so after its commit on
classic it waits until the published positions of those partitions cover its transaction. Whether it must wait is
decided *after* the COMMIT, under routes that are valid at that moment: deciding before would miss a tenant that began
to move in between.

The wait is bounded. Past the bound the partitions that are behind fall back to classic for every process, and the
write returns once all of them have applied that.

After the hand-over a write commits on Limitless, and waits until no process reads classic any more (hand_over.py).

By level `session` it does not wait: its token says which reads must see it. By level `none` it does not even ask for a
token, so COMMIT goes at once; the answer to a COMMIT that was lost can then not be looked up by number.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.pq import TransactionStatus

from migrator.errors import ClusterUnavailable, CommitUnknown, MigratorError, UsageError, WritesClosed
from migrator.model.ack import Ack
from migrator.model.route import FallbackScope, WriteMode
from migrator.model.side import Side
from migrator.model.tenant import TenantId
from migrator.shim import statements as st
from migrator.shim.chain import Chain as Chain
from migrator.shim.chain import Wrote
from migrator.shim.current_view import CurrentView
from migrator.shim.fallback import raise_fallback
from migrator.shim.hand_over import wait_until_known
from migrator.shim.link import Link
from migrator.shim.listener import FallbackRaised, Listener
from migrator.shim.marks import Identity, Marks, identity, touched
from migrator.shim.pool import PING, Lender, Pool
from migrator.shim.replica_wait import ReplayWait
from migrator.shim.replicas import Position
from migrator.shim.settings import Settings
from migrator.shim.token import ON_LIMITLESS, SessionToken, Token
from migrator.shim.view import ALL_PARTS, View

DOUBT_S = 2.0
"""How much longer a write waits when its partitions are unknown: partitions without work publish once a second."""

_marks = itertools.count(1)

WRITES_ARE_CLOSED = "MG001"
"""SQLSTATE raised by capture on classic while writes are closed."""


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
    """Waits for the mirror, and raises a fallback for partitions that do not follow in time."""

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

    def wait_replicas(self, tenant_id: TenantId, xid: int, position: Position | None) -> None:
        """Return when every read of a replica that starts now sees the write; mirrors go on meanwhile.

        Raises:
            CommittedUnconfirmed: as `wait`.
        """
        if self.replay is None:
            return
        started_s = self._current.now_s()
        final_s = started_s + self._settings.replica_wait_s + self._settings.registered_s + 5.0
        if not self.replay.wait(position, final_s):
            raise CommittedUnconfirmed(tenant_id, xid, self._current.now_s() - started_s)

    def wait(self, tenant_id: TenantId, token: Token) -> None:
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
            while not self._current.wait_until(
                lambda view: seen_by_all(view, token, self._current.now_s()),
                max(0.001, min(bound_s, final_s) - self._current.now_s()),
            ):
                now = self._current.now_s()
                view = self._current.view
                if now >= final_s:
                    raise CommittedUnconfirmed(tenant_id, token.xid, now - started_s)
                if now >= bound_s:
                    bound_s = now + 0.25  # try again: another partition may need it, or the first try failed
                    if view.valid(now):
                        self._fall_back(token, now - started_s)

    def _fall_back(self, token: Token, waited_s: float) -> None:
        """Raise a fallback for the partitions that are behind and that some process may read under today's routes."""
        with self._raising:  # one thread of this process at a time; the next one finds the work done
            behind = self._current.view.behind_now(token.xid, token.parts)
            if not behind:
                return  # only older views of other processes are waited for; they end by their staleness limit
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


class Write:
    """One transaction of one tenant. Use it as a context manager; it commits on leaving.

    Attributes:
        connection: a psycopg connection inside a transaction, the application's for as long as the block lasts.
            Savepoints (`connection.transaction()`) are fine, ending the transaction is not.
        side: where it writes.
        ack: its level of acknowledgement.
        token: after leaving, names the write for `read(after=...)`; None when nothing was written, by level `none`,
            and after the hand-over, except by level `session`.
        committed: whether COMMIT was answered.
        lost: whether the connection broke before COMMIT was sent, so that certainly nothing happened.
    """

    connection: psycopg.Connection[Any]

    def __init__(
        self,
        tenant_id: TenantId,
        board: CurrentView,
        pools: Callable[[Side], Lender],
        ack: Acknowledgement,
        settings: Settings,
        level: Ack = Ack.EVERYWHERE,
        chain: Chain | None = None,
        wrote: Wrote | None = None,
    ) -> None:
        self.tenant_id = tenant_id
        self.side = Side.CLASSIC
        self.ack = level
        self.token: Token | None = None
        self.committed = False
        self.lost = False
        self._current = board
        self._pools = pools
        self._ack = ack
        self._settings = settings
        self._chain = chain
        self._wrote = wrote
        self._link: Link | None = None
        self._position: Position | None = None  # the writer's, behind the commit; for replicas
        self._mark = f"{next(_marks):x}"

    def __enter__(self) -> Self:
        self._wait_until_open()
        self.side = Side.LIMITLESS if self._current.settled else Side.CLASSIC
        begin = st.BEGIN.format(mark=self._mark) if self.side is Side.CLASSIC else "BEGIN READ WRITE"
        self._link = self._pools(self.side).take(begin)
        self.connection = self._link.conn
        return self

    def _wait_until_open(self) -> None:
        started_s = self._current.now_s()
        view = self._current.view
        if _open(view, started_s):
            return
        with self._current.attention():
            if not view.valid(started_s) and not self._current.wait_until(
                lambda v: v.valid(self._current.now_s()) or self._current.settled, self._settings.staleness_s
            ):
                raise ClusterUnavailable(
                    "classic", f"its routes could not be read for {self._settings.staleness_s:g} s"
                )
            rest_s = self._settings.closed_wait_s - (self._current.now_s() - started_s)
            if not self._current.wait_until(lambda v: _open(v, self._current.now_s()), rest_s):
                if not self._current.view.valid(self._current.now_s()):
                    raise ClusterUnavailable("classic", "its routes cannot be read")
                raise WritesClosed(self._current.now_s() - started_s)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        link = self._link
        assert link is not None
        self._link = None
        untouched = link.untouched  # said nothing, so it wrote nothing
        try:
            if error is not None:
                self._roll_back(link)
                if isinstance(error, psycopg.Error) and error.sqlstate == WRITES_ARE_CLOSED:
                    raise WritesClosed(0.0) from error
                return
            self._commit(link)
        finally:
            self._pools(self.side).give(link)
        if not untouched and (self.token is not None or self.side is Side.LIMITLESS or self.ack is Ack.NONE):
            self._acknowledge()

    def _acknowledge(self) -> None:
        """Wait for what the level promises of this write, which is committed; have it counted."""
        started_s, unconfirmed = self._current.now_s(), True
        try:
            self._wait()
            unconfirmed = False
        finally:
            if self._wrote is not None:
                self._wrote(self.ack, (self._current.now_s() - started_s) * 1000, unconfirmed=unconfirmed)

    def _wait(self) -> None:
        if self.ack is not Ack.EVERYWHERE:
            return
        if self.token is not None:
            self._ack.wait_replicas(self.tenant_id, self.token.xid, self._position)
            self._ack.wait(self.tenant_id, self.token)
        else:
            waited_s = wait_until_known(self._current, self._settings)
            if waited_s is not None:
                raise CommittedUnconfirmed(self.tenant_id, ON_LIMITLESS.xid, waited_s)

    def _roll_back(self, link: Link) -> None:
        self.lost = link.closed
        if not self.lost:
            try:
                link.finish("ROLLBACK")
            except psycopg.Error:
                self.lost = True  # the server rolls back by itself

    def _commit(self, link: Link) -> None:
        if link.untouched:
            link.finish("COMMIT")  # which says nothing either
            self.committed = True
            return
        link.check()
        if link.status is TransactionStatus.IDLE:
            raise _ended()
        before = self._chain.token if self._chain is not None else SessionToken()
        if self.side is Side.LIMITLESS:
            self.token = ON_LIMITLESS if self.ack is Ack.SESSION else None
        elif self.ack is not Ack.NONE or not _open(self._current.view, self._current.now_s()):
            # Also when this process was silent meanwhile: the migration may be over, and capture with its refusal gone.
            self.token = self._token(link)
        then = self._then
        try:
            status = self._end(link, then)
        except psycopg.Error as error:
            if link.closed:
                self._chained(SessionToken())  # it may have happened; whether anything came before it is not known
                raise CommitUnknown(self.tenant_id, self.token.xid if self.token else None) from error
            self.token = None
            self._refused(link, error)
            raise  # refused by a constraint: rolled back
        if status != "COMMIT":
            self.token = None
            raise UsageError(
                "an error inside the with-block was swallowed, so PostgreSQL rolled the transaction back",
                hint="Let the error propagate, or run the statement inside connection.transaction().",
            )
        self.committed = True
        if self.ack is Ack.NONE:
            self.token = None
        if then and self.token is not None:
            self._position = Position.of(link.said)
            if self._position is not None:
                self.token = replace(self.token, lsn=self._position.lsn)
        self._chained(before)

    def _chained(self, before: SessionToken) -> None:
        if self._chain is not None and self.token is not None:
            self._chain.add(self.token, before)

    def _end(self, link: Link, then: str) -> str:
        if self.ack is not Ack.NONE or self.side is Side.LIMITLESS:
            return link.finish("COMMIT", then=then) if then else link.finish("COMMIT")
        # Nothing was asked before, so what has to be said goes along.
        return link.finish("COMMIT", first=[statement.format(mark=self._mark) for statement in st.WITH_COMMIT])

    def _refused(self, link: Link, error: psycopg.Error) -> None:
        """Roll back what was refused in the message of COMMIT; raise what it means where *error* does not say so."""
        if link.status is not TransactionStatus.IDLE:
            self._roll_back(link)
        if error.sqlstate == WRITES_ARE_CLOSED:
            raise WritesClosed(0.0) from error
        if self.ack is Ack.NONE and st.ANOTHER in str(error):
            raise _ended() from error

    @property
    def _then(self) -> str:
        """What to ask behind COMMIT: where the writer is, for replicas."""
        replay = self._ack.replay
        return replay.after_commit if replay is not None and self.side is Side.CLASSIC and self.token else ""

    def _marks(self, link: Link) -> Marks:
        if not self._current.asks_briefly:
            return Marks.of(link.ask(st.BEFORE_COMMIT))
        said = link.ask(st.BEFORE_COMMIT_BRIEFLY.format(mark=self._mark))
        return Marks.said(said[0] or "", self._mark)

    def _token(self, link: Link) -> Token | None:
        """Return what names this write; None when it wrote nothing. Rolls back what must not be committed."""
        try:
            marks = self._marks(link)
            known = identity(marks, self._mark)
            parts = touched(marks, known)
            # A transaction before this one may have written: a wait for this number covers that one as well.
            xid = int(link.ask(st.TAKE_XID)[0] or 0) if known is Identity.UNKNOWN else marks.xid
        except psycopg.Error as error:
            self._roll_back(link)
            if error.sqlstate == WRITES_ARE_CLOSED:
                raise WritesClosed(0.0) from error
            if self._current.asks_briefly and st.lacks_before_commit(error):
                self._current.asks_briefly = False
                raise ClusterUnavailable("classic", "it was restored to before an upgrade of its tables") from error
            raise
        if known is Identity.OTHER:
            self._roll_back(link)
            raise _ended()
        if marks.mode in (WriteMode.CLOSED, WriteMode.LIMITLESS_ONLY):
            # This process had not read it yet. Triggers on classic refuse such writes as well.
            self._roll_back(link)
            self._current.refresh()
            raise WritesClosed(0.0)
        if xid is None:
            return None
        return Token(xid, ALL_PARTS if parts is None else parts, marks.epoch, marks.history)


def _ended() -> UsageError:
    return UsageError(
        "the transaction was ended inside the with-block, so its write cannot be acknowledged",
        hint="Do not commit or roll back the connection yourself; use connection.transaction() for savepoints.",
    )


def _open(view: View, at_s: float) -> bool:
    if view.write_mode is WriteMode.LIMITLESS_ONLY:
        return True
    return view.valid(at_s) and view.write_mode is not WriteMode.CLOSED

"""A write of one tenant: commits on classic, and is acknowledged by its level (migrator.model.ack).

`WriteSteps` is the write of both fronts (steps.py); `Write` is the one of threads, AsyncWrite (aio/) that of
asyncio.

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
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from migrator.errors import ClusterUnavailable, CommitUnknown, UsageError, WritesClosed
from migrator.model.ack import Ack
from migrator.model.route import WriteMode
from migrator.model.side import Side
from migrator.model.sqlstate import READ_ONLY
from migrator.model.tenant import TenantId
from migrator.shim import statements as st
from migrator.shim.acknowledge import Acknowledgement, CommittedUnconfirmed
from migrator.shim.chain import Chain as Chain
from migrator.shim.chain import Wrote
from migrator.shim.current_view import CurrentView
from migrator.shim.link import BaseLink
from migrator.shim.marks import Identity, Marks, identity, touched
from migrator.shim.pool import Lender
from migrator.shim.replicas import Position
from migrator.shim.settings import Settings
from migrator.shim.steps import Block, Blocking, got
from migrator.shim.token import ON_LIMITLESS, SessionToken, Token
from migrator.shim.view import ALL_PARTS, View

_marks = itertools.count(1)

WRITES_ARE_CLOSED = "MG001"
"""SQLSTATE raised by capture on classic while writes are closed."""


class WriteSteps(Block):
    """What a write does, in order.

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

    connection: Any

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
        self._link: BaseLink | None = None
        self._position: Position | None = None  # the writer's, behind the commit; for replicas
        self._mark = f"{next(_marks):x}"

    def _interrupted(self, error: BaseException) -> BaseException:
        """Return what is raised when *error* interrupts the wait for the answer to COMMIT."""
        return error

    async def enter(self) -> None:
        """Begin the transaction, once writes are open."""
        await self._wait_until_open()
        self.side = Side.LIMITLESS if self._current.settled else Side.CLASSIC
        begin = st.BEGIN.format(mark=self._mark) if self.side is Side.CLASSIC else "BEGIN READ WRITE"
        try:
            self._link = await got(self._pools(self.side).take(begin))
        except psycopg.errors.FeatureNotSupported:  # a standby begins no transaction that writes
            raise ClusterUnavailable(
                self.side.value, "a server that only reads answers where writes go",
                "It is tried again by itself; a failover is under way, or the connection string names a reader.",
            ) from None  # fmt: skip
        self.connection = self._link.conn

    async def _wait_until_open(self) -> None:
        started_s = self._current.now_s()
        view = self._current.view
        if _open(view, started_s):
            return
        with self._current.attention():
            if not view.valid(started_s) and not await got(
                self._until(
                    lambda v: v.valid(self._current.now_s()) or self._current.settled, self._settings.staleness_s
                )
            ):
                raise ClusterUnavailable(
                    "classic", f"its routes could not be read for {self._settings.staleness_s:g} s"
                )
            rest_s = self._settings.closed_wait_s - (self._current.now_s() - started_s)
            if not await got(self._until(lambda v: _open(v, self._current.now_s()), rest_s)):
                if not self._current.view.valid(self._current.now_s()):
                    raise ClusterUnavailable("classic", "its routes cannot be read")
                raise WritesClosed(self._current.now_s() - started_s)

    async def leave(self, error: BaseException | None) -> None:
        """Commit and have it acknowledged; roll back when *error* ended the block."""
        link = self._link
        assert link is not None
        self._link = None
        untouched = link.untouched  # said nothing, so it wrote nothing
        link.withdraw()
        try:
            if error is not None:
                await self._roll_back(link)
                if isinstance(error, psycopg.Error) and error.sqlstate == WRITES_ARE_CLOSED:
                    raise WritesClosed(0.0) from error
                return
            await self._commit(link)
        finally:
            self._pools(self.side).give(link, discard=_only_reads(link))
        if not untouched and (self.token is not None or self.side is Side.LIMITLESS or self.ack is Ack.NONE):
            await self._acknowledge()

    async def _acknowledge(self) -> None:
        """Wait for what the level promises of this write, which is committed; have it counted."""
        started_s, unconfirmed = self._current.now_s(), True
        try:
            await self._wait()
            unconfirmed = False
        except CommittedUnconfirmed:
            raise
        except Exception as error:  # of the application's listener, or as the shim was closed: it is committed
            waited_s = self._current.now_s() - started_s
            raise CommittedUnconfirmed(self.tenant_id, (self.token or ON_LIMITLESS).xid, waited_s) from error
        finally:
            if self._wrote is not None:
                self._wrote(self.ack, (self._current.now_s() - started_s) * 1000, unconfirmed=unconfirmed)

    async def _wait(self) -> None:
        if self.ack is not Ack.EVERYWHERE:
            return
        if self.token is not None:
            await self._ack.wait_replicas(self.tenant_id, self.token.xid, self._position)
            await self._ack.wait(self.tenant_id, self.token)
        else:
            await self._ack.wait_hand_over(self.tenant_id)

    async def _roll_back(self, link: BaseLink) -> None:
        self.lost = link.closed
        if not self.lost:
            try:
                await got(link.finish("ROLLBACK"))
            except psycopg.Error:
                self.lost = True  # the server rolls back by itself

    async def _commit(self, link: BaseLink) -> None:
        if link.untouched:
            await got(link.finish("COMMIT"))  # which says nothing either
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
            self.token = await self._token(link)
        then = self._then
        try:
            status = await self._end(link, then)
        except psycopg.Error as error:
            if link.closed:
                self._chained(SessionToken())  # it may have happened; whether anything came before it is not known
                raise CommitUnknown(self.tenant_id, self.token.xid if self.token else None) from error
            self.token = None
            await self._refused(link, error)
            raise  # refused by a constraint: rolled back
        except BaseException as error:  # who waits was interrupted, and what became of COMMIT is not known
            self._chained(SessionToken())
            raise self._interrupted(error) from error
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

    async def _end(self, link: BaseLink, then: str) -> str:
        if self.ack is not Ack.NONE or self.side is Side.LIMITLESS:
            return await got(link.finish("COMMIT", then=then) if then else link.finish("COMMIT"))
        # Nothing was asked before, so what has to be said goes along.
        last = [statement.format(mark=self._mark) for statement in st.WITH_COMMIT]
        return await got(link.finish("COMMIT", first=last))

    async def _refused(self, link: BaseLink, error: psycopg.Error) -> None:
        """Roll back what was refused in the message of COMMIT; raise what it means where *error* does not say so."""
        if link.status is not TransactionStatus.IDLE:
            await self._roll_back(link)
        if error.sqlstate == WRITES_ARE_CLOSED:
            raise WritesClosed(0.0) from error
        if self.ack is Ack.NONE and st.ANOTHER in str(error):
            raise _ended() from error

    @property
    def _then(self) -> str:
        """What to ask behind COMMIT: where the writer is, for replicas."""
        replay = self._ack.replay
        return replay.after_commit if replay is not None and self.side is Side.CLASSIC and self.token else ""

    async def _marks(self, link: BaseLink) -> Marks:
        if not self._current.asks_briefly:
            return Marks.of(await got(link.ask(st.BEFORE_COMMIT)))
        said = await got(link.ask(st.BEFORE_COMMIT_BRIEFLY.format(mark=self._mark)))
        return Marks.said(said[0] or "", self._mark)

    async def _token(self, link: BaseLink) -> Token | None:
        """Return what names this write; None when it wrote nothing. Rolls back what must not be committed."""
        try:
            marks = await self._marks(link)
            known = identity(marks, self._mark)
            parts = touched(marks, known)
            # A transaction before this one may have written: a wait for this number covers that one as well.
            xid = int((await got(link.ask(st.TAKE_XID)))[0] or 0) if known is Identity.UNKNOWN else marks.xid
        except psycopg.Error as error:
            await self._roll_back(link)
            if error.sqlstate == WRITES_ARE_CLOSED:
                raise WritesClosed(0.0) from error
            if self._current.asks_briefly and st.lacks_before_commit(error):
                self._current.asks_briefly = False
                raise ClusterUnavailable("classic", "it was restored to before an upgrade of its tables") from error
            raise
        if known is Identity.OTHER:
            await self._roll_back(link)
            raise _ended()
        if marks.mode in (WriteMode.CLOSED, WriteMode.LIMITLESS_ONLY):
            # This process had not read it yet. Triggers on classic refuse such writes as well.
            await self._roll_back(link)
            self._current.refresh()
            raise WritesClosed(0.0)
        if xid is None:
            return None
        return Token(xid, ALL_PARTS if parts is None else parts, marks.epoch, marks.history)


class Write(Blocking, WriteSteps):
    """One transaction of one tenant. Use it as a context manager, which commits on leaving; see WriteSteps."""

    connection: psycopg.Connection[Any]


def _ended() -> UsageError:
    return UsageError(
        "the transaction was ended inside the with-block, so its write cannot be acknowledged",
        hint="Do not commit or roll back the connection yourself; use connection.transaction() for savepoints.",
    )


def _only_reads(link: BaseLink) -> bool:
    """Return whether the server said that it only reads, as a writer does that failed over.

    Its connection is not lent again, so that the next one goes where writes go now.
    """
    return any(state == READ_ONLY for state, _ in link.conn.refused)


def _open(view: View, at_s: float) -> bool:
    if view.write_mode is WriteMode.LIMITLESS_ONLY:
        return True
    return view.valid(at_s) and view.write_mode is not WriteMode.CLOSED

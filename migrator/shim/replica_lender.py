"""Lends a connection for each read of classic: of a replica that may be read; the writer is the last resort."""

from __future__ import annotations

import time
from collections.abc import Awaitable

import psycopg

from migrator.errors import ClusterUnavailable
from migrator.model.side import Side
from migrator.shim.link import BaseLink
from migrator.shim.pool import Lender, PoolExhausted, silent
from migrator.shim.replica_pool import Endpoint, OfReplica, Replicas
from migrator.shim.replicas import Seen
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


class ReadLender:
    """Lends a connection for one read of classic: of a replica, or of the writer.

    `taking` is written once for both fronts; `take` and `_rest` block, and are others with asyncio.

    Args:
        after: what a replica must have replayed; None when that is not known, then only the writer is far enough.
        only_writer: a replica gave no answer; another one may be asked when the writer takes no more reads.
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
                else:
                    everything.unasked(at)  # else no other read would ever try it
                raise
            if link is not None:
                self._at = at
                return link
            everything.unasked(at)
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

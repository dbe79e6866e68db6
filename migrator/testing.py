"""For tests of applications: a shim whose tenants the test moves, whose servers it loses, whose clock it turns.

    shim = MemoryShim(answers, state={"orders": {}})        # no server at all
    shim = MemoryShim(classic=dsn)                          # one PostgreSQL plays both sides
    shim = MemoryShim(classic=dsn, limitless=another_dsn)   # two databases of one server: sides may differ

It *is* the shim: routing, breakers, doubts about errors, acknowledgements and what is tried again are production's own
code, so it cannot drift from them. What differs is beneath: routes come from memory instead of classic's control
tables, and time passes only when the test says so, or when something waits (no test sleeps). One process, one mirror
partition; moving a tenant waits for no other process. Statements are either run by a PostgreSQL or answered by a
function of the test; see migrator.shim.memory for why there is nothing in between.
"""

from __future__ import annotations

import copy
import heapq
import itertools
import logging
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from migrator.errors import ClusterUnavailable, UsageError
from migrator.model.effective import Fallback
from migrator.model.position import Snapshot
from migrator.model.route import FallbackScope, Level, Route, WriteMode
from migrator.model.side import Side
from migrator.model.tenant import REFERENCE_PART, TenantId
from migrator.shim import Event, Listener, RoutesApplied, RoutesLost, Settings, SettledOnLimitless, Shim
from migrator.shim.acknowledge import Acknowledgement
from migrator.shim.breakers import Breakers
from migrator.shim.current_view import CurrentView
from migrator.shim.doubt import Doubts
from migrator.shim.link import Link
from migrator.shim.memory import Answers, Asked, Store
from migrator.shim.memory_pool import PART, MemoryEvidence, MemoryLink, MemoryPool
from migrator.shim.pool import PING, Lender
from migrator.shim.shadow_evidence import Evidence
from migrator.shim.view import Poll, View, applied, confirmed_by_all, lapsed

__all__ = ["Answers", "Asked", "Block", "FixedClock", "Heard", "Level", "MemoryShim", "Side", "WriteMode"]

ALL_XIDS = 1 << 62
"""Above every transaction: where a mirror that keeps up stands."""


class FixedClock:
    """A clock that moves only when it is turned, or waited by. In seconds."""

    def __init__(self, at_s: float = 0.0) -> None:
        self.at_s = at_s
        self.on_turn: list[Callable[[], object]] = []
        self._lock = threading.RLock()
        self._number = itertools.count()
        self._later: list[tuple[float, int, Callable[[], object]]] = []

    def __call__(self) -> float:
        return self.at_s

    def call_later(self, seconds: float, fn: Callable[[], object]) -> None:
        """Run *fn* once *seconds* from now, in the thread that turns the clock or waits by it."""
        with self._lock:
            heapq.heappush(self._later, (self.at_s + seconds, next(self._number), fn))

    def advance(self, seconds: float) -> None:
        """Let time pass, and run what is due on the way, each at its time."""
        self.wait_until(lambda: False, seconds)

    def wait_until(self, satisfied: Callable[[], bool], timeout_s: float) -> bool:
        """Let time pass until *satisfied*, at most *timeout_s*; return whether it is."""
        until_s = self.at_s + max(0.0, timeout_s)
        while not satisfied():
            with self._lock:
                due = heapq.heappop(self._later) if self._later and self._later[0][0] <= until_s else None
                self.at_s = max(self.at_s, due[0] if due else until_s)
            for told in (*self.on_turn, *([due[2]] if due else ())):
                told()
            if due is None:
                return satisfied()
        return True


@dataclass(frozen=True, slots=True)
class Block:
    """One read or write that got a connection. What run_read and run_write do again is a block of its own."""

    tenant_id: TenantId
    side: Side
    writes: bool


@dataclass
class Heard:
    """A listener that remembers, and passes on to the application's own.

    Attributes:
        blocks: in the order in which they began. Every statement of a block goes to the block's side.
    """

    events: list[Event] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    listener: Listener | None = None

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        if self.listener is not None:
            self.listener.on_event(event)

    def names(self) -> list[str]:
        """Return the names of all events, for example "read.fell_back"."""
        return [event.name for event in self.events]

    def warnings(self) -> list[Event]:
        return [event for event in self.events if event.level >= logging.WARNING]

    def sides(self, tenant: TenantId | str, *, writes: bool = False) -> list[Side]:
        """Return where the reads of *tenant* went, or its writes."""
        return [b.side for b in self.blocks if (b.tenant_id, b.writes) == (TenantId(str(tenant)), writes)]


class MemoryShim(Shim):
    """A shim for tests. Open it like any other: `with MemoryShim(...) as shim`.

    Args:
        answers, state: answer statements without a server; what both sides hold at the beginning (any value that can
            be copied).
        classic, limitless: connection strings, in place of *answers*; without *limitless* one database plays both.
        listener: hears every event too.
        settings: bounds, by the test's clock; but a statement's time on a PostgreSQL is real.
        clock: shared between shims, or with the application.

    Attributes:
        clock: turn it with `clock.advance(seconds)`.
        heard: events, and which side each block went to.
    """

    def __init__(
        self,
        answers: Answers | None = None,
        state: Any = None,
        *,
        classic: str = "",
        limitless: str = "",
        name: str = "test",
        listener: Listener | None = None,
        pool_size: int = 16,
        settings: Settings | None = None,
        clock: FixedClock | None = None,
    ) -> None:
        if bool(classic) == (answers is not None) or (limitless and not classic):
            raise UsageError("a MemoryShim takes a function that answers, or the connection string of classic")
        self.clock = clock or FixedClock()
        self.heard = Heard(listener=listener)
        self._control = _Control()
        self._store = Store(answers, state, self._control.switch)
        super().__init__(classic, limitless or classic, name, self.heard, settings=settings or Settings())
        self._sides = {
            side: MemoryPool(side, dsn, self._store, f"migrator-shim:{name}", size=pool_size)
            for side, dsn in ((Side.CLASSIC, classic), (Side.LIMITLESS, limitless or classic))
        }
        self._classic, self._limitless = self._sides[Side.CLASSIC], self._sides[Side.LIMITLESS]
        self._current = _CurrentView(self.clock, self._refresh)
        self._current.all_know()  # there is one process
        self._doubts = Doubts(self.clock)
        self._breakers = Breakers(self._settings, self.heard, self.clock)
        self.clock.on_turn.append(self._refresh)

    # -- what the test does -------------------------------------------------------------------------------

    def move(self, tenant: TenantId | str, level: Level, *, pct: int = 100) -> None:
        """Move a tenant's route; on the way up, nothing is waited for. *pct* of the reads go, by `random.random`."""
        with self._changed() as epoch:
            tenant_id = TenantId(str(tenant))
            self._control.routes[tenant_id] = Route(tenant_id, PART, level, pct, epoch)

    def fall_back(self, tenant: TenantId | str | None = None) -> None:
        """Bring reads of *tenant*, or of everybody, back to classic; routes stay."""
        with self._changed() as epoch:
            scope = FallbackScope.ALL if tenant is None else FallbackScope.TENANT
            self._control.fall_back(scope, "" if tenant is None else str(tenant), epoch)

    def end_fallbacks(self) -> None:
        """Let reads go where their routes say again, also after a fallback that a write raised."""
        with self._changed():
            self._control.fallbacks.clear()

    def write_mode(self, mode: WriteMode) -> None:
        """Close writes, open them again (DUAL), or end the migration (LIMITLESS_ONLY).

        Raises:
            UsageError: the migration is over, or Limitless does not hold everything yet.
        """
        if self._control.mode is WriteMode.LIMITLESS_ONLY and mode is not WriteMode.LIMITLESS_ONLY:
            raise UsageError("the migration is over; nothing leads back from there")
        if mode is WriteMode.LIMITLESS_ONLY and not self._store.mirrored:
            raise UsageError("the mirror is stalled, so Limitless does not hold everything", hint="run_mirror() first.")
        with self._changed():
            self._control.mode = mode

    def stall_mirror(self) -> None:
        """Stop Limitless from following classic: writes of moved tenants wait for it, then fall back."""
        with self._store.lock:
            if self._store.mirrored:
                self._store.mirrored = False
                self._control.stalled = (self._snapshot(), self.clock())
                self._refresh()

    def run_mirror(self) -> None:
        """Bring Limitless to classic's state, and let it follow again."""
        with self._store.lock:
            self._store.mirrored, self._control.stalled = True, None
            self._store.mirror()
            self._refresh()

    def lose(self, side: Side) -> None:
        """End all connections to *side* and refuse new ones."""
        self._sides[side].lose()
        self._refresh()

    def restore(self, side: Side) -> None:
        """Make *side* reachable again; breakers that opened meanwhile close by themselves, after a rest."""
        self._sides[side].lost = False
        self._refresh()

    def lose_commit(self, *, committed: bool) -> None:
        """Lose the answer to the next COMMIT of a write, after it happened or instead of it."""
        self._store.lost_commits.append(committed)

    def state(self, side: Side) -> Any:
        """Return a copy of what *side* holds, as far as it is committed; None with a PostgreSQL."""
        return copy.deepcopy(self._store.states[side])

    # -- in the place of the background -------------------------------------------------------------------

    def open(self) -> None:
        """Read the routes for the first time; as `Shim.open`, raises when classic is lost."""
        super().open()
        self._ack = _Acknowledgement(self._current, self._classic, self.heard, self._settings, f"shim {self.name}")
        self._ack.fall_back = self._fall_back

    def _make(self) -> None:
        if not hasattr(self, "_sides"):  # else in a forked process, which goes on with its copy of what both sides hold
            super()._make()

    def _start(self, link: Link) -> None:
        link.close()
        self._refresh()

    def _ask_settled(self) -> bool:
        return self._control.mode is WriteMode.LIMITLESS_ONLY and not self._sides[Side.LIMITLESS].lost

    def _rest(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def _lenders(self, tenant_id: TenantId, *, writes: bool = False) -> Callable[[Side], Lender]:
        return lambda side: _Lender(self._sides[side], Block(tenant_id, side, writes), self.heard)

    def _evidence(self) -> Evidence:
        return MemoryEvidence(self._store, self._snapshot)

    @contextmanager
    def _changed(self) -> Iterator[int]:
        """Change what classic says; in force at once, or as soon as classic can be reached again."""
        with self._store.lock:
            yield self._control.next_epoch()
            self._refresh()

    def _fall_back(self, part: int) -> int:
        """Raise a fallback of *part*, as a write does; return its epoch."""
        if self._sides[Side.CLASSIC].lost:
            raise ClusterUnavailable("classic", "the test lost it")
        with self._changed() as epoch:
            self._control.fall_back(FallbackScope.PART, str(part), epoch)
        return epoch

    def _snapshot(self) -> Snapshot:
        if self._store.answers is not None:
            return self._store.snapshot()
        link = self._classic.take(PING)
        try:
            return Snapshot.parse(str(link.ask("SELECT pg_catalog.pg_current_snapshot()")[0]))
        finally:
            self._classic.give(link)

    def _refresh(self) -> None:
        """Bring the view up to date, as migrator.shim.watcher does."""
        with self._store.lock:
            old, now_s = self._current.view, self.clock()
            if not self._pid or self._current.settled:
                return
            if not self._sides[Side.CLASSIC].lost:
                view = applied(old, self._control.poll(old.epoch, now_s), self._settings.max_lag_s)
                view = confirmed_by_all(
                    replace(view if old.valid(now_s) else lapsed(view), valid_until_s=math.inf), view.epoch
                )
            elif self._ask_settled():
                view = replace(old, write_mode=WriteMode.LIMITLESS_ONLY)
            elif math.isinf(old.valid_until_s):
                view = replace(old, valid_until_s=now_s + self._settings.staleness_s)
                self.heard.on_event(RoutesLost("classic is lost"))
            else:
                return
            self._current.install(view)
            self._inflight.lower(view)
            self._breakers.taken_over(view.fallbacks)
        if self._current.settled:
            self.heard.on_event(SettledOnLimitless())
        if view.epoch != old.epoch:
            self.heard.on_event(RoutesApplied(view.epoch))


@dataclass
class _Control:
    """What classic's control tables say."""

    mode: WriteMode = WriteMode.DUAL
    epoch: int = 1
    marks: dict[int, str] = field(default_factory=lambda: {1: "memory-1"})
    routes: dict[TenantId, Route] = field(default_factory=dict)
    fallbacks: dict[tuple[FallbackScope, str], Fallback] = field(default_factory=dict)
    stalled: tuple[Snapshot, float] | None = None  # where the mirror stands, and since when

    def switch(self) -> tuple[str, int, str]:
        return self.mode.value, self.epoch, self.marks[self.epoch]

    def next_epoch(self) -> int:
        self.epoch += 1
        self.marks[self.epoch] = f"memory-{self.epoch}"
        return self.epoch

    def fall_back(self, scope: FallbackScope, key: str, epoch: int) -> None:
        self.fallbacks.setdefault((scope, key), Fallback(scope, key, Level.CLASSIC, epoch))

    def poll(self, known: int, now_s: float) -> Poll:
        """Return what the watcher would read that knows epoch *known*."""
        reached, since_s = self.stalled or (Snapshot(ALL_XIDS, ALL_XIDS), now_s)
        return Poll(
            epoch=self.epoch,
            switch=Level.LIMITLESS,
            write_mode=self.mode,
            routes=tuple((route, False) for route in self.routes.values() if route.epoch > known),
            fallbacks=tuple(self.fallbacks.values()),
            positions=dict.fromkeys((REFERENCE_PART, PART), (reached, now_s - since_s)),
            marks={epoch: mark for epoch, mark in self.marks.items() if epoch > known},
            known=known,
        )


class _CurrentView(CurrentView):
    """Who waits turns the clock."""

    def __init__(self, clock: FixedClock, refresh: Callable[[], None]) -> None:
        super().__init__(clock)
        self._clock = clock
        self.refresh = refresh

    def wait_until(self, satisfied: Callable[[View], bool], timeout_s: float) -> bool:
        return self._clock.wait_until(lambda: satisfied(self.view), timeout_s)


class _Acknowledgement(Acknowledgement):
    """Raises fallbacks in memory."""

    fall_back: Callable[[int], int]

    def _raised(self, parts: Sequence[int], reason: str) -> Iterator[tuple[int, int]]:
        yield from ((part, self.fall_back(part)) for part in parts)


class _Lender:
    """Hears what is lent for a block."""

    def __init__(self, pool: MemoryPool, block: Block, heard: Heard) -> None:
        self._pool = pool
        self._block = block
        self._heard = heard

    def take(self, begin: str, *, silent_s: float | None = None) -> Link:
        link = self._pool.take(begin, silent_s=silent_s)
        self._heard.blocks.append(self._block)
        if isinstance(link, MemoryLink):
            link.memory.tenant_id = self._block.tenant_id
        return link

    def give(self, link: Link, *, discard: bool = False) -> None:
        self._pool.give(link, discard=discard)

    def ended(self, link: Link, states: frozenset[str], *, lost: bool) -> str | None:
        return self._pool.ended(link, states, lost=lost)

"""Holds a process' breakers, one per tenant, one per mirror partition and one for everything, and applies them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from migrator.model.effective import Fallback
from migrator.model.route import FallbackScope
from migrator.model.tenant import TenantId
from migrator.shim import breaker as br
from migrator.shim.breaker import Breaker, Limits, State
from migrator.shim.listener import BreakerClosed, BreakerOpened, Listener

Key = tuple[FallbackScope, str]
FORGET_AFTER = 10_000
"""Breakers kept at most; beyond it closed ones are dropped."""


class _Live:
    """One breaker as it is now.

    Almost all reads end well, and change nothing in a breaker that saw nothing else: those are put in by the slice.
    """

    __slots__ = ("breaker", "key", "number", "reads", "untroubled")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.breaker = Breaker()
        self.untroubled = True  # see migrator.shim.breaker
        self.number = self.reads = 0  # a slice, and the reads that ended well in it and are not in `breaker` yet

    def put(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self.untroubled = br.untroubled(breaker)

    def whole(self) -> Breaker:
        """Return the breaker with all its reads."""
        if self.reads:
            self.put(br.credited(self.breaker, self.number, self.reads))
            self.reads = 0
        return self.breaker


@dataclass(frozen=True, slots=True)
class Ticket:
    """A read that was let through: the breakers that count its end, and their terms."""

    lives: tuple[_Live, _Live, _Live]
    terms: tuple[int, int, int]


class Breakers:
    """All breakers of a process. Nothing slow happens under its lock."""

    def __init__(self, limits: Limits, listener: Listener, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._listener = listener
        self._clock = clock
        self._lock = threading.Lock()
        self._all: dict[Key, _Live] = {}
        self._by_tenant: dict[tuple[TenantId, int], tuple[_Live, _Live, _Live]] = {}

    def use(self, limits: Limits) -> None:
        """Judge by other limits from now on."""
        self._limits = limits

    def _of(self, tenant_id: TenantId, part: int) -> tuple[_Live, _Live, _Live]:
        found = self._by_tenant.get((tenant_id, part))
        if found is None:
            if len(self._all) > FORGET_AFTER:
                self._all = {k: live for k, live in self._all.items() if live.breaker.state is not State.CLOSED}
                self._by_tenant.clear()
            everything, of_part, of_tenant = (
                self._all.setdefault(key, _Live(key))
                for key in (
                    (FallbackScope.ALL, ""),
                    (FallbackScope.PART, str(part)),
                    (FallbackScope.TENANT, str(tenant_id)),
                )
            )
            found = self._by_tenant[tenant_id, part] = (everything, of_part, of_tenant)
        return found

    def admit(self, tenant_id: TenantId, part: int) -> Ticket | None:
        """Return a ticket when every breaker lets the read through, None when it must come from classic."""
        with self._lock:
            lives = everything, of_part, of_tenant = self._of(tenant_id, part)
            a, b, c = everything.breaker, of_part.breaker, of_tenant.breaker
            if not (a.state is b.state is c.state is State.CLOSED):
                now, found = self._clock(), []
                for live in lives:
                    after, ok = br.admit(live.whole(), now, self._limits)
                    if not ok:
                        return None  # the others keep their probes
                    found.append(after)
                for live, after in zip(lives, found, strict=True):
                    live.put(after)
                a, b, c = found
            return Ticket(lives, (a.term, b.term, c.term))

    def record(self, ticket: Ticket, ok: bool, ms: float) -> None:
        """Count the end of a read in its breakers."""
        now, limits = self._clock(), self._limits
        number, well = br.slice_at(now, limits), ok and ms <= limits.p99_ms
        events: list[BreakerOpened | BreakerClosed] = []
        with self._lock:
            for live, term in zip(ticket.lives, ticket.terms, strict=True):
                before = live.breaker
                if well and live.untroubled and before.term == term:
                    if live.number != number:
                        live.whole()
                        live.number = number
                    live.reads += 1
                    continue
                after = br.record(live.whole(), term, ok, ms, now, limits)
                live.put(after)
                if after.state is not before.state:
                    scope, key = live.key
                    if after.state is State.OPEN:
                        events.append(BreakerOpened(scope.value, key, after.reason))
                    else:
                        events.append(BreakerClosed(scope.value, key))
        for event in events:
            self._listener.on_event(event)

    def taken_over(self, fallbacks: Iterable[Fallback]) -> None:
        """Hand open breakers over to the shared fallbacks that cover the same: they start with probes afterwards."""
        covered = {(f.scope, f.key) for f in fallbacks}
        everything = any(f.scope is FallbackScope.ALL for f in fallbacks)
        with self._lock:
            for key, live in self._all.items():
                if live.breaker.state is State.OPEN and (everything or key in covered):
                    live.put(br.half_opened(live.breaker, self._clock()))

    def open(self) -> list[tuple[FallbackScope, str, str]]:
        """Return scope, key and reason of every open breaker."""
        with self._lock:
            opened = [live for live in self._all.values() if live.breaker.state is State.OPEN]
            return [(*live.key, live.breaker.reason) for live in opened]

    def states(self) -> dict[Key, State]:
        """Return the state of every breaker that is not closed."""
        with self._lock:
            found = {key: live.breaker.state for key, live in self._all.items()}
            return {key: state for key, state in found.items() if state is not State.CLOSED}

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


@dataclass(frozen=True, slots=True)
class Ticket:
    """A read that was let through: the breakers that count its end, and their terms."""

    terms: tuple[tuple[Key, int], ...]


class Breakers:
    """All breakers of a process. Nothing slow happens under its lock."""

    def __init__(self, limits: Limits, listener: Listener, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._listener = listener
        self._clock = clock
        self._lock = threading.Lock()
        self._all: dict[Key, Breaker] = {}

    def use(self, limits: Limits) -> None:
        """Judge by other limits from now on."""
        self._limits = limits

    @staticmethod
    def _keys(tenant_id: TenantId, part: int) -> tuple[Key, ...]:
        return ((FallbackScope.ALL, ""), (FallbackScope.PART, str(part)), (FallbackScope.TENANT, str(tenant_id)))

    def admit(self, tenant_id: TenantId, part: int) -> Ticket | None:
        """Return a ticket when every breaker lets the read through, None when it must come from classic."""
        now = self._clock()
        admitted: dict[Key, Breaker] = {}
        with self._lock:
            for key in self._keys(tenant_id, part):
                after, ok = br.admit(self._all.get(key, Breaker()), now, self._limits)
                if not ok:
                    return None  # the others keep their probes
                admitted[key] = after
            for key, after in admitted.items():
                if after.state is not State.CLOSED:
                    self._all[key] = after
            return Ticket(tuple((key, after.term) for key, after in admitted.items()))

    def record(self, ticket: Ticket, ok: bool, ms: float) -> None:
        """Count the end of a read in its breakers."""
        now = self._clock()
        events: list[BreakerOpened | BreakerClosed] = []
        with self._lock:
            for key, term in ticket.terms:
                before = self._all.get(key, Breaker(term=term))
                after = br.record(before, term, ok, ms, now, self._limits)
                self._all[key] = after
                if after.state is not before.state:
                    if after.state is State.OPEN:
                        events.append(BreakerOpened(key[0].value, key[1], after.reason))
                    else:
                        events.append(BreakerClosed(key[0].value, key[1]))
            if len(self._all) > FORGET_AFTER:
                self._all = {k: b for k, b in self._all.items() if b.state is not State.CLOSED}
        for event in events:
            self._listener.on_event(event)

    def taken_over(self, fallbacks: Iterable[Fallback]) -> None:
        """Hand open breakers over to the shared fallbacks that cover the same: they start with probes afterwards."""
        covered = {(f.scope, f.key) for f in fallbacks}
        everything = any(f.scope is FallbackScope.ALL for f in fallbacks)
        with self._lock:
            for key, found in self._all.items():
                if found.state is State.OPEN and (everything or key in covered):
                    self._all[key] = br.half_opened(found, self._clock())

    def open(self) -> list[tuple[FallbackScope, str, str]]:
        """Return scope, key and reason of every open breaker."""
        with self._lock:
            return [(s, k, b.reason) for (s, k), b in self._all.items() if b.state is State.OPEN]

    def states(self) -> dict[Key, State]:
        """Return the state of every breaker that is not closed."""
        with self._lock:
            return {key: b.state for key, b in self._all.items() if b.state is not State.CLOSED}

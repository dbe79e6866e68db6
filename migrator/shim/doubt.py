"""Decides whether an error is the caller's own or counts against Limitless. No connection, no clock of its own.

A SQLSTATE alone does not say. "permission denied" is a wrong statement of the application, or a GRANT
missing on Limitless. So classic is asked: an error counts against Limitless unless classic gives it too. What cannot
be asked about (a block that must not run twice, or more errors than may be asked about) is judged by what is known of
this tenant: classic's earlier answers, then how often classic gives it this error, then the class of the error. What a
statement makes by itself on every server (migrator.model.sqlstate) never counts unasked: no breaker opens for it.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from migrator.model.side import Side
from migrator.model.sqlstate import CANCELED, is_wrapper, made_by_a_read, points_at_cluster
from migrator.model.tenant import TenantId

ASK_SHARE = 0.05
BURST = 20.0
"""Answers "yes, I give that error too" cost classic an extra read: at most this share of the reads on Limitless,
after a first burst. Answers that help the caller cost what any fallback costs, and the breaker bounds those."""

OWN_S = 30.0
"""How long such an answer holds for the same error of the same tenant at the same place of the program."""

WINDOW_S = 300.0
"""Counts older than this weigh half."""

MIN_READS = 20
"""Fewer reads on classic are no baseline."""

EXCESS = 2.0
"""An error is more frequent on Limitless when its share there is this many times classic's."""

REMEMBERED = 10_000
"""Tenants and errors kept at most; past it the oldest answers go, and the counts begin anew."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """The errors that the server raised inside one read.

    Attributes:
        states: SQLSTATEs, without what merely follows from an earlier error.
        text: the first message; never interpreted, it only tells one error from another.
        cut_short: a statement was canceled before the shim's own bound would have, so by a timeout of the application.
    """

    states: frozenset[str]
    text: str = ""
    cut_short: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Key:
    """One error: its tenant, its SQLSTATEs and text, and the place of the program (any hashable)."""

    tenant_id: TenantId
    doubt: Doubt
    place: object


def explained(on_limitless: frozenset[str], on_classic: frozenset[str]) -> bool:
    """Return whether classic gives these errors too.

    A router wraps the error of a shard and may lose its SQLSTATE on the way: then any error of classic explains it.
    """
    rest = on_limitless - on_classic
    return all(map(is_wrapper, rest)) and (not rest or bool(on_classic))


K = TypeVar("K")


def _halved(counts: Counter[K]) -> Counter[K]:
    return Counter({key: count // 2 for key, count in counts.items() if count > 1})


@dataclass
class _Seen:
    """Reads and errors of one tenant, by side, and classic's answers by SQLSTATE."""

    since_s: float
    on_classic: int = 0
    on_limitless: int = 0
    errors: Counter[tuple[Side, str]] = field(default_factory=Counter)
    own: Counter[str] = field(default_factory=Counter)
    not_own: Counter[str] = field(default_factory=Counter)

    def age(self, now_s: float) -> None:
        if now_s - self.since_s < WINDOW_S:
            return
        self.since_s = now_s
        self.on_classic, self.on_limitless = self.on_classic // 2, self.on_limitless // 2
        self.errors = _halved(self.errors)
        self.own, self.not_own = _halved(self.own), _halved(self.not_own)


class Doubts:
    """Errors that this process has seen. Nothing slow happens under its lock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[TenantId, _Seen] = {}
        self._own: OrderedDict[Key, float] = OrderedDict()  # until when
        self._budget = BURST

    def ended(self, tenant_id: TenantId, side: Side, states: frozenset[str]) -> None:
        """Count one read that the route sent to *side*. Reads that asked about an error are no sample of anything."""
        with self._lock:
            seen = self._of(tenant_id)
            if side is Side.LIMITLESS:
                seen.on_limitless += 1
                self._budget = min(BURST, self._budget + ASK_SHARE)
            else:
                seen.on_classic += 1
            for state in states:
                seen.errors[side, state] += 1

    def is_own(self, key: Key) -> bool:
        """Return whether classic gave this error too a short while ago."""
        with self._lock:
            return self._own.get(key, float("-inf")) > self._clock()

    def may_ask(self) -> bool:
        """Return whether classic may be asked now."""
        with self._lock:
            return self._budget >= 1

    def answered(self, key: Key, own: bool) -> None:
        """Remember classic's answer."""
        with self._lock:
            seen = self._of(key.tenant_id)
            (seen.own if own else seen.not_own).update(key.doubt.states)
            if not own:
                self._own.pop(key, None)
                return
            self._budget -= 1
            self._own[key] = self._clock() + OWN_S
            self._own.move_to_end(key)
            while len(self._own) > REMEMBERED:
                self._own.popitem(last=False)

    def suspects(self, tenant_id: TenantId, doubt: Doubt) -> bool:
        """Return whether an error that classic was not asked about counts against Limitless."""
        with self._lock:
            seen = self._of(tenant_id)
            return any(_suspect(seen, state, doubt.cut_short) for state in doubt.states)

    def _of(self, tenant_id: TenantId) -> _Seen:
        seen = self._seen.get(tenant_id)
        if seen is None:
            if len(self._seen) >= REMEMBERED:
                self._seen.clear()
            seen = self._seen[tenant_id] = _Seen(self._clock())
        else:
            seen.age(self._clock())
        return seen


def _suspect(seen: _Seen, state: str, cut_short: bool) -> bool:
    if seen.own[state] or seen.not_own[state]:
        return seen.not_own[state] >= seen.own[state]
    if made_by_a_read(state) or (state == CANCELED and cut_short):
        return False
    classic, limitless = seen.on_classic, seen.on_limitless
    if (
        classic >= MIN_READS or seen.errors[Side.CLASSIC, state]
    ):  # once the breaker has sent some there, it gives it too
        usual = seen.errors[Side.CLASSIC, state] / classic
        return seen.errors[Side.LIMITLESS, state] > EXCESS * usual * max(limitless, 1)
    return points_at_cluster(state)

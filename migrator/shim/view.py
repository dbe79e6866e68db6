"""What a process knows about routes, and until when it may act on it. Pure values.

A view is replaced as a whole, so a reader that holds one sees classic at one snapshot.

Going down takes the same care as going up. After a tenant fell back, another process may still read Limitless under
the routes it had before; until every process has applied the change, a write here must go on waiting for the mirror.
So a view remembers the partitions that an older view, which some process may still use, could read (`owed`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from migrator.model.effective import Fallback
from migrator.model.position import Snapshot
from migrator.model.route import FallbackScope, Level, Route, WriteMode, lowest
from migrator.model.tenant import MAX_PARTS, REFERENCE_PART, TenantId

ALL_PARTS = (1 << MAX_PARTS) - 1
REFERENCE_BIT = 1 << REFERENCE_PART
MARKS = 1000
"""Marks a view keeps, at least. A token older than that many route changes counts as unknown: classic answers."""


def parts_of(mask: int) -> list[int]:
    """Return the partitions in a bit mask. A negative one (keys whose tenant is unknown) means all of them."""
    mask &= ALL_PARTS
    found = []
    while mask:
        lowest_bit = mask & -mask
        found.append(lowest_bit.bit_length() - 1)
        mask ^= lowest_bit
    return found


@dataclass(frozen=True, slots=True)
class Caps:
    """Upper bounds of levels by what they cover, from the switch and the fallbacks."""

    everybody: Level = Level.LIMITLESS
    parts: Mapping[int, Level] = field(default_factory=dict)
    tenants: Mapping[str, Level] = field(default_factory=dict)

    @classmethod
    def of(cls, switch: Level, fallbacks: Iterable[Fallback]) -> Caps:
        everybody = [switch]
        parts: dict[int, Level] = {}
        tenants: dict[str, Level] = {}
        for fallback in fallbacks:
            if fallback.scope is FallbackScope.ALL or (fallback.scope, fallback.key) == (
                FallbackScope.PART,
                str(REFERENCE_PART),
            ):
                everybody.append(fallback.level)
            elif fallback.scope is FallbackScope.PART:
                part = int(fallback.key)
                parts[part] = lowest([fallback.level, parts.get(part, Level.LIMITLESS)])
            else:
                tenants[fallback.key] = fallback.level
        return cls(lowest(everybody), parts, tenants)

    def apply(self, route: Route) -> Level:
        """Return the level of *route*'s tenant under these bounds; as migrator.model.effective, but indexed."""
        if self.everybody is Level.LIMITLESS and not self.parts and not self.tenants:
            return route.level
        return lowest(
            [
                route.level,
                self.everybody,
                self.parts.get(route.part, Level.LIMITLESS),
                self.tenants.get(route.tenant_id, Level.LIMITLESS),
            ]
        )

    def waiting(self, routes: Mapping[TenantId, Route]) -> int:
        """Return a bit mask of the partitions with a tenant of *routes* whose writes wait under these bounds.

        Tenants are many, partitions and levels few: each pair is looked at once, and what single tenants have of their
        own besides.
        """
        if not self.everybody.waits:
            return 0
        single = [routes[TenantId(tenant)] for tenant in self.tenants if tenant in routes]
        rest = routes.values() if not single else [r for r in routes.values() if r.tenant_id not in self.tenants]
        found = 0
        for part, level in {(route.part, route.level) for route in rest}:
            if lowest([level, self.parts.get(part, Level.LIMITLESS)]).waits:
                found |= 1 << part
        for route in single:
            if self.apply(route).waits:
                found |= 1 << route.part
        return found


@dataclass(frozen=True, slots=True)
class Poll:
    """One reading of classic's control tables in one snapshot. Routes: only those changed since the last."""

    epoch: int
    switch: Level
    write_mode: WriteMode
    routes: tuple[tuple[Route, bool], ...]  # with `watched`
    fallbacks: tuple[Fallback, ...]
    positions: Mapping[int, tuple[Snapshot, float]]  # with the age of the position in s, by classic's clock
    marks: Mapping[int, str]  # of epochs, the newest included; all that are kept when nothing was known before
    known: int  # the epoch this reading starts from; -1: from none, so that it has all routes and marks

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Poll:
        """Return the answer of statements.POLL as a value."""
        epoch, switch, mode, routes, fallbacks, positions, marks, known = row
        return cls(
            int(epoch),
            Level(switch),
            WriteMode(mode),
            tuple(_routes(routes)),
            tuple(Fallback(FallbackScope(scope), key, Level(level), at) for scope, key, level, at in fallbacks),
            {part: (Snapshot.parse(text), float(age)) for part, text, age in positions},
            {int(epoch): str(mark) for epoch, mark in marks or ()},
            int(known),
        )


def _routes(groups: Iterable[tuple[int, str, int, int, bool, list[TenantId]]]) -> list[tuple[Route, bool]]:
    found: list[tuple[Route, bool]] = []
    for part, word, pct, at, watched, tenants in groups:
        level = Level(word)
        found += [(Route(tenant, part, level, pct, at), watched) for tenant in tenants]
    return found


@dataclass(frozen=True, slots=True)
class View:
    """The facts that a read or a write decides by.

    Attributes:
        routes: of tenants that were ever moved.
        lagging: bit mask of partitions too far behind to be read.
        waits: bit mask of partitions with a tenant whose writes wait for the mirror.
        owed: `waits` of this and of every older view that another process may still act on.
        valid_until_s: on this process' clock; past it reads come from classic.
        lease: grows whenever validity lapsed, so that a read can see that it spanned a lapse.
        marks: of the newest epochs of the history this view belongs to, see migrator.epoch_mark.
        over_since: the epoch at which classic was first read to say that the migration is over; -1: it was not.
    """

    epoch: int = -1
    write_mode: WriteMode = WriteMode.CLASSIC_ONLY
    caps: Caps = field(default_factory=Caps)
    routes: Mapping[TenantId, Route] = field(default_factory=dict)
    fallbacks: tuple[Fallback, ...] = ()
    watched: frozenset[TenantId] = frozenset()
    positions: Mapping[int, Snapshot] = field(default_factory=dict)
    lagging: int = ALL_PARTS
    waits: int = 0
    owed: int = ALL_PARTS
    history: tuple[tuple[int, int], ...] = ()  # (epoch of the view after it, its waits), oldest first
    valid_until_s: float = 0.0
    lease: int = 0
    marks: Mapping[int, str] = field(default_factory=dict)
    over_since: int = -1

    @property
    def mark(self) -> str | None:
        """The mark of this view's own epoch; None before the first poll."""
        return self.marks.get(self.epoch)

    @property
    def settled(self) -> bool:
        """Whether the migration is over, so that Limitless has everything and takes the writes."""
        return self.write_mode is WriteMode.LIMITLESS_ONLY

    def knows(self, epoch: int, mark: str) -> bool:
        """Return whether *epoch* with *mark* belongs to this view's history."""
        return bool(mark) and self.marks.get(epoch) == mark

    def valid(self, now_s: float) -> bool:
        """Return whether this process may act on the routes it knows."""
        return now_s < self.valid_until_s

    def level(self, tenant_id: TenantId) -> Level:
        """Return the tenant's effective level; a tenant that was never moved reads classic."""
        route = self.routes.get(tenant_id)
        return Level.CLASSIC if route is None else self.caps.apply(route)

    def must_cover(self, touched: int) -> int:
        """Return which of the *touched* partitions a write must wait for.

        Reference rows are read by every tenant, so they count as soon as any tenant's writes wait.
        """
        return touched & (self.owed | (REFERENCE_BIT if self.owed else 0))

    def behind_now(self, xid: int, touched: int) -> list[int]:
        """Return which *touched* partitions are behind *xid* and hold tenants that wait under today's routes."""
        return self.behind(xid, touched & (self.waits | (REFERENCE_BIT if self.waits else 0)))

    def behind(self, xid: int, parts: int) -> list[int]:
        """Return which of *parts* (a bit mask) do not hold transaction *xid* yet."""
        return [p for p in parts_of(parts) if p not in self.positions or not self.positions[p].covers(xid)]


def _owed(waits: int, history: Iterable[tuple[int, int]]) -> int:
    for _, before in history:
        waits |= before
    return waits


def lagging(ages_s: Mapping[int, float], max_lag_s: float) -> int:
    """Return the bit mask of partitions that may not be read, given the ages of published positions."""
    mask = ALL_PARTS
    for part, age_s in ages_s.items():
        if age_s <= max_lag_s:
            mask &= ~(1 << part)
    return mask


def applied(view: View, poll: Poll, max_lag_s: float) -> View:
    """Return *view* after *poll*; how long it is valid does not change."""
    if poll.known != view.epoch:  # classic lost its tail or was restored: nothing known before counts
        view = replace(View(), lease=view.lease + 1)
    changed = poll.epoch != view.epoch
    routes, watched = view.routes, view.watched
    if poll.routes:
        moved = {route.tenant_id: route for route, _ in poll.routes}
        routes = {**routes, **moved}
        watched = watched.difference(moved).union([route.tenant_id for route, on in poll.routes if on])
    caps, waits, history = view.caps, view.waits, view.history
    over = poll.write_mode is WriteMode.LIMITLESS_ONLY
    if changed:
        caps = Caps.of(poll.switch, poll.fallbacks)
        waits = caps.waiting(routes)
        # The first view of a process does not know what others read before it: all partitions are owed.
        before = ALL_PARTS if view.epoch < 0 else view.waits
        if before & ~waits:
            history = (*history, (poll.epoch, before))
    return replace(
        view,
        epoch=poll.epoch,
        write_mode=poll.write_mode,
        caps=caps,
        routes=routes,
        fallbacks=poll.fallbacks,
        watched=watched,
        positions={part: snapshot for part, (snapshot, _) in poll.positions.items()},
        lagging=lagging({part: age_s for part, (_, age_s) in poll.positions.items()}, max_lag_s),
        waits=waits,
        owed=_owed(waits, history),
        history=history,
        marks=_newest({**view.marks, **poll.marks}) if changed else view.marks,
        over_since=poll.epoch if over and view.over_since < 0 else view.over_since,
    )


def _newest(marks: Mapping[int, str]) -> Mapping[int, str]:
    if len(marks) <= 2 * MARKS:
        return marks
    return {epoch: marks[epoch] for epoch in sorted(marks)[-MARKS:]}


def lapsed(view: View) -> View:
    """Return *view* after its validity ran out: routes may have changed without this process' confirmation."""
    return replace(view, lease=view.lease + 1, history=((view.epoch, ALL_PARTS),), owed=ALL_PARTS)


def confirmed_by_all(view: View, confirmed_epoch: int) -> View:
    """Return *view* knowing that every live process has applied *confirmed_epoch*."""
    history = tuple(entry for entry in view.history if entry[0] > confirmed_epoch)
    if len(history) == len(view.history):
        return view
    return replace(view, history=history, owed=_owed(view.waits, history))

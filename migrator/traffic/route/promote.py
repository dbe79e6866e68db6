"""Promotes reads to Limitless, so that no read misses an acknowledged write.

1. JOINING: every process makes its writes wait for the mirror; reads stay on classic.
2. All processes confirm. From now on every write that is acknowledged is on Limitless already.
3. A snapshot is taken on classic: it sees every write acknowledged before that moment without waiting.
4. The published positions of the partitions involved include it: those writes are on Limitless too.
5. LIMITLESS.

The same for a tenant's route, for the switch after a rollback, and for a fallback that is cleared.
It may be interrupted anywhere and run again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from operator import not_
from typing import Any

import psycopg

from migrator.control import breaker as stored_breaker
from migrator.control import route as stored
from migrator.errors import PreconditionFailed
from migrator.model.position import Snapshot
from migrator.model.route import FallbackScope, Level
from migrator.model.tenant import TenantId
from migrator.poll import until
from migrator.traffic.route.caught_up import behind_of, parts_in_use
from migrator.traffic.route.change import reachable
from migrator.traffic.route.confirm import Confirmation, confirmed, wait_confirmed
from migrator.traffic.route.fallback import clear_fallback, covered_parts, ease_fallback
from migrator.traffic.route.move import move
from migrator.traffic.route.switch import switch as move_switch
from migrator.traffic.route.switch import switch_version


class Outcome(StrEnum):
    """How `promote_reads` ended. Anything but DONE left reads on classic."""

    DONE = "done"
    ALREADY = "already"  # there was nothing to do
    UNCONFIRMED = "unconfirmed"  # a process did not apply JOINING in time
    BEHIND = "behind"  # the mirror did not catch up in time
    CHANGED = "changed"  # a person or a fallback lowered it meanwhile


@dataclass(frozen=True, slots=True)
class Promoted:
    """The result of `promote_reads`.

    Attributes:
        epoch: of the last change it made; confirm it to know that reads have moved everywhere.
        behind: partitions that did not catch up.
    """

    outcome: Outcome
    epoch: int
    confirmation: Confirmation
    behind: tuple[int, ...] = ()
    seconds: float = 0.0
    detail: str = ""

    @property
    def done(self) -> bool:
        return self.outcome in (Outcome.DONE, Outcome.ALREADY)


@dataclass(frozen=True, slots=True)
class Fence:
    """The result of `catch_up`: positions include the snapshot, or what is missing."""

    outcome: Outcome
    confirmation: Confirmation
    snapshot: Snapshot | None = None
    behind: tuple[int, ...] = field(default=())


def catch_up(conn: psycopg.Connection[Any], epoch: int, parts: set[int], timeout_s: float) -> Fence:
    """Wait until all processes have applied *epoch* and the mirror holds what was acknowledged before that."""
    deadline = time.monotonic() + timeout_s
    confirmation = wait_confirmed(conn, epoch, timeout_s)
    if not confirmation.complete:
        return Fence(Outcome.UNCONFIRMED, confirmation)
    with reachable():
        snapshot = current_snapshot(conn)
        rest_s = deadline - time.monotonic()
        behind = until(partial(behind_of, conn, parts, snapshot), rest_s, 0.005, done=not_, slower=1.3, longest_s=0.05)
    return Fence(Outcome.BEHIND if behind else Outcome.DONE, confirmation, snapshot, tuple(behind))


def current_snapshot(conn: psycopg.Connection[Any]) -> Snapshot:
    """Return classic's current snapshot."""
    row = conn.execute("SELECT pg_current_snapshot()::text").fetchone()
    assert row is not None
    return Snapshot.parse(row[0])


def promote_reads(
    conn: psycopg.Connection[Any],
    *,
    tenants: Sequence[TenantId] = (),
    switch: bool = False,
    fallback: tuple[FallbackScope, str] | None = None,
    pct: int = 100,
    who: str,
    reason: str,
    wave: int | None = None,
    timeout_s: float = 30.0,
    expected: Mapping[TenantId, int] | None = None,
) -> Promoted:
    """Bring reads (back) to Limitless: of *tenants*, under the global *switch*, or under a *fallback*; one of them.

    *expected* holds the versions of the tenants' routes as the caller read them: what an operator rolled back meanwhile
    is RouteChanged, and not moved up again.

    Safe to run again after any interruption. Refusals that waiting does not clear are errors (move, switch, fallback).
    """
    started = time.monotonic()
    if bool(tenants) + switch + (fallback is not None) != 1:
        raise ValueError("give tenants, switch or fallback, and only one of them")
    if tenants:
        promotion = _tenants(conn, list(dict.fromkeys(tenants)), pct, who, reason, wave, timeout_s, expected)
    elif switch:
        promotion = _switch(conn, who, reason, timeout_s)
    else:
        assert fallback is not None
        promotion = _fallback(conn, fallback, who, reason, timeout_s)
    return Promoted(
        promotion.outcome,
        promotion.epoch,
        promotion.confirmation,
        promotion.behind,
        time.monotonic() - started,
        promotion.detail,
    )


def _tenants(
    conn: psycopg.Connection[Any],
    tenants: list[TenantId],
    pct: int,
    who: str,
    reason: str,
    wave: int | None,
    timeout_s: float,
    expected: Mapping[TenantId, int] | None,
) -> Promoted:
    known = _standings(conn, tenants)
    there = [t for t in tenants if t in known and known[t].level is Level.LIMITLESS]
    rest = [t for t in tenants if t not in known or known[t].level is not Level.LIMITLESS]
    epoch = 0
    if there:
        epoch = move(conn, there, Level.LIMITLESS, pct=pct, who=who, reason=reason, wave=wave, expected=expected)
    if not rest:
        changed = any(known[t].reads_pct != pct for t in there)
        return Promoted(Outcome.DONE if changed else Outcome.ALREADY, epoch, confirmed(conn, epoch))
    joining = move(conn, rest, Level.JOINING, pct=pct, who=who, reason=reason, wave=wave, expected=expected)
    now = _standings(conn, rest)
    fence = catch_up(conn, joining, {route.part for route in now.values()}, timeout_s)
    if fence.outcome is not Outcome.DONE:
        return Promoted(fence.outcome, joining, fence.confirmation, fence.behind)
    try:
        epoch = move(
            conn, rest, Level.LIMITLESS, pct=pct, who=who, reason=reason, wave=wave,
            expected={t: now[t].version for t in rest}, caught_up=fence.snapshot,
        )  # fmt: skip
    except PreconditionFailed as error:
        return Promoted(Outcome.CHANGED, joining, fence.confirmation, detail=str(error))
    return Promoted(Outcome.DONE, epoch, fence.confirmation)


def _standings(conn: psycopg.Connection[Any], tenants: Sequence[TenantId]) -> dict[TenantId, stored.Standing]:
    with reachable():
        return stored.standings(conn, tenants)


def _switch(conn: psycopg.Connection[Any], who: str, reason: str, timeout_s: float) -> Promoted:
    with reachable():
        before = stored.switch(conn)
    if before.level is Level.LIMITLESS:
        return Promoted(Outcome.ALREADY, before.epoch, confirmed(conn, before.epoch))
    joining = move_switch(conn, Level.JOINING, who=who, reason=reason)
    version = switch_version(conn)
    fence = catch_up(conn, joining, parts_in_use(conn), timeout_s)
    if fence.outcome is not Outcome.DONE:
        return Promoted(fence.outcome, joining, fence.confirmation, fence.behind)
    try:
        epoch = move_switch(conn, Level.LIMITLESS, who=who, reason=reason, expected=version, caught_up=fence.snapshot)
    except PreconditionFailed as error:
        return Promoted(Outcome.CHANGED, joining, fence.confirmation, detail=str(error))
    return Promoted(Outcome.DONE, epoch, fence.confirmation)


def _fallback(
    conn: psycopg.Connection[Any], fallback: tuple[FallbackScope, str], who: str, reason: str, timeout_s: float
) -> Promoted:
    scope, key = fallback
    with reachable():
        known = stored_breaker.fallback(conn, scope, key)
    if known is None:
        return Promoted(Outcome.ALREADY, 0, confirmed(conn, 0))
    joining = ease_fallback(conn, scope, key, by=who, reason=reason)
    fence = catch_up(conn, joining, covered_parts(conn, scope, key), timeout_s)
    if fence.outcome is not Outcome.DONE:
        return Promoted(fence.outcome, joining, fence.confirmation, fence.behind)
    try:
        epoch = clear_fallback(conn, scope, key, by=who, reason=reason, expected=joining, caught_up=fence.snapshot)
    except PreconditionFailed as error:
        return Promoted(Outcome.CHANGED, joining, fence.confirmation, detail=str(error))
    return Promoted(Outcome.DONE, epoch, fence.confirmation)

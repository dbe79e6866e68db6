"""Raises, eases and clears fallbacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from migrator.control import breaker as stored
from migrator.control.route import part_of
from migrator.errors import PreconditionFailed
from migrator.model.counted import counted
from migrator.model.incident import IncidentKind
from migrator.model.position import Snapshot
from migrator.model.route import FallbackScope, Level
from migrator.model.tenant import REFERENCE_PART, TenantId
from migrator.shim import fallback
from migrator.traffic.route.caught_up import check_included, check_mirrored, parts_in_use
from migrator.traffic.route.change import change, reachable
from migrator.traffic.route.confirm import wait_confirmed

SHOWN = 5

raise_fallback = reachable()(fallback.raise_fallback)
"""As a process raises it, with the tool's own errors for an unreachable classic."""


def raise_fallbacks(
    conn: psycopg.Connection[Any],
    reasons: Mapping[TenantId, str],
    *,
    by: str,
    held: bool = False,
    incident: bool = True,
) -> int:
    """Raise a fallback for each tenant of *reasons*, all in one change; return the epoch to confirm.

    Each is as `raise_fallback` raises one: what is raised already stays, one that was eased goes back to classic. It
    may be made behind the hand-over, where it has no effect.
    """
    if not reasons:
        return 0
    first = next(iter(reasons.values()))
    with change(conn, by, first, after_the_end=True, lock_timeout_s=3.0) as route_change:
        known = stored.tenant_fallbacks(conn, list(reasons))
        standing = {tenant: f for tenant, f in known.items() if f.level is Level.CLASSIC}
        if held:
            stored.hold_tenant_fallbacks(conn, list(standing))
        anew = {tenant: reason for tenant, reason in reasons.items() if tenant not in standing}
        epoch = max((f.epoch for f in standing.values()), default=0)
        if anew:
            epoch = route_change.next_epoch()
            stored.put_tenant_fallbacks(conn, anew, epoch, by, held)
            if incident:
                route_change.incident(IncidentKind.FALLBACK.value, f"fallback {_several(list(anew))}: {first}")
        return epoch


def _several(tenants: Sequence[TenantId]) -> str:
    names = ", ".join(tenants[:SHOWN]) + (", …" if len(tenants) > SHOWN else "")
    return f"tenant {names}" if len(tenants) == 1 else f"of {counted(len(tenants), 'tenant')} ({names})"


def fall_back_tenants(
    conn: psycopg.Connection[Any], reasons: Mapping[TenantId, str], *, by: str, timeout_s: float
) -> None:
    """Raise fallbacks as `raise_fallbacks` and wait up to *timeout_s* seconds until every process reads classic."""
    wait_confirmed(conn, raise_fallbacks(conn, reasons, by=by), timeout_s=timeout_s)


def fall_back(
    conn: psycopg.Connection[Any], scope: FallbackScope, key: str, *, by: str, reason: str, timeout_s: float
) -> None:
    """Raise a fallback and wait up to *timeout_s* seconds until every process reads classic."""
    wait_confirmed(conn, raise_fallback(conn, scope, key, by=by, reason=reason), timeout_s=timeout_s)


def ease_fallback(conn: psycopg.Connection[Any], scope: FallbackScope, key: str, *, by: str, reason: str) -> int:
    """Ease a fallback, the first step of clearing it: writes wait for the mirror again, reads still come from classic.

    Returns the epoch to confirm; easing what is eased changes nothing.
    """
    with change(conn, by, reason) as route_change:
        known = stored.fallback(conn, scope, key)
        if known is None:
            return route_change.epoch
        if known.level is not Level.CLASSIC:
            return known.epoch
        epoch = route_change.next_epoch()
        stored.ease_fallback(conn, scope, key, epoch)
        route_change.decide("fallback.eased", _subject(scope, key), known._asdict(), {"epoch": epoch})
        return epoch


def clear_fallback(
    conn: psycopg.Connection[Any],
    scope: FallbackScope,
    key: str,
    *,
    by: str,
    reason: str,
    expected: int | None = None,
    caught_up: Snapshot | None = None,
) -> int:
    """Clear a fallback: reads go where the route says again. Needs the same proof as `move` to LIMITLESS.

    Args:
        expected: epoch of the fallback as eased; raised again since means PreconditionFailed.
    """
    with change(conn, by, reason) as route_change:
        known = stored.fallback(conn, scope, key)
        if known is None:
            return route_change.epoch
        if known.level is not Level.JOINING or (expected is not None and known.epoch != expected):
            raise PreconditionFailed(
                f"the fallback {_subject(scope, key)} was raised again, or never eased",
                hint="Ease it first; migrator.traffic.route.promote does both steps.",
            )
        check_included(conn, covered_parts(conn, scope, key), caught_up)
        check_mirrored(conn, (scope, key))
        epoch = route_change.next_epoch()
        stored.clear_fallback(conn, scope, key)
        route_change.decide("fallback.cleared", _subject(scope, key), known._asdict(), {"epoch": epoch})
        return epoch


def is_raised(conn: psycopg.Connection[Any], scope: FallbackScope, key: str) -> bool:
    """Return whether there is such a fallback now."""
    with reachable():
        return stored.fallback(conn, scope, key) is not None


def _subject(scope: FallbackScope, key: str) -> str:
    return f"fallback/{scope}/{key}"


def covered_parts(conn: psycopg.Connection[Any], scope: FallbackScope, key: str) -> set[int]:
    """Return the mirror partitions whose readers a fallback keeps on classic."""
    if scope is FallbackScope.TENANT:
        part = part_of(conn, key)
        return set() if part is None else {part}
    if scope is FallbackScope.PART and key != str(REFERENCE_PART):
        return {int(key)} & parts_in_use(conn)  # a partition without tenants has nothing to catch up with
    return parts_in_use(conn)

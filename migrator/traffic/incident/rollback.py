"""Rolls reads back to classic, with nothing but a connection to classic.

Classic is authoritative for writes, so nothing can be lost: reads move back at once. The change is written first, then
the processes confirm it; a process that does not answer stops reading Limitless by itself after its staleness limit.
A second run changes nothing and says so.

Rolling back everybody checks nothing and uses only what version 1 of the tool's tables has, so it works on those of any
version, and half-way through an upgrade. A wave or a tenant by name must exist; where that cannot be found out in time
the rollback happens all the same, because a hold on a tenant that does not exist has no effect. Tenants rolled back
by name or with their wave are held on classic until a person releases them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import psycopg

from migrator.control import known
from migrator.control import route as stored
from migrator.control.install import installed_version, require_version
from migrator.control.tenant import release_but_rolled_back, wave_members
from migrator.errors import UsageError
from migrator.model.counted import counted
from migrator.model.incident import IncidentKind, RollbackResult
from migrator.model.route import Level
from migrator.model.tenant import TenantId
from migrator.traffic.route.change import Change, change, reachable
from migrator.traffic.route.confirm import wait_confirmed
from migrator.traffic.route.tenant_hold import check_until, hold_within

__all__ = ["RollbackResult", "bring_back", "check_names", "hold", "moved_tenants", "require_tables", "roll_back"]


def roll_back(
    conn: psycopg.Connection[Any],
    *,
    all: bool = False,  # the operator's word
    wave: int | None = None,
    tenants: Sequence[TenantId] = (),
    who: str,
    reason: str,
    timeout_s: float = 30.0,
) -> RollbackResult:
    """Bring reads back to classic: all tenants', a wave's, or some tenants'; then wait for the processes to confirm.

    Raises:
        PreconditionFailed: past the point of no return classic no longer has the latest rows.
        WrongVersion: a wave or tenants, and the tool's own tables are of an earlier version.
        UsageError: none or several of all, wave and tenants were given, no reason, or an unknown wave or tenant.
    """
    if all + (wave is not None) + bool(tenants) != 1:
        raise UsageError("roll back all, one wave, or some tenants", hint="Give exactly one of them.")
    started = _begin(conn, reason, everybody=all)
    if all:
        epoch, changed, already = _everybody(conn, who, reason)
        return _confirmed(conn, started, timeout_s, RollbackResult(epoch, changed, already=already))
    if _nothing_begun(conn):
        # nothing reads Limitless yet; no name can be checked, and no tenant needs a hold
        return RollbackResult(already=True, seconds=time.monotonic() - started)
    unchecked = check_names(conn, wave, tenants)
    done = _some(conn, wave, tenants, who, reason)
    return _confirmed(conn, started, timeout_s, replace(done, unchecked=unchecked))


def hold(
    conn: psycopg.Connection[Any],
    tenants: Sequence[TenantId],
    *,
    who: str,
    reason: str,
    until: datetime | None = None,
    timeout_s: float = 30.0,
) -> RollbackResult:
    """Keep *tenants* on classic until they are released; reads that are on Limitless come back, as in a rollback.

    Unlike a rollback it does not stop the cutover: the waves go on without them.

    Args:
        until: the hold ends then by itself, and they wait for a wave again.

    Raises:
        PreconditionFailed, UsageError: as `roll_back`, and where *until* has passed.
    """
    started = _begin(conn, reason)
    check_until(conn, until)
    unchecked = check_names(conn, None, tenants)
    done = _some(conn, None, tenants, who, reason, aside=True, until=until)
    return _confirmed(conn, started, timeout_s, replace(done, unchecked=unchecked))


def bring_back(
    conn: psycopg.Connection[Any], tenants: Sequence[TenantId], *, who: str, reason: str, timeout_s: float = 30.0
) -> RollbackResult:
    """Bring reads of *tenants* back to classic without holding them: they wait for a wave again.

    Raises:
        PreconditionFailed, UsageError: as `roll_back`.
    """
    started = _begin(conn, reason)
    unchecked = check_names(conn, None, tenants)
    done = _some(conn, None, tenants, who, reason, aside=True, keep=False)
    return _confirmed(conn, started, timeout_s, replace(done, unchecked=unchecked))


def _begin(conn: psycopg.Connection[Any], reason: str, *, everybody: bool = False) -> float:
    if not reason.strip():
        raise UsageError("a rollback needs a reason", hint="Say in a few words what was seen.")
    require_tables(conn, everybody=everybody)
    return time.monotonic()


def require_tables(conn: psycopg.Connection[Any], *, everybody: bool) -> None:
    """Check that the tool's tables have what a rollback needs: for all tenants, nothing later than version 1.

    Raises:
        WrongVersion: a wave or tenants are meant, and no version before this one can hold them.
    """
    if not everybody:
        with reachable():
            require_version(conn, or_newer=True)


def _confirmed(conn: psycopg.Connection[Any], started: float, timeout_s: float, done: RollbackResult) -> RollbackResult:
    confirmation = wait_confirmed(conn, done.epoch, timeout_s)
    return replace(
        done,
        processes=confirmation.processes,
        confirmed=confirmation.confirmed,
        expired=confirmation.expired,
        pending=tuple(confirmation.pending),
        seconds=time.monotonic() - started,
    )


def _nothing_begun(conn: psycopg.Connection[Any]) -> bool:
    with reachable():
        return known.nothing_begun(conn)


def check_names(conn: psycopg.Connection[Any], wave: int | None, tenants: Sequence[TenantId]) -> tuple[str, ...]:
    """Refuse a wave or tenants that do not exist; return tenants that could not be looked up in time.

    Raises:
        UsageError: with the most similar names.
    """
    with reachable():
        if wave is not None:
            known.check_wave(conn, wave)
        return known.check_tenants(conn, tenants) if tenants else ()


def moved_tenants(conn: psycopg.Connection[Any], wave: int | None, tenants: Sequence[str]) -> list[str]:
    """Return tenants whose route is not classic: of a wave, of *tenants*, or all; none without a control schema."""
    if installed_version(conn) is None:
        return []
    if wave is not None:
        return stored.off_classic(conn, wave_members(conn, wave))
    return stored.off_classic(conn, tenants or None)


def _everybody(conn: psycopg.Connection[Any], who: str, reason: str) -> tuple[int, int, bool]:
    with change(conn, who, reason) as route_change:
        reading = stored.count_at(conn, Level.LIMITLESS)
        if route_change.level is Level.CLASSIC:
            return route_change.epoch, 0, True
        epoch = route_change.next_epoch()
        stored.set_level(conn, Level.CLASSIC, who, reason)
        route_change.decide(
            "rollback.decided", "switch", {"level": route_change.level.value}, {"level": "classic", "epoch": epoch}
        )
        moved = reading if route_change.level is Level.LIMITLESS else 0
        if moved:
            _remember(route_change, f"rollback of all ({counted(moved, 'tenant')}): {reason}")
        return epoch, moved, not moved


def _some(
    conn: psycopg.Connection[Any],
    wave: int | None,
    tenants: Sequence[TenantId],
    who: str,
    reason: str,
    *,
    aside: bool = False,
    keep: bool = True,
    until: datetime | None = None,
) -> RollbackResult:
    """Move routes to classic and hold the tenants (with *keep*, *until* a date), in one change.

    *aside* also takes them out of their wave, so that it goes on; those that were rolled back before stop it as before.
    """
    with change(conn, who, reason) as route_change:
        meant = wave_members(conn, wave) if wave is not None else list(tenants)
        if aside:
            release_but_rolled_back(conn, meant)
        away = [TenantId(tenant) for tenant in stored.off_classic(conn, meant)]
        if away:
            _move_back(route_change, away)
            what = f"wave {wave}" if wave is not None else ", ".join(away[:5])
            _remember(route_change, f"rollback of {what} ({counted(len(away), 'tenant')}): {reason}")
        held = hold_within(route_change, meant, wave, until) if keep else []
        return RollbackResult(route_change.epoch, len(away), already=not away, held=len(held))


def _move_back(route_change: Change, away: Sequence[TenantId]) -> None:
    epoch = route_change.next_epoch()
    who, reason = route_change.who, route_change.reason
    after = {"level": Level.CLASSIC.value, "epoch": epoch}
    stored.log_moves(route_change.conn, away, "rollback.decided", after, who, reason)
    stored.move_back(route_change.conn, away, epoch, who, reason)


def _remember(route_change: Change, what: str) -> None:
    route_change.incident(IncidentKind.ROLLBACK.value, what)

"""Moves the reads of single tenants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from migrator.control import route as stored
from migrator.control import tenant as stored_tenant
from migrator.control.route import Standing
from migrator.errors import PreconditionFailed, RouteChanged, UsageError
from migrator.model.phase import TenantState
from migrator.model.position import Snapshot
from migrator.model.route import LEGAL_MOVES, Level, Route
from migrator.model.tenant import TenantId
from migrator.traffic.route.caught_up import check_included
from migrator.traffic.route.change import Change, change, reachable
from migrator.traffic.route.tenant_hold import check_free


def routes(conn: psycopg.Connection[Any]) -> list[Route]:
    """Return the routes of all tenants that were ever moved, ordered by tenant."""
    with reachable():
        return stored.routes(conn)


def move(
    conn: psycopg.Connection[Any],
    tenants: Sequence[TenantId],
    level: Level,
    *,
    pct: int = 100,
    who: str,
    reason: str,
    wave: int | None = None,
    expected: Mapping[TenantId, int] | None = None,
    caught_up: Snapshot | None = None,
) -> int:
    """Move tenants to *level*, all or none.

    Args:
        expected: version of each route as the caller read it (0: no route yet); another move since means
            RouteChanged. Our own move, found again after a lost answer, is none.
        caught_up: a snapshot of classic taken after every process had confirmed JOINING; required to go from
            JOINING to LIMITLESS, and the published positions must include it. `promote.promote_reads` does all that.

    Raises:
        RouteChanged: another version was found.
        PreconditionFailed: an illegal move, or a tenant that is held or not mirrored; lists all of them.
    """
    if not 0 <= pct <= 100:
        raise UsageError(f"reads_pct must be 0 to 100, not {pct}")
    with change(conn, who, reason) as route_change:
        known = stored.standings(conn, tenants)
        wanted = [t for t in dict.fromkeys(tenants) if not _is_there(known.get(t), level, pct, wave)]
        still = frozenset(wanted)
        for tenant_id in tenants:
            _check_version(tenant_id, known.get(tenant_id), expected, route_change, still)
        if not wanted:
            return max((route.epoch for route in known.values()), default=route_change.epoch)
        if level is not Level.CLASSIC:
            check_free(conn, wanted)
        parts = _parts(conn, wanted, known, level)
        _check_moves(wanted, known, level)
        _check_caught_up(conn, [known.get(t) for t in wanted], level, {parts[t] for t in wanted}, caught_up)
        epoch = route_change.next_epoch()
        after = {"level": level.value, "reads_pct": pct, "epoch": epoch, "wave": wave}
        stored.log_moves(conn, wanted, "route.moved", after, who, reason)
        stored.put_routes(conn, parts, level, pct, wave=wave, epoch=epoch, who=who, reason=reason)
        return epoch


def _is_there(route: Standing | None, level: Level, pct: int, wave: int | None) -> bool:
    if route is None:
        return False
    same_pct = level is not Level.LIMITLESS or route.reads_pct == pct
    return route.level is level and same_pct and wave in (None, route.wave)


def _check_version(
    tenant_id: TenantId,
    route: Standing | None,
    expected: Mapping[TenantId, int] | None,
    route_change: Change,
    wanted: frozenset[TenantId],
) -> None:
    if expected is None or tenant_id not in expected:
        return
    version = route.version if route is not None else 0
    if version == expected[tenant_id]:
        return
    own = route is not None and (route.changed_by, route.reason) == (route_change.who, route_change.reason)
    if not (own and tenant_id not in wanted):
        raise RouteChanged(tenant_id)


def _parts(
    conn: psycopg.Connection[Any], tenants: Sequence[TenantId], known: Mapping[TenantId, Standing], level: Level
) -> dict[TenantId, int]:
    """Return each tenant's mirror partition; refuse to promote a tenant that is not mirrored."""
    places = stored_tenant.places(conn, tenants)
    unknown = [t for t in tenants if t not in places and t not in known]
    if unknown:
        raise PreconditionFailed(
            f"no such tenant: {', '.join(unknown)}", hint="Tenants become known when the backfill is planned."
        )
    if level is not Level.CLASSIC:
        away = [
            f"{t} ({places[t].state if t in places else 'unknown'})"
            for t in tenants
            if t not in places or places[t].state is not TenantState.MIRRORED
        ]
        if away:
            raise PreconditionFailed(
                f"not mirrored, so not readable on limitless: {', '.join(away)}",
                hint="Wait for the backfill, or repair the quarantined tenant first.",
            )
    return {t: places[t].part if t in places else known[t].part for t in tenants}


def _check_moves(tenants: Sequence[TenantId], known: Mapping[TenantId, Standing], level: Level) -> None:
    illegal = []
    for tenant_id in tenants:
        route = known.get(tenant_id)
        now = route.level if route else Level.CLASSIC
        if now is not level and (now, level) not in LEGAL_MOVES:
            illegal.append(f"{tenant_id} from {now} to {level}")
    if illegal:
        raise PreconditionFailed(
            f"illegal move: {', '.join(illegal)}",
            hint="Going up passes through joining; migrator.traffic.route.promote does it.",
        )


def _check_caught_up(
    conn: psycopg.Connection[Any],
    before: Sequence[Standing | None],
    level: Level,
    parts: set[int],
    caught_up: Snapshot | None,
) -> None:
    """Refuse to let reads go to Limitless without proof."""
    if level is not Level.LIMITLESS or all(route and route.level is Level.LIMITLESS for route in before):
        return
    check_included(conn, parts, caught_up)


def watch(conn: psycopg.Connection[Any], tenants: Sequence[TenantId], on: bool, *, who: str = "cutover") -> int:
    """Sample these tenants (processes report their reads one by one), or stop it. Gives them a route if needed."""
    with change(conn, who, "watch" if on else "stop watching") as route_change:
        parts = stored_tenant.not_watched_so(conn, tenants, on)
        if parts:
            stored.watch_routes(conn, parts, on, route_change.next_epoch(), who, route_change.reason)
        return route_change.epoch

"""Who moves a tenant's reads, the global switch, the write mode, and the fallbacks?

Every function owns its transaction, is a compare-and-set, and may be run again: a second run finds the first one's
work and changes nothing. Each returns the epoch to confirm (migrator.route.confirm).

Going up to LIMITLESS (and taking a fallback away) needs proof that the mirror has caught up since every process
waits for it; migrator.route.advance obtains it. Going down needs nothing but classic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg

from migrator.errors import PreconditionFailed, RouteChanged, UsageError
from migrator.model.position import Snapshot
from migrator.model.route import LEGAL_MOVES, FallbackScope, Level, Route, WriteMode
from migrator.model.tenant import REFERENCE_PART, TenantId
from migrator.route.change import Change, change, reachable
from migrator.shim.fallback import raise_fallback as _raise_fallback

_MODES: frozenset[tuple[WriteMode, WriteMode]] = frozenset(
    {
        (WriteMode.CLASSIC_ONLY, WriteMode.DUAL),
        (WriteMode.DUAL, WriteMode.CLASSIC_ONLY),
        (WriteMode.DUAL, WriteMode.CLOSED),
        (WriteMode.CLOSED, WriteMode.DUAL),  # the pause took too long, or something was not right
        (WriteMode.CLOSED, WriteMode.LIMITLESS_ONLY),  # the point of no return
    }
)


def routes(conn: psycopg.Connection[Any]) -> list[Route]:
    """Return the routes of all tenants that were ever moved, ordered by tenant."""
    with reachable():
        rows = conn.execute(
            'SELECT tenant_id, part, level, reads_pct, epoch FROM migrator.route ORDER BY tenant_id COLLATE "C"'
        ).fetchall()
    return [Route(TenantId(t), part, Level(level), pct, epoch) for t, part, level, pct, epoch in rows]


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
        expected: epoch of each route as the caller read it (0: no route yet); moved by somebody else since means
            RouteChanged. Our own change, found again after a lost answer, is no change.
        caught_up: a snapshot of classic taken after every process had confirmed JOINING; required to go from
            JOINING to LIMITLESS, and the published positions must include it. `advance.rejoin` does all that.

    Raises:
        RouteChanged: another epoch was found.
        PreconditionFailed: an illegal move, or a tenant that is not mirrored; lists all of them.
    """
    if not 0 <= pct <= 100:
        raise UsageError(f"reads_pct must be 0 to 100, not {pct}")
    with change(conn, who, reason) as found:
        known = _routes(conn, tenants)
        wanted = [t for t in dict.fromkeys(tenants) if not _is_there(known.get(t), level, pct, wave)]
        for tenant_id in tenants:
            _check_epoch(tenant_id, known.get(tenant_id), expected, found, wanted)
        if not wanted:
            return max((row["epoch"] for row in known.values()), default=found.epoch)
        parts = _parts(conn, wanted, known, level)
        _check_moves(wanted, known, level)
        _check_caught_up(conn, [known.get(t) for t in wanted], level, {parts[t] for t in wanted}, caught_up)
        epoch = found.next_epoch()
        conn.cursor().executemany(
            "INSERT INTO migrator.route AS r"
            " (tenant_id, part, level, reads_pct, wave, epoch, changed_at, changed_by, reason)"
            " VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp(), %s, %s) ON CONFLICT (tenant_id) DO UPDATE"
            " SET level = EXCLUDED.level, reads_pct = EXCLUDED.reads_pct, wave = coalesce(EXCLUDED.wave, r.wave),"
            " epoch = EXCLUDED.epoch, changed_at = EXCLUDED.changed_at, changed_by = EXCLUDED.changed_by,"
            " reason = EXCLUDED.reason",
            [(t, parts[t], level.value, pct, wave, epoch, who, reason) for t in wanted],
        )
        for tenant_id in wanted:
            before = known.get(tenant_id)
            found.decide(
                "route.moved",
                f"tenant/{tenant_id}",
                before and {"level": before["level"], "reads_pct": before["reads_pct"], "epoch": before["epoch"]},
                {"level": level.value, "reads_pct": pct, "epoch": epoch, "wave": wave},
            )
        return epoch


def _routes(conn: psycopg.Connection[Any], tenants: Sequence[TenantId]) -> dict[TenantId, dict[str, Any]]:
    rows = conn.execute(
        "SELECT tenant_id, part, level, reads_pct, wave, epoch, changed_by, reason FROM migrator.route"
        " WHERE tenant_id = ANY(%s)",
        (list(tenants),),
    ).fetchall()
    names = ("part", "level", "reads_pct", "wave", "epoch", "changed_by", "reason")
    return {TenantId(row[0]): dict(zip(names, row[1:], strict=True)) for row in rows}


def _is_there(route: dict[str, Any] | None, level: Level, pct: int, wave: int | None) -> bool:
    if route is None:
        return False
    same_pct = level is not Level.LIMITLESS or route["reads_pct"] == pct
    return route["level"] == level and same_pct and wave in (None, route["wave"])


def _check_epoch(
    tenant_id: TenantId,
    route: dict[str, Any] | None,
    expected: Mapping[TenantId, int] | None,
    found: Change,
    wanted: Sequence[TenantId],
) -> None:
    if expected is None or tenant_id not in expected:
        return
    epoch = 0 if route is None else int(route["epoch"])
    if epoch == expected[tenant_id]:
        return
    ours = route is not None and (route["changed_by"], route["reason"]) == (found.who, found.reason)
    if not (ours and tenant_id not in wanted):
        raise RouteChanged(tenant_id, expected[tenant_id], epoch)


def _parts(
    conn: psycopg.Connection[Any], tenants: Sequence[TenantId], known: Mapping[TenantId, dict[str, Any]], level: Level
) -> dict[TenantId, int]:
    """Return each tenant's mirror partition; refuse to move up what the mirror does not follow."""
    rows = conn.execute(
        "SELECT tenant_id, part, state FROM migrator.tenant WHERE tenant_id = ANY(%s)", (list(tenants),)
    ).fetchall()
    found = {TenantId(t): (part, state) for t, part, state in rows}
    unknown = [t for t in tenants if t not in found and t not in known]
    if unknown:
        raise PreconditionFailed(
            f"no such tenant: {', '.join(unknown)}", hint="Tenants become known when the backfill is planned."
        )
    if level is not Level.CLASSIC:
        away = [
            f"{t} ({found[t][1] if t in found else 'unknown'})"
            for t in tenants
            if found.get(t, (0, ""))[1] != "mirrored"
        ]
        if away:
            raise PreconditionFailed(
                f"not mirrored, so not readable on limitless: {', '.join(away)}",
                hint="Wait for the backfill, or repair the quarantined tenant first.",
            )
    return {t: found[t][0] if t in found else known[t]["part"] for t in tenants}


def _check_moves(tenants: Sequence[TenantId], known: Mapping[TenantId, dict[str, Any]], level: Level) -> None:
    illegal = []
    for tenant_id in tenants:
        route = known.get(tenant_id)
        now = Level(route["level"]) if route else Level.CLASSIC
        if now is not level and (now, level) not in LEGAL_MOVES:
            illegal.append(f"{tenant_id} from {now} to {level}")
    if illegal:
        raise PreconditionFailed(
            f"illegal move: {', '.join(illegal)}",
            hint="Going up passes through joining; migrator.route.advance does it.",
        )


def _check_caught_up(
    conn: psycopg.Connection[Any],
    before: Sequence[dict[str, Any] | None],
    level: Level,
    parts: set[int],
    caught_up: Snapshot | None,
) -> None:
    """Refuse to let reads go to Limitless on hope."""
    if level is not Level.LIMITLESS or all(route and route["level"] == Level.LIMITLESS for route in before):
        return
    check_included(conn, parts, caught_up)


def check_included(conn: psycopg.Connection[Any], parts: set[int], caught_up: Snapshot | None) -> None:
    """Refuse unless the published positions of *parts* and of the reference tables include *caught_up*."""
    if caught_up is None:
        raise UsageError(
            "reads may go to limitless only with proof that the mirror caught up after every process waits for it",
            hint="Use migrator.route.advance.rejoin.",
        )
    behind = behind_of(conn, parts, caught_up)
    if behind:
        raise PreconditionFailed(
            f"the mirror has not caught up in partition{'s' if len(behind) > 1 else ''} {', '.join(map(str, behind))}",
            hint="Try again when the mirror runs; see migrator status.",
        )


def behind_of(conn: psycopg.Connection[Any], parts: set[int], wanted: Snapshot) -> list[int]:
    """Return which of *parts*, the reference partition added, do not include *wanted* yet."""
    rows = conn.execute("SELECT part, snapshot FROM migrator.position").fetchall()
    found = {part: Snapshot.parse(text) for part, text in rows}
    return [p for p in sorted(parts | {REFERENCE_PART}) if p not in found or not found[p].includes(wanted)]


def watch(conn: psycopg.Connection[Any], tenants: Sequence[TenantId], on: bool, *, who: str = "cutover") -> int:
    """Let processes report the latencies of these tenants one by one, or stop it. Gives them a route if needed."""
    with change(conn, who, "watch" if on else "stop watching") as found:
        rows = conn.execute(
            "SELECT t.tenant_id, t.part FROM migrator.tenant t LEFT JOIN migrator.route r USING (tenant_id)"
            " WHERE t.tenant_id = ANY(%s) AND coalesce(r.watched, false) <> %s",
            (list(tenants), on),
        ).fetchall()
        if rows:
            epoch = found.next_epoch()
            conn.cursor().executemany(
                "INSERT INTO migrator.route (tenant_id, part, watched, epoch, changed_by, reason)"
                " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (tenant_id) DO UPDATE"
                " SET watched = EXCLUDED.watched, epoch = EXCLUDED.epoch",
                [(t, part, on, epoch, who, found.reason) for t, part in rows],
            )
        return found.epoch


def switch_version(conn: psycopg.Connection[Any]) -> datetime:
    """Return when the switch row last changed: a compare-and-set value for `switch`."""
    row = conn.execute("SELECT changed_at FROM migrator.switch").fetchone()
    assert row is not None
    found: datetime = row[0]
    return found


def switch(
    conn: psycopg.Connection[Any],
    level: Level,
    *,
    who: str,
    reason: str,
    expected: datetime | None = None,
    caught_up: Snapshot | None = None,
) -> int:
    """Set the global switch, an upper bound for every tenant. Up to LIMITLESS as in `move`.

    Args:
        expected: from `switch_version`; PreconditionFailed when the row changed since.
    """
    with change(conn, who, reason) as found:
        if found.level is level:
            return found.epoch
        if (found.level, level) not in LEGAL_MOVES:
            raise PreconditionFailed(
                f"illegal move: switch from {found.level} to {level}",
                hint="Going up passes through joining; migrator.route.advance does it.",
            )
        if expected is not None and switch_version(conn) != expected:
            raise PreconditionFailed("the switch was moved by somebody else", hint="Look again and decide again.")
        if level is Level.LIMITLESS:
            check_included(conn, parts_in_use(conn), caught_up)
        epoch = found.next_epoch()
        conn.execute(
            "UPDATE migrator.switch SET level = %s, changed_at = clock_timestamp(), changed_by = %s, reason = %s",
            (level.value, who, reason),
        )
        found.decide("switch.moved", "switch", {"level": found.level.value}, {"level": level.value, "epoch": epoch})
        return epoch


def parts_in_use(conn: psycopg.Connection[Any]) -> set[int]:
    """Return the mirror partitions with a tenant that has left classic."""
    return {row[0] for row in conn.execute("SELECT DISTINCT part FROM migrator.route WHERE level <> 'classic'")}


def write_mode(
    conn: psycopg.Connection[Any], mode: WriteMode, *, who: str, reason: str, expected: WriteMode | None = None
) -> int:
    """Set where writes go, for everybody.

    Raises:
        PreconditionFailed: an illegal change, another mode than *expected*, or tenants that still read Limitless.
    """
    with change(conn, who, reason, after_the_end=True) as found:
        if found.write_mode is mode:
            return found.epoch
        if expected is not None and found.write_mode is not expected:
            raise PreconditionFailed(
                f"the write mode is {found.write_mode}, not {expected}", hint="Somebody else changed it; look again."
            )
        if (found.write_mode, mode) not in _MODES:
            raise PreconditionFailed(f"illegal change of the write mode: {found.write_mode} to {mode}")
        if mode is WriteMode.CLASSIC_ONLY:
            _check_nobody_left_classic(conn)
        epoch = found.next_epoch()
        conn.execute(
            "UPDATE migrator.switch SET write_mode = %s, changed_at = clock_timestamp(), changed_by = %s, reason = %s",
            (mode.value, who, reason),
        )
        found.decide(
            "write_mode.changed", "switch", {"write_mode": found.write_mode.value},
            {"write_mode": mode.value, "epoch": epoch},
        )  # fmt: skip
        return epoch


def _check_nobody_left_classic(conn: psycopg.Connection[Any]) -> None:
    row = conn.execute("SELECT count(*) FROM migrator.route WHERE level <> 'classic'").fetchone()
    if row is not None and row[0]:
        raise PreconditionFailed(
            f"{row[0]} tenants are not on classic", hint="Roll them back first: migrator rollback --all."
        )


def raise_fallback(
    conn: psycopg.Connection[Any],
    scope: FallbackScope,
    key: str,
    *,
    by: str,
    reason: str,
    level: Level = Level.CLASSIC,
    held: bool = False,
    incident: bool = True,
) -> int:
    """Make reads of what *scope* and *key* cover come from classic; see migrator.shim.fallback.

    Args:
        held: the monitor leaves it alone; a human takes it away.
        incident: whether it counts against the stabilization window.
    """
    with reachable():
        return _raise_fallback(conn, scope, key, by=by, reason=reason, level=level, held=held, incident=incident)


def ease_fallback(conn: psycopg.Connection[Any], scope: FallbackScope, key: str, *, by: str, reason: str) -> int:
    """First step of taking a fallback away: writes wait for the mirror again, reads still come from classic.

    Returns the epoch to confirm; easing what is eased changes nothing.
    """
    with change(conn, by, reason) as found:
        row = _fallback(conn, scope, key)
        if row is None:
            return found.epoch
        if row[0] != Level.CLASSIC:
            return int(row[1])
        epoch = found.next_epoch()
        conn.execute(
            "UPDATE migrator.fallback SET level = 'joining', epoch = %s WHERE scope = %s AND scope_key = %s",
            (epoch, scope.value, key),
        )
        found.decide("fallback.eased", _subject(scope, key), {"level": row[0], "epoch": row[1]}, {"epoch": epoch})
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
    """Second step: reads go where the route says again. Needs the same proof as `move` to LIMITLESS.

    Args:
        expected: epoch of the fallback as eased; raised again since means PreconditionFailed.
    """
    with change(conn, by, reason) as found:
        row = _fallback(conn, scope, key)
        if row is None:
            return found.epoch
        if row[0] != Level.JOINING or (expected is not None and row[1] != expected):
            raise PreconditionFailed(
                f"the fallback {_subject(scope, key)} was raised again, or never eased",
                hint="Ease it first; migrator.route.advance does both steps.",
            )
        check_included(conn, covered_parts(conn, scope, key), caught_up)
        epoch = found.next_epoch()
        conn.execute("DELETE FROM migrator.fallback WHERE scope = %s AND scope_key = %s", (scope.value, key))
        found.decide("fallback.cleared", _subject(scope, key), {"level": row[0], "epoch": row[1]}, {"epoch": epoch})
        return epoch


def _fallback(conn: psycopg.Connection[Any], scope: FallbackScope, key: str) -> tuple[str, int] | None:
    return conn.execute(
        "SELECT level, epoch FROM migrator.fallback WHERE scope = %s AND scope_key = %s", (scope.value, key)
    ).fetchone()


def _subject(scope: FallbackScope, key: str) -> str:
    return f"fallback/{scope}/{key}"


def covered_parts(conn: psycopg.Connection[Any], scope: FallbackScope, key: str) -> set[int]:
    """Return the mirror partitions whose readers a fallback holds back."""
    if scope is FallbackScope.TENANT:
        return {row[0] for row in conn.execute("SELECT part FROM migrator.route WHERE tenant_id = %s", (key,))}
    if scope is FallbackScope.PART and key != str(REFERENCE_PART):
        return {int(key)}
    return parts_in_use(conn)

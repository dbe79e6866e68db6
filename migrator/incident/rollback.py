"""How does everybody get back to classic, with nothing but a connection to classic?

Classic is authoritative for writes, so nothing can be lost: reads move back at once. The change is written first, then
the processes confirm it; a process that does not answer stops reading Limitless by itself after its staleness limit.
Asking again is fine and says so.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from migrator.control.install import installed_version
from migrator.errors import UsageError
from migrator.model.incident import IncidentKind
from migrator.model.route import Level
from migrator.model.tenant import TenantId
from migrator.route.change import Change, change
from migrator.route.confirm import wait_confirmed


@dataclass(frozen=True, slots=True)
class RollbackResult:
    """What a rollback did.

    Attributes:
        epoch: of the change that put (or had put) reads on classic.
        changed: tenants whose reads it moved.
        processes, confirmed: live processes, and how many have applied it.
        expired: silent processes, which read classic by themselves.
        pending: names of processes that did not confirm in time.
        seconds: from the call until the last confirmation.
        already: whether reads were on classic before.
    """

    epoch: int
    changed: int
    processes: int
    confirmed: int
    seconds: float
    already: bool
    expired: int = 0
    pending: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return not self.pending


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
    """Put reads back on classic: everybody's, a wave's, or some tenants'; then wait for the processes to confirm.

    Raises:
        PreconditionFailed: past the point of no return classic no longer has the latest rows.
        UsageError: none or several of all, wave and tenants were given, or no reason.
    """
    if all + (wave is not None) + bool(tenants) != 1:
        raise UsageError("roll back all, one wave, or some tenants", hint="Give exactly one of them.")
    if not reason.strip():
        raise UsageError("a rollback needs a reason", hint="Say in a few words what was seen.")
    started = time.monotonic()
    epoch, changed, already = _everybody(conn, who, reason) if all else _some(conn, wave, tenants, who, reason)
    found = wait_confirmed(conn, epoch, timeout_s)
    return RollbackResult(
        epoch, changed, found.processes, found.confirmed, time.monotonic() - started, already,
        found.expired, tuple(found.pending),
    )  # fmt: skip


def moved_tenants(conn: psycopg.Connection[Any], wave: int | None, tenants: Sequence[str]) -> list[str]:
    """Return tenants whose route is not classic: of a wave, of *tenants*, or all; none without a control schema."""
    if installed_version(conn) is None:
        return []
    rows = conn.execute(
        "SELECT tenant_id FROM migrator.route WHERE level <> 'classic'"
        " AND (%(wave)s::int IS NULL OR wave = %(wave)s)"
        " AND (cardinality(%(tenants)s::text[]) = 0 OR tenant_id = ANY (%(tenants)s)) ORDER BY tenant_id",
        {"wave": wave, "tenants": list(tenants)},
    )
    return [str(tenant) for (tenant,) in rows]


def _everybody(conn: psycopg.Connection[Any], who: str, reason: str) -> tuple[int, int, bool]:
    with change(conn, who, reason) as found:
        row = conn.execute("SELECT count(*) FROM migrator.route WHERE level = 'limitless'").fetchone()
        reading = int(row[0]) if row else 0
        if found.level is Level.CLASSIC:
            return found.epoch, 0, True
        epoch = found.next_epoch()
        conn.execute(
            "UPDATE migrator.switch"
            " SET level = 'classic', changed_at = clock_timestamp(), changed_by = %s, reason = %s",
            (who, reason),
        )
        found.decide("rollback.decided", "switch", {"level": found.level.value}, {"level": "classic", "epoch": epoch})
        moved = reading if found.level is Level.LIMITLESS else 0
        if moved:
            _remember(found, f"rollback of all ({moved} tenants): {reason}")
        return epoch, moved, not moved


def _some(
    conn: psycopg.Connection[Any], wave: int | None, tenants: Sequence[TenantId], who: str, reason: str
) -> tuple[int, int, bool]:
    with change(conn, who, reason) as found:
        rows = conn.execute(
            "SELECT tenant_id, level, reads_pct, epoch FROM migrator.route WHERE level <> 'classic'"
            " AND CASE WHEN %(wave)s::int IS NULL THEN tenant_id = ANY(%(tenants)s) ELSE wave = %(wave)s END"
            " ORDER BY tenant_id FOR UPDATE",
            {"wave": wave, "tenants": list(tenants)},
        ).fetchall()
        if not rows:
            return found.epoch, 0, True
        epoch = found.next_epoch()
        conn.execute(
            "UPDATE migrator.route SET level = 'classic', epoch = %s, changed_at = clock_timestamp(), changed_by = %s,"
            " reason = %s WHERE tenant_id = ANY(%s)",
            (epoch, who, reason, [row[0] for row in rows]),
        )
        for tenant_id, level, pct, before in rows:
            found.decide(
                "rollback.decided", f"tenant/{tenant_id}", {"level": level, "reads_pct": pct, "epoch": before},
                {"level": "classic", "epoch": epoch},
            )  # fmt: skip
        what = f"wave {wave}" if wave is not None else ", ".join(row[0] for row in rows[:5])
        _remember(found, f"rollback of {what} ({len(rows)} tenants): {reason}")
        return epoch, len(rows), False


def _remember(found: Change, what: str) -> None:
    found.incident(IncidentKind.ROLLBACK.value, what)

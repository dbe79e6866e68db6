"""Who is authoritative from now on, and what is the way back until then?

`hand_over` is the point of no return: before it everything is undone by `reopen`, after it Limitless takes writes
that classic will never see. Both lock the same row, so exactly one of them happens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from migrator.capture import watch
from migrator.control.log import decide
from migrator.decommission import close, closing, drain
from migrator.errors import InvariantBroken, NoGo
from migrator.inventory.look import losses
from migrator.model.table import Table

Connection = psycopg.Connection[Any]


def hand_over(
    classic: Connection,
    limitless: Connection,
    number: int,
    tables: Sequence[Table],
    max_pause_s: float,
    set_limitless_only: Callable[[], int],
) -> int:
    """Make Limitless authoritative and return the epoch. POINT OF NO RETURN. Running it again changes nothing.

    Raises:
        NoGo: something is not as it must be; nothing has changed, and the caller reopens.
        PreconditionFailed: this try was reopened.
    """
    found = closing.require(classic, number, "closed", "handed_over")
    if found.state == "handed_over":
        row = classic.execute("SELECT epoch FROM migrator.switch").fetchone()
        return int(row[0]) if row else 0
    if found.snapshot is None or not drain.closed(limitless, found.snapshot):
        raise NoGo("decommission", ["a mirror partition is not closed at the last write"])
    with classic.transaction():
        found = closing.require(classic, number, "closed", lock=True)
        blockers = [f"{name} would take a write" for name in close.unguarded(classic, tables)]
        blockers += [f"tenant {t} is not mirrored" for t in drain.unknown_tenants(classic)[:5]]
        blockers += losses(classic, limitless)
        blockers += watch.problems(classic)
        if found.age_s > max_pause_s:
            blockers.append(f"writes have been closed for {found.age_s:.1f} s (limit {max_pause_s:g} s)")
        if blockers:
            raise NoGo("decommission", blockers)
        # POINT OF NO RETURN: when this transaction commits, shims write to Limitless and nothing flows back.
        epoch = set_limitless_only()
        closing.mark(classic, number, "handed_over", pause_s=round(found.age_s, 3), epoch=epoch)
        closing.mark_time(classic, number, "handed_over_at")
        return epoch


def reopen(
    classic: Connection,
    number: int,
    tables: Sequence[Table],
    reason: str,
    set_dual: Callable[[], int],
) -> bool:
    """Let classic take writes again; False when Limitless is authoritative already. Safe to run twice.

    Classic first and alone: whatever is wrong with Limitless must not keep writes closed. The caller then lets the
    mirrors take their partitions again (`drain.reopen_positions`); until they do, reads fall back to classic.
    """
    with classic.transaction():
        found = closing.read(classic, number, lock=True)
        if found.state == "handed_over":
            return False
        if found.state != "reopened":
            closing.mark(classic, number, "reopened", reason=reason, pause_s=round(found.age_s, 3))
            decide(classic, "decommission", "writes.reopened", f"decommission/{number}", reason)
    close.remove_triggers(classic, tables, patience_s=30)
    set_dual()
    return True


def settle(classic: Connection, limitless: Connection, number: int) -> str:
    """Write the terminal route on Limitless, for processes that start without classic; returns the digest."""
    row = classic.execute("SELECT epoch, write_mode FROM migrator.switch").fetchone()
    if row is None or row[1] != "limitless_only":
        raise NoGo("decommission", [f"write mode is {row[1] if row else 'unknown'}, not limitless_only"])
    found = closing.read(classic, number)
    digest = decisions_digest(classic)
    # `at` is the hand-over, not this moment: the last snapshot of classic has to be newer than that.
    limitless.execute(
        "INSERT INTO migrator.settled (epoch, write_mode, at, decisions, approver)"
        " VALUES (%s, 'limitless_only', coalesce(%s, now()), %s, %s) ON CONFLICT (epoch) DO NOTHING",
        (row[0], found.handed_over_at, digest, found.approver),
    )
    there = limitless.execute("SELECT write_mode FROM migrator.settled ORDER BY epoch DESC LIMIT 1").fetchone()
    if there != ("limitless_only",):
        raise InvariantBroken(f"the terminal route on Limitless reads {there} after it was stored")
    closing.note(classic, number, decisions_digest=digest)
    return digest


def rehearse(limitless: Connection) -> list[str]:
    """Try what the pause and what follows it writes on Limitless, and take it back; return what would fail."""
    found = []
    for what, act in (("closing mirror positions", _close_all), ("storing the terminal route", _store_route)):
        try:
            with limitless.transaction(force_rollback=True):
                limitless.execute("SET LOCAL lock_timeout = '5s'")
                act(limitless)
        except psycopg.Error as error:
            if limitless.broken:
                raise
            found.append(f"{what} would fail on Limitless: {error.diag.message_primary}")
    return found


def _close_all(limitless: Connection) -> None:
    limitless.execute("UPDATE migrator.mirror_position SET state = 'closed', epoch = epoch + 1 WHERE state = 'open'")
    limitless.execute("UPDATE migrator.copy_lease SET state = 'closed', epoch = epoch + 1 WHERE state <> 'closed'")


def _store_route(limitless: Connection) -> None:
    limitless.execute(
        "INSERT INTO migrator.settled (epoch, write_mode, at, decisions) VALUES (-1, 'limitless_only', now(), '')"
    )


def mark_retiring(limitless: Connection, number: int) -> datetime:
    """Say on Limitless, before the first thing is done to it, that classic is being retired; return the hand-over.

    Afterwards a classic that does not answer is no outage. Safe to run twice.

    Raises:
        NoGo: Limitless holds no terminal route, so nothing may happen to classic.
    """
    limitless.execute(
        "UPDATE migrator.settled SET retiring_try = %s WHERE epoch = (SELECT max(epoch) FROM migrator.settled)",
        (number,),
    )
    row = limitless.execute("SELECT at FROM migrator.settled ORDER BY epoch DESC LIMIT 1").fetchone()
    if row is None:
        raise NoGo("decommission", ["Limitless does not hold the terminal route yet: classic must stay"])
    at: datetime = row[0]
    return at


_DECISIONS = "SELECT id, at, who, kind, subject, before, after, reason FROM migrator.decision ORDER BY id"


def decisions(classic: Connection) -> list[dict[str, Any]]:
    """Return the decision log."""
    names = ("id", "at", "who", "kind", "subject", "before", "after", "reason")
    rows = classic.execute(_DECISIONS)
    return [dict(zip(names, (row[0], row[1].isoformat(), *row[2:]), strict=True)) for row in rows]


def decisions_digest(classic: Connection) -> str:
    """Return the SHA-256 of the decision log as it is now."""
    text = json.dumps(decisions(classic), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def export(classic: Connection, number: int, path: Path) -> Path:
    """Write decisions, approvals, incidents and reports to a JSON file; whole or not at all."""
    found = closing.read(classic, number)
    body = {
        "decommission": {"try": number, "state": found.state, "approver": found.approver, "pause_s": found.pause_s},
        "decisions": decisions(classic),
        "approvals": _rows(classic, "SELECT gate, approver, at::text, evidence FROM migrator.approval ORDER BY at"),
        "incidents": _rows(
            classic,
            "SELECT id, at::text, kind, reason, reported_by, times, first_at::text FROM migrator.incident ORDER BY id",
        ),
        "phases": _rows(
            classic,
            "SELECT phase, state, started_at::text, finished_at::text, detail FROM migrator.phase ORDER BY started_at",
        ),
        "reports": _rows(classic, "SELECT at::text, kind, body FROM migrator.report ORDER BY id"),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(body, indent=2), encoding="utf-8")
    draft.replace(path)
    return path


def _rows(conn: Connection, statement: str) -> list[dict[str, Any]]:
    cursor = conn.execute(statement.encode())
    names = [c.name for c in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor]

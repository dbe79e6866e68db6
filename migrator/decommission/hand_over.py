"""Hands over to Limitless, or reopens writes on classic.

`hand_over` is the point of no return: before it everything is undone by `reopen`, after it Limitless takes writes
that classic does not get. Both lock the same row, so exactly one of them happens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import psycopg

from migrator.control import route, sealing
from migrator.control.log import decide
from migrator.dataplane.capture import watch
from migrator.db.error_text import server_message
from migrator.decommission import attempt, drain, write_stop
from migrator.errors import InvariantBroken, NoGo
from migrator.inventory.look import losses
from migrator.model.route import WriteMode
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
        PreconditionFailed: this attempt was reopened.
    """
    current = attempt.require(classic, number, "closed", "handed_over")
    if current.state == "handed_over":
        return route.switch(classic).epoch
    if current.snapshot is None or not drain.closed(limitless, current.snapshot):
        raise NoGo("decommission", ["a mirror partition is not closed at the last write"])
    with classic.transaction():
        current = attempt.require(classic, number, "closed", lock=True)
        blockers = [f"{name} would take a write" for name in write_stop.unguarded(classic, tables)]
        blockers += [f"tenant {t} is not mirrored" for t in drain.unknown_tenants(classic)[:5]]
        blockers += losses(classic, limitless)
        blockers += watch.problems(classic)
        if current.age_s > max_pause_s:
            blockers.append(f"writes have been closed for {current.age_s:.1f} s (limit {max_pause_s:g} s)")
        if blockers:
            raise NoGo("decommission", blockers)
        # POINT OF NO RETURN: when this transaction commits, shims write to Limitless and nothing flows back.
        epoch = set_limitless_only()
        attempt.mark(classic, number, "handed_over", pause_s=round(current.age_s, 3), epoch=epoch)
        attempt.mark_time(classic, number, "handed_over_at")
        return epoch


def reopen(
    classic: Connection,
    number: int,
    tables: Sequence[Table],
    reason: str,
    set_dual: Callable[[], int],
) -> bool:
    """Let classic take writes again; False when Limitless is authoritative already. Safe to run twice.

    Classic first and alone: an unhealthy Limitless must not keep writes closed. The caller then lets the
    mirrors take their partitions again (`drain.reopen_positions`); until they do, reads fall back to classic.
    """
    with classic.transaction():
        current = attempt.read(classic, number, lock=True)
        if current.state == "handed_over":
            return False
        if current.state != "reopened":
            attempt.mark(classic, number, "reopened", reason=reason, pause_s=round(current.age_s, 3))
            decide(classic, "decommission", "writes.reopened", f"decommission/{number}", reason)
    write_stop.remove_triggers(classic, tables, timeout_s=30)
    set_dual()
    return True


def settle(classic: Connection, limitless: Connection, number: int) -> str:
    """Write the terminal route on Limitless, for processes that start without classic; returns the digest."""
    now = route.switch(classic)
    if now.write_mode is not WriteMode.LIMITLESS_ONLY:
        raise NoGo("decommission", [f"write mode is {now.write_mode}, not limitless_only"])
    current = attempt.read(classic, number)
    digest = decisions_digest(classic)
    # `at` is the hand-over, not this moment: the last snapshot of classic has to be newer than that.
    route.store_settled(limitless, now.epoch, current.handed_over_at, digest, current.approver)
    there = route.settled(limitless)
    if there is None or there.write_mode != WriteMode.LIMITLESS_ONLY:
        what = there.write_mode if there else "nothing"
        raise InvariantBroken(f"the terminal route on Limitless reads {what} after it was stored")
    attempt.note(classic, number, decisions_digest=digest)
    return digest


def rehearse(limitless: Connection) -> list[str]:
    """Try what the pause and what follows it writes on Limitless, and roll it back; return what would fail."""
    problems = []
    for what, act in (("closing mirror positions", drain.close_all), ("storing the terminal route", _store_route)):
        try:
            with limitless.transaction(force_rollback=True):
                limitless.execute("SET LOCAL lock_timeout = '5s'")
                act(limitless)
        except psycopg.Error as error:
            if limitless.broken:
                raise
            problems.append(f"{what} would fail on Limitless: {server_message(error)}")
    return problems


def _store_route(limitless: Connection) -> None:
    route.store_settled(limitless, -1, None, "", "")


def mark_retiring(limitless: Connection, number: int) -> datetime:
    """Store on Limitless that classic is being retired, before anything is done to it; return the hand-over.

    Afterwards an unreachable classic is no outage. Safe to run twice.

    Raises:
        NoGo: Limitless holds no terminal route, so nothing may happen to classic.
    """
    route.mark_retiring(limitless, number)
    there = route.settled(limitless)
    if there is None:
        raise NoGo("decommission", ["Limitless does not hold the terminal route yet: classic must stay"])
    return there.at


def decisions_digest(classic: Connection) -> str:
    """Return what stands for the decision log as it is now: the head of its hash chain."""
    sealing.seal_all(classic)
    return sealing.head(classic).hash

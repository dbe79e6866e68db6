"""Tells how far the decommission is, and where a new run of it begins.

After an interruption the next run reads the state of both sides and goes on from there. Before the point of no
return it begins again from the start, after reopening writes that an ended run left closed; behind it it only goes on,
each step once. Classic may not exist any more by then: Limitless knows whether it was being retired.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing as closing_
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg

from migrator.control import route
from migrator.control.phase import phases_done as stored_as_done
from migrator.decommission import attempt
from migrator.errors import ClusterUnavailable, InvariantBroken
from migrator.model.phase import Phase
from migrator.model.route import WriteMode

Connection = psycopg.Connection[Any]


class Entry(StrEnum):
    """What a run of the decommission does first."""

    REOPEN = "reopen"  # writes were closed by a run that has ended
    PREPARE = "prepare"
    SETTLE = "settle"
    EXPORT = "export"
    RELEASE = "release"


BEHIND = frozenset({Entry.SETTLE, Entry.EXPORT, Entry.RELEASE})
"""Entries behind the point of no return."""


@dataclass(frozen=True, slots=True)
class DecommissionProgress:
    """How far the newest attempt to retire classic is.

    Attributes:
        number: of the newest attempt; None when there was none.
        state: of that attempt; see `attempt.Attempt`.
        settled: the terminal route is on Limitless and capture is off.
        exported: the dossier was written.
        retiring: Limitless holds that classic is being retired; classic may not answer any more.
    """

    write_mode: WriteMode | None = None
    number: int | None = None
    state: str | None = None
    approver: str = ""
    settled: bool = False
    exported: bool = False
    retiring: bool = False


def enter_at(stand: DecommissionProgress) -> Entry:
    """Return where a run begins. Pure.

    Raises:
        InvariantBroken: what classic says of the write mode and of the attempt exclude each other.
    """
    if stand.retiring:
        return Entry.RELEASE
    handed_over = stand.state == "handed_over"
    if handed_over is not (stand.write_mode is WriteMode.LIMITLESS_ONLY):
        raise InvariantBroken(
            f"the write mode is {stand.write_mode}, but attempt {stand.number} to retire classic is {stand.state}"
        )
    if handed_over:
        if not stand.settled:
            return Entry.SETTLE
        return Entry.RELEASE if stand.exported else Entry.EXPORT
    # Closed by a run that has ended, for an unknown time: so writes open before anything else happens.
    if stand.state in ("closing", "closed") or stand.write_mode is WriteMode.CLOSED:
        return Entry.REOPEN
    return Entry.PREPARE


def phases_done(write_mode: WriteMode, done: frozenset[Phase]) -> tuple[Phase, ...]:
    """Return the phases that a new migration need not begin with, given those that classic calls *done*. Pure.

    Their gates are asked again, except where that could change nothing: behind the point of no return, and for the
    schema that rows are already captured into.
    """
    if write_mode is WriteMode.LIMITLESS_ONLY:
        return (Phase.AUDIT, Phase.PROVISION, Phase.DUAL_WRITE, Phase.CUTOVER, Phase.STABILIZE)
    before = (Phase.AUDIT, Phase.PROVISION)
    return before if write_mode is not WriteMode.CLASSIC_ONLY and done.issuperset(before) else ()


def read(classic: Connection) -> DecommissionProgress:
    """Return how far it is, as classic knows it."""
    write_mode = route.switch(classic).write_mode
    number = attempt.latest(classic)
    if number is None:
        return DecommissionProgress(write_mode)
    current = attempt.read(classic, number)
    return DecommissionProgress(
        write_mode, number, current.state, current.approver, bool(current.settled_at), bool(current.exported_at)
    )


def done_phases(classic: Connection) -> frozenset[Phase]:
    """Return the phases that classic calls done."""
    return frozenset(Phase(phase) for phase in stored_as_done(classic) if phase in set(Phase))


def retiring(limitless: Connection) -> DecommissionProgress | None:
    """Return how far it is when classic was being retired, as Limitless knows it; else None."""
    retirement = route.retiring(limitless)
    if retirement is None:
        return None
    return DecommissionProgress(
        WriteMode.LIMITLESS_ONLY, retirement.number, "handed_over", retirement.approver, True, True, True
    )


def find(open_classic: Callable[[], Connection], open_limitless: Callable[[], Connection]) -> DecommissionProgress:
    """Return how far it is, from classic, or from Limitless when classic was being retired and is unreachable.

    Raises:
        ClusterUnavailable: classic is unreachable, and its retirement has not begun.
    """
    try:
        with closing_(open_classic()) as classic:
            return read(classic)
    except (ClusterUnavailable, psycopg.OperationalError):
        with closing_(open_limitless()) as limitless:
            stand = retiring(limitless)
        if stand is None:
            raise
        return stand

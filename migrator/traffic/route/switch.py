"""Moves the switch, the upper bound of every tenant's level."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg

from migrator.control import route as stored
from migrator.errors import PreconditionFailed
from migrator.model.position import Snapshot
from migrator.model.route import LEGAL_MOVES, Level
from migrator.traffic.route.caught_up import check_included, check_mirrored, parts_in_use
from migrator.traffic.route.change import change


def switch_version(conn: psycopg.Connection[Any]) -> datetime:
    """Return when the switch row last changed: a compare-and-set value for `switch`."""
    return stored.switch(conn).changed_at


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
    with change(conn, who, reason) as route_change:
        if route_change.level is level:
            return route_change.epoch
        if (route_change.level, level) not in LEGAL_MOVES:
            raise PreconditionFailed(
                f"illegal move: switch from {route_change.level} to {level}",
                hint="Going up passes through joining; migrator.traffic.route.promote does it.",
            )
        if expected is not None and switch_version(conn) != expected:
            raise PreconditionFailed("the switch was changed meanwhile", hint="See migrator status, then decide again.")
        if level is Level.LIMITLESS:
            check_included(conn, parts_in_use(conn), caught_up)
            check_mirrored(conn)
        epoch = route_change.next_epoch()
        stored.set_level(conn, level, who, reason)
        route_change.decide(
            "switch.moved", "switch", {"level": route_change.level.value}, {"level": level.value, "epoch": epoch}
        )
        return epoch

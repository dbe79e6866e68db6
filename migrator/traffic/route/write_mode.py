"""Sets the write mode."""

from __future__ import annotations

from typing import Any

import psycopg

from migrator.control import route as stored
from migrator.errors import PreconditionFailed
from migrator.model.counted import counted
from migrator.model.route import Level, WriteMode
from migrator.traffic.route.change import change

_MODES: frozenset[tuple[WriteMode, WriteMode]] = frozenset(
    {
        (WriteMode.CLASSIC_ONLY, WriteMode.DUAL),
        (WriteMode.DUAL, WriteMode.CLASSIC_ONLY),
        (WriteMode.DUAL, WriteMode.CLOSED),
        (WriteMode.CLOSED, WriteMode.DUAL),  # the pause took too long, or a check failed
        (WriteMode.CLOSED, WriteMode.LIMITLESS_ONLY),  # the point of no return
    }
)


def write_mode(
    conn: psycopg.Connection[Any], mode: WriteMode, *, who: str, reason: str, expected: WriteMode | None = None
) -> int:
    """Set where writes go, for everybody.

    Raises:
        PreconditionFailed: an illegal change, another mode than *expected*, or tenants that still read Limitless.
    """
    with change(conn, who, reason, after_the_end=True) as route_change:
        if route_change.write_mode is mode:
            return route_change.epoch
        if expected is not None and route_change.write_mode is not expected:
            raise PreconditionFailed(
                f"the write mode is {route_change.write_mode}, not {expected}",
                hint="Changed meanwhile: see migrator status.",
            )
        if (route_change.write_mode, mode) not in _MODES:
            raise PreconditionFailed(f"illegal change of the write mode: {route_change.write_mode} to {mode}")
        if mode is WriteMode.CLASSIC_ONLY:
            _check_nobody_left_classic(conn)
        epoch = route_change.next_epoch()
        stored.set_write_mode(conn, mode, who, reason)
        route_change.decide(
            "write_mode.changed", "switch", {"write_mode": route_change.write_mode.value},
            {"write_mode": mode.value, "epoch": epoch},
        )  # fmt: skip
        return epoch


def _check_nobody_left_classic(conn: psycopg.Connection[Any]) -> None:
    away = stored.count_at(conn, Level.JOINING, Level.LIMITLESS)
    if away:
        raise PreconditionFailed(
            f"{counted(away, 'tenant is', 'tenants are')} not on classic",
            hint="Roll them back first: migrator rollback --all.",
        )

"""Drains the mirrors to a snapshot from after the closing, then keeps them from writing any more.

Checkpoints are read on Limitless.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg

from migrator.control.copy_unit import close_leases, reopen_leases
from migrator.control.partition import close_positions as take_positions
from migrator.control.partition import mirror_positions, reference_changed_since
from migrator.control.partition import reopen_positions as give_positions_back
from migrator.control.tenant import changed_since as tenants_changed_since
from migrator.control.tenant import changed_since_clean as changed_tenants
from migrator.control.tenant import reference_changed_since_clean as reference_changed
from migrator.control.tenant import unmirrored as unknown_tenants
from migrator.control.validation import nobodys_changed
from migrator.errors import NoGo, PreconditionFailed
from migrator.model.position import Snapshot
from migrator.model.tenant import TenantId

__all__ = [
    "behind",
    "changed_since",
    "changed_tenants",
    "close_all",
    "close_positions",
    "closed",
    "nobodys_changed",
    "reference_changed",
    "reopen_positions",
    "unknown_tenants",
]

Connection = psycopg.Connection[Any]


def behind(limitless: Connection, snapshot: Snapshot) -> list[int]:
    """Return partitions that have not reached *snapshot*."""
    checkpoints = mirror_positions(limitless)
    if not checkpoints:
        raise PreconditionFailed("Limitless knows no mirror partition")
    return [position.part for position in checkpoints if not position.snapshot.includes(snapshot)]


def changed_since(classic: Connection, at: datetime, margin_s: float) -> tuple[list[TenantId], bool]:
    """Return the tenants that changed since *at*, and whether a reference table did."""
    return tenants_changed_since(classic, at, margin_s), reference_changed_since(classic, at, margin_s)


def close_positions(limitless: Connection, snapshot: Snapshot) -> None:
    """Close every checkpoint and every copy lease, so that no mirror or copy can commit.

    One compare-and-swap per row: a mirror that goes on late finds another lease term and the state closed, and stops
    before it writes. Safe to run twice.

    Raises:
        NoGo: a partition is not at *snapshot*; the caller reopens.
    """
    with limitless.transaction():
        close_all(limitless)
        late = behind(limitless, snapshot)
        if late:
            raise NoGo("decommission", [f"mirror partition {part} has not reached the last write" for part in late])


def close_all(limitless: Connection) -> None:
    """Close every checkpoint and copy lease, wherever they are, in the caller's transaction."""
    take_positions(limitless)
    close_leases(limitless)


def closed(limitless: Connection, snapshot: Snapshot) -> bool:
    """Return whether all checkpoints are closed and hold everything up to *snapshot*."""
    checkpoints = mirror_positions(limitless)
    return bool(checkpoints) and all(one.closed and one.snapshot.includes(snapshot) for one in checkpoints)


def reopen_positions(limitless: Connection) -> None:
    """Let mirrors take their partitions again; safe to run twice."""
    with limitless.transaction():
        give_positions_back(limitless)
        reopen_leases(limitless)

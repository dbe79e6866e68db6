"""Gives each copy unit the snapshot it is copied at.

Its own, or, for a range of a huge tenant, that of another range that is being copied now: so all ranges show the
tenant at one moment, and the mirror takes over from there. A range that borrows a snapshot lends it on, so it lives as
long as the ranges overlap, whatever becomes of the first; after the last lender has ended, the next range takes its
own, and the tenant counts as copied at the earliest.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from migrator.control import copy_unit, journal

Connection = psycopg.AsyncConnection[Any]

_BEGIN = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"

# The lender's transaction, or its session, has ended.
_GONE = (psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject, psycopg.errors.UndefinedFile)


async def pin(control: Connection, unit_id: str, tenant: str | None) -> str | None:
    """Keep the journal from here on, before any snapshot is taken; return the snapshot to borrow, if there is one.

    A retention pin never moves forward: others may have borrowed the snapshot it was made for.

    Args:
        tenant: of which the unit is a range; None when it has its tenants to itself.
    """
    async with control.transaction():
        lent = await copy_unit.lent(control, tenant, unit_id) if tenant is not None else None
        await journal.keep(control, unit_id, lent[1] if lent else None, shared=tenant is not None)
    return lent[0] if lent else None


async def begin(classic: Connection, borrowed: str | None) -> str:
    """Begin *classic*'s transaction at *borrowed* if it still lives, else at its own snapshot; return the pg_snapshot.

    The caller ends the transaction.
    """
    await classic.execute("BEGIN")
    await classic.execute(_BEGIN)
    if borrowed is not None:
        try:
            await classic.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(borrowed)))
        except _GONE:
            await classic.execute("ROLLBACK")
            await classic.execute("BEGIN")
            await classic.execute(_BEGIN)
    row = await (await classic.execute("SELECT pg_current_snapshot()::text")).fetchone()
    return str(row[0]) if row else ""


async def lend(control: Connection, classic: Connection, unit_id: str, tenant: str) -> None:
    """Let other ranges of *tenant* borrow the snapshot of *classic*'s transaction while that lives."""
    row = await (
        await classic.execute(
            "SELECT pg_export_snapshot(), pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        )
    ).fetchone()
    exported, pid, started = row if row is not None else (None, None, None)
    await copy_unit.lend(control, unit_id, tenant, exported, pid, started)

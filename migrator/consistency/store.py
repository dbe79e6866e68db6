"""Reads what a validation needs before it begins: captured tables, and the load of classic."""

from __future__ import annotations

from migrator.consistency.fence import Connection
from migrator.control.generation import seen as generations
from migrator.control.tables import captured_tables_async
from migrator.control.tenant_copy import known
from migrator.control.validation import (
    begin,
    candidates,
    divergences,
    end,
    mark,
    shows,
    verdicts,
    whole_age_s,
)
from migrator.model.table import Table

__all__ = [
    "active_sessions",
    "begin",
    "candidates",
    "divergences",
    "end",
    "generations",
    "known",
    "mark",
    "shows",
    "tables",
    "verdicts",
    "whole_age_s",
]


async def tables(control: Connection) -> list[Table]:
    """Return the captured tables, as *control*'s snapshot describes them."""
    return list((await captured_tables_async(control)).values())


async def active_sessions(control: Connection) -> int:
    """Return how many other sessions of this database run a statement now."""
    cursor = await control.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client backend'"
        " AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0

"""Names of capture's objects."""

from __future__ import annotations

from psycopg import sql

from migrator.model.table import split_qualified

TRIGGER = "migrator_capture"
GUARD = "migrator_guard"
EVENTS = ("insert", "update", "delete")
REKEY = "rekey"
"""The row trigger that names the old key of a row whose key or tenant changes."""


def table_identifier(qualified: str) -> sql.Identifier:
    """Return the quoted name of a table known by its `Table.qualified`."""
    return sql.Identifier(*split_qualified(qualified))


def journal(table_id: int) -> str:
    """Name of a table's journal, the parent of its ring slots."""
    return f"journal_{table_id}"


def journal_slot(table_id: int, slot: int) -> str:
    return f"journal_{table_id}_{slot}"


def function(table_id: int, event: str) -> str:
    return f"capture_{table_id}_{event}"


def trigger(event: str) -> str:
    return f"{TRIGGER}_{event}"


def key_column(number: int) -> str:
    """Journal column of the number-th key column (from 0); never collides with the journal's own."""
    return f"k{number}"

"""Reads columns and indexes from the catalog, and tries new ones on temporary tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from migrator.catalog import details
from migrator.catalog.read import columns
from migrator.catalog.values import Column, Index
from migrator.dataplane.change import change_sql
from migrator.dataplane.change.change import Change
from migrator.dataplane.change.kinds import RequestedChange
from migrator.dataplane.change.names import looked_up_in
from migrator.model.table import qualify

Connection = psycopg.Connection[Any]


def columns_of(conn: Connection, table: str) -> dict[str, tuple[str, bool]]:
    """Return declared type and NOT NULL of every column of *table* on *conn*'s side; none for no table."""
    return {c.name: (c.declared, c.never_null) for c in _columns(conn, change_sql.table_name(table))}


def column_of(conn: Connection, table: str, name: str) -> Column:
    """Return a column of *table* as *conn*'s side has it now.

    Raises:
        StopIteration: there is none.
    """
    return next(c for c in _columns(conn, change_sql.table_name(table)) if c.name == name)


def has_column(conn: Connection, table: sql.Identifier, name: str) -> bool:
    """Return whether a table, also a temporary one, has a column *name*."""
    return any(c.name == name for c in _columns(conn, table))


def _columns(conn: Connection, table: sql.Identifier) -> list[Column]:
    oid = details.oid_of(conn, table)
    return [] if oid is None else [c for found in columns(conn, relation=oid).values() for c in found]


def index_of(conn: Connection, schema: str, name: str) -> tuple[str, bool] | None:
    """Return the table of an index, and whether the index is valid; None when there is no such index."""
    found = details.index_of(conn, sql.Identifier(schema, name))
    return None if found is None else (qualify(*found.table), found.valid)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the server made of a new column, every name qualified. *value* is what its one row then held, as text."""

    type: str
    default: str
    is_domain: bool
    rewritten: bool
    value: str | None


def try_column(conn: Connection, request: RequestedChange) -> Seen:
    """Add the column to a temporary table of one row, in the caller's transaction, which rolls it back.

    Raises:
        psycopg.Error: the server refuses type, collation or default.
    """
    table = change_sql.temporary(change_sql.ONE_ROW)
    conn.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} AS SELECT 1 AS migrator_row").format(sql.Identifier(change_sql.ONE_ROW))
    )
    column = [sql.Identifier(request.name), sql.SQL(request.type)]
    if request.collation:
        column.append(sql.SQL("COLLATE {}").format(sql.SQL(request.collation)))
    if request.default:
        column.append(sql.SQL("DEFAULT {}").format(sql.SQL(request.default)))
    files = []
    for statement in (
        sql.SQL("SELECT"),
        sql.SQL("ALTER TABLE {} ADD COLUMN {}").format(table, sql.SQL(" ").join(column)),
    ):
        with looked_up_in(conn, request.path):
            conn.execute(statement)
        row = conn.execute("SELECT pg_relation_filenode(to_regclass(%s))", (table.as_string(conn),)).fetchone()
        files.append(row[0] if row else None)
    made = next(c for c in _columns(conn, table) if c.name == request.name)
    row = conn.execute(sql.SQL("SELECT {}::text FROM {}").format(sql.Identifier(request.name), table)).fetchone()
    return Seen(made.declared, made.default or "", bool(made.domain), files[0] != files[1], row[0] if row else None)


def read_index(conn: Connection, change: Change, name: sql.Identifier) -> Index:
    """Return the index *name* as if it were on the change's table.

    Raises:
        LookupError: there is no such index.
    """
    found = details.index_of(conn, name)
    if found is None:
        raise LookupError(f"there is no index {name.as_string(conn)}")
    return replace(found, name=change.name, table=(change.schema, change.table), constraint=False, deferrable="")

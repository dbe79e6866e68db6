"""Reads columns and indexes from the catalog, and tries new ones on temporary tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from migrator.dataplane.change import change_sql
from migrator.dataplane.change.change import Change
from migrator.dataplane.change.request import RequestedChange
from migrator.model.table import qualify
from migrator.provision.catalog import Index

Connection = psycopg.Connection[Any]


def quoted(conn: Connection, table: str) -> str:
    """Return the text that names *table* (by its `Table.qualified`) in SQL."""
    return change_sql.table_name(table).as_string(conn)


def columns_of(conn: Connection, table: str) -> dict[str, tuple[str, bool]]:
    """Return type text and NOT NULL of every column of *table* on *conn*'s side."""
    rows = conn.execute(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
        (quoted(conn, table),),
    )
    return {str(name): (str(kind), bool(not_null)) for name, kind, not_null in rows}


def index_of(conn: Connection, schema: str, name: str) -> tuple[str, bool] | None:
    """Return the table of an index, and whether the index is valid; None when there is no such index."""
    row = conn.execute(
        "SELECT n.nspname, t.relname, i.indisvalid FROM pg_index i"
        " JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace"
        " WHERE i.indexrelid = to_regclass(%s)",
        (sql.Identifier(schema, name).as_string(conn),),
    ).fetchone()
    return None if row is None else (qualify(str(row[0]), str(row[1])), bool(row[2]))


@dataclass(frozen=True, slots=True)
class Seen:
    """What the server made of a new column. *value* is what its one row then held, as text."""

    type: str
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
        conn.execute(statement)
        row = conn.execute("SELECT pg_relation_filenode(to_regclass(%s))", (table.as_string(conn),)).fetchone()
        files.append(row[0] if row else None)
    found = conn.execute(
        sql.SQL(
            "SELECT format_type(a.atttypid, a.atttypmod), t.typtype = 'd', (SELECT {}::text FROM {})"
            " FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
            " WHERE a.attrelid = to_regclass({}) AND a.attname = {}"
        ).format(sql.Identifier(request.name), table, sql.Literal(table.as_string(conn)), sql.Literal(request.name))
    ).fetchone()
    kind, is_domain, value = found if found is not None else ("", False, None)
    return Seen(str(kind), bool(is_domain), files[0] != files[1], value)


def read_index(conn: Connection, change: Change, name: sql.Identifier) -> Index:
    """Return the index *name* as if it were on the change's table."""
    row = conn.execute(change_sql.READ_INDEX, (name.as_string(conn),)).fetchone()
    unique, partial, method, tail, columns = row if row is not None else (change.unique, False, "btree", "", ())
    return Index(
        change.name,
        (change.schema, change.table),
        bool(unique),
        tuple(columns),
        str(method),
        str(tail),
        partial=bool(partial),
    )

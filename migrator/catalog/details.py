"""Reads what is to be known of one object: which partitions a table has, how its values travel, what depends on it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from migrator.catalog.read import indexes
from migrator.catalog.values import Form, Index, Name
from migrator.db.named import load
from migrator.model.table import split_qualified

Connection = psycopg.Connection[Any]

_SQL = load("migrator.catalog", "details.sql")


def oid_of(conn: Connection, name: sql.Identifier | str) -> int | None:
    """Return the oid of a relation, by its `Table.qualified` or an identifier; None when there is none."""
    identifier = sql.Identifier(*split_qualified(name)) if isinstance(name, str) else name
    row = conn.execute("SELECT to_regclass(%s)::oid::int8", (identifier.as_string(conn),)).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def members(conn: Connection, relation: str) -> dict[Name, int]:
    """Return a table and, of a root of partitions, all of these with their oids; the root first.

    *relation* is what names it in SQL, or its oid as text.

    Raises:
        psycopg.errors.UndefinedTable: there is no table of this name.
    """
    return {(row["schema"], row["name"]): row["oid"] for row in _rows(conn, "members", relation=relation)}


def index_of(conn: Connection, name: sql.Identifier) -> Index | None:
    """Return one index, also of a partition or of a temporary table; None when there is none of this name."""
    oid = oid_of(conn, name)
    return None if oid is None else next(iter(indexes(conn, index=oid)), None)


def forms(conn: Connection, relation: int) -> dict[str, Form]:
    """Return how the values of each column of a table look and travel."""
    return {row.pop("name"): Form(**row) for row in _rows(conn, "forms", relation=relation)}


def unfired_keys(conn: Connection, schemas: Collection[str]) -> set[tuple[Name, str]]:
    """Return the foreign keys, by table and name, that a disabled trigger leaves unchecked."""
    rows = _rows(conn, "unfired_keys", schemas=list(schemas))
    return {((row["schema"], row["table_name"]), row["name"]) for row in rows}


def labels(conn: Connection, enum: sql.Identifier) -> list[str]:
    """Return the values of an enum, in order; none for a type that is no enum, or not there."""
    return [row["label"] for row in _rows(conn, "labels", type=enum.as_string(conn))]


def dependents(conn: Connection, relation: int, column: str) -> list[tuple[str, Name]]:
    """Return what depends on a column and would break without it: its description; schema and name of an index."""
    rows = _rows(conn, "dependents", relation=relation, column=column)
    return [(row["description"], (row["schema"], row["name"])) for row in rows]


def backed_by(conn: Connection, index: int) -> list[tuple[str, str, str]]:
    """Return the constraints that need an index: definition, name, and the table's name as SQL."""
    rows = _rows(conn, "backed_by", index=index)
    return [(row["definition"], row["name"], row["table_name"]) for row in rows]


def fed_columns(conn: Connection, sequence: sql.Identifier) -> list[tuple[str, str, str]]:
    """Return schema, table and name of the columns whose values are the numbers of a sequence.

    Raises:
        psycopg.errors.UndefinedTable: there is no sequence of this name.
    """
    rows = _rows(conn, "fed_columns", relation=sequence.as_string(conn))
    return [(row["schema"], row["table_name"], row["name"]) for row in rows]


def _rows(conn: Connection, name: str, **parameters: object) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute(_SQL[name], parameters)
        return cursor.fetchall()

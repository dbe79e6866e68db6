"""Reads what is to be known of one object: which partitions a table has, how its values travel, what depends on it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from migrator.catalog.read import indexes
from migrator.catalog.values import Constraint, Form, Index, Name
from migrator.db.named import load
from migrator.model.table import qualify, split_qualified

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


class Dependent(NamedTuple):
    """What would break without a column.

    Attributes:
        name: schema and name of an index, a constraint or a view.
        sort: 'i' of an index, 'c', 'f', 'u', 'p' or 'x' of a constraint that go with it; 'v' of a view; else ''.
    """

    description: str
    name: Name
    sort: str


def dependents(conn: Connection, relation: int, column: str) -> list[Dependent]:
    """Return what depends on a column and would break without it."""
    rows = _rows(conn, "dependents", relation=relation, column=column)
    return [Dependent(row["description"], (row["schema"], row["name"]), row["sort"]) for row in rows]


class Needing(NamedTuple):
    """What keeps a table from being dropped.

    Attributes:
        name: schema and name of a view; table and name, both qualified, of a constraint; '' and the name of a function.
        constraint: it is one.
    """

    description: str
    name: Name
    constraint: bool


def needing(conn: Connection, relations: Sequence[int]) -> list[Needing]:
    """Return what would remain, and break, if *relations* were dropped together."""
    return [
        Needing(row["description"], (_holder(row), row["name"] or ""), bool(row["table_name"]))
        for row in _rows(conn, "needing", relations=list(relations))
    ]


def _holder(row: dict[str, Any]) -> str:
    schema, table = row["schema"] or "", row["table_name"]
    return qualify(schema, table) if table else schema


def partition_root(conn: Connection, relation: int) -> Name | None:
    """Return the table at the top of which a relation is a partition; None where it is none."""
    return next(((row["schema"], row["name"]) for row in _rows(conn, "partition_root", relation=relation)), None)


def owned_sequences(conn: Connection, relation: int) -> list[Name]:
    """Return the sequences that go with a table: of serial and identity columns, and others it owns."""
    return [(row["schema"], row["name"]) for row in _rows(conn, "owned_sequences", relation=relation)]


def backed_by(conn: Connection, index: int) -> list[tuple[str, str, str]]:
    """Return the constraints that need an index: definition, name, and the table's name as SQL."""
    rows = _rows(conn, "backed_by", index=index)
    return [(row["definition"], row["name"], row["table_name"]) for row in rows]


def constraints(conn: Connection, table: sql.Identifier | str) -> dict[str, Constraint]:
    """Return the constraints of a table, also of a temporary one, by name; none for no table."""
    relation = oid_of(conn, table)
    found = () if relation is None else _rows(conn, "constraints", relation=relation)
    return {row["name"]: Constraint(**{**row, "columns": tuple(row["columns"])}) for row in found}


def is_taken(conn: Connection, schema: str, name: str) -> tuple[bool, bool]:
    """Return whether a schema has a relation of this name, and whether it has a constraint of it."""
    [row] = _rows(conn, "is_taken", schema=schema, wanted=name)
    return row["relation"], row["constraint"]


def index_columns(conn: Connection, index: int) -> list[str]:
    """Return the names of an index's columns, also of those that are expressions, in order."""
    return [row["name"] for row in _rows(conn, "index_columns", index=index)]


def typed_columns(conn: Connection, relation: sql.Identifier) -> list[tuple[str, str]]:
    """Return name and type of the columns of a table or a view, also of a temporary one.

    Raises:
        psycopg.errors.UndefinedTable: there is none of this name.
    """
    return [(row["name"], row["type"]) for row in _rows(conn, "typed_columns", relation=relation.as_string(conn))]


def files(conn: Connection, table: sql.Identifier) -> list[int]:
    """Return what tells whether a table or an index of it was written anew: the numbers of their files."""
    return [row["file"] for row in _rows(conn, "files", relation=oid_of(conn, table))]


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

"""Reads what an object is called, belongs to and says about itself, by its oid or its name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from migrator.catalog.values import Name
from migrator.db.named import load
from migrator.model.table import split_qualified

Connection = psycopg.Connection[Any]

_SQL = load("migrator.catalog", "objects.sql")


@dataclass(frozen=True, slots=True)
class Made:
    """A table that was made directly. *logged*: it survives a crash."""

    oid: int
    schema: str
    name: str
    logged: bool
    comment: str


def made(conn: Connection, qualified: str) -> Made | None:
    """Return the table of this `Table.qualified`; None when there is none."""
    name = sql.Identifier(*split_qualified(qualified)).as_string(conn)
    with conn.cursor(row_factory=class_row(Made)) as cursor:
        return cursor.execute(_SQL["made"], {"table": name}).fetchone()


def without_grants(conn: Connection, schemas: Collection[str]) -> set[Name]:
    """Return the tables of *schemas* on which nothing was ever granted."""
    return {(str(schema), str(name)) for schema, name in conn.execute(_SQL["without_grants"], {"schemas": [*schemas]})}


def partition_root(conn: Connection, relation: int) -> int | None:
    """Return the oid of the table at the top of the partitions that *relation* is in, or its own; None: it is gone."""
    row = conn.execute(_SQL["root"], {"relation": relation}).fetchone()
    return int(row[0]) if row is not None else None


def type_name(conn: Connection, oid: int) -> Name | None:
    """Return schema and name of a type; None when there is none of this oid."""
    row = conn.execute(_SQL["type"], {"type": oid}).fetchone()
    return (str(row[0]), str(row[1])) if row is not None else None

"""Reads what either side holds: all of it in one snapshot, or one sort of object.

The one reader of pg_catalog for the plan, for provisioning and for changes, so that they cannot disagree. Connections
are the tool's own: their search_path is pg_catalog.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import psycopg
from psycopg import pq
from psycopg.rows import dict_row

from migrator.catalog import rows
from migrator.catalog.values import (
    Catalog,
    Check,
    Collation,
    Column,
    ForeignKey,
    Index,
    Name,
    Relation,
    Routine,
    TableShape,
)
from migrator.catalog.values import Sequence as SequenceShape
from migrator.db.named import load

Connection = psycopg.Connection[Any]

_SQL = load("migrator.catalog", "read.sql")


def is_limitless(conn: Connection) -> bool:
    """Return whether *conn*'s server is Limitless (or stands in for it).

    Source: the test the AWS ODBC driver uses.
    """
    row = conn.execute("SELECT to_regclass('rds_aurora.limitless_subclusters') IS NOT NULL").fetchone()
    return bool(row and row[0])


def read(conn: Connection, schemas: Sequence[str], *, declared_sequences: bool = False) -> Catalog:
    """Return what *conn*'s side holds in *schemas*, in one snapshot; owns its transaction.

    Args:
        declared_sequences: Limitless tells sequences as they were declared; see `sequences`.
    """
    inside = conn.info.transaction_status is not pq.TransactionStatus.IDLE
    with conn.transaction():
        if not inside:  # a caller's transaction has its snapshot already
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return Catalog(
            schemas=frozenset(row["name"] for row in _rows(conn, "schemas")),
            extensions={row["name"]: row["schema"] for row in _rows(conn, "extensions")},
            needed_extensions=frozenset(row["name"] for row in _rows(conn, "needed_extensions", schemas)),
            collations=tuple(Collation(**row) for row in _rows(conn, "collations", schemas)),
            types=tuple(rows.type_(row) for row in _rows(conn, "types", schemas)),
            sequences=tuple(sequences(conn, schemas, declared=declared_sequences)),
            tables={shape.qualified: shape for shape in _shapes(conn, schemas)},
            foreign_keys=tuple(foreign_keys(conn, schemas)),
            routines=tuple(routines(conn, schemas)),
            left_behind=tuple(row["note"] for row in _rows(conn, "left_behind", schemas)),
        )


def schemas_there(conn: Connection) -> list[str]:
    """Return the names of all schemas but the server's own."""
    return [row["name"] for row in _rows(conn, "schemas")]


def tables(conn: Connection, schemas: Collection[str]) -> list[Relation]:
    """Return the tables of *schemas*, without partitions and members of extensions."""
    return [rows.relation(row) for row in _rows(conn, "tables", schemas)]


def columns(
    conn: Connection, schemas: Collection[str] = (), *, relation: int | None = None
) -> dict[Name, list[Column]]:
    """Return the columns of the tables of *schemas*, or of one *relation* alone."""
    found: dict[Name, list[Column]] = defaultdict(list)
    for row in _rows(conn, "columns", schemas, relation=relation):
        found[rows.name(row)].append(rows.column(row))
    return found


def indexes(
    conn: Connection, schemas: Collection[str] = (), *, relation: int | None = None, index: int | None = None
) -> list[Index]:
    """Return the indexes of the tables of *schemas*, of one *relation*, or one *index*; those of primary keys too."""
    return [rows.index(row) for row in _rows(conn, "indexes", schemas, relation=relation, index=index)]


def foreign_keys(conn: Connection, schemas: Collection[str] = (), *, relation: int | None = None) -> list[ForeignKey]:
    """Return the foreign keys of the tables of *schemas*, or of one *relation*; those of one partition alone are left
    out."""
    return [rows.foreign_key(row) for row in _rows(conn, "foreign_keys", schemas, relation=relation)]


def routines(conn: Connection, schemas: Collection[str]) -> list[Routine]:
    """Return the functions, procedures and views of *schemas*."""
    return [Routine(**row) for row in _rows(conn, "routines", schemas)]


def sequences(conn: Connection, schemas: Collection[str], *, declared: bool = False) -> list[SequenceShape]:
    """Return the sequences of *schemas*.

    Args:
        declared: ask the view in which Limitless has them as they were declared; what a router's own catalog says of
            one holds for that router, and its limits may be those of a chunk.
    """
    name = "distributed_sequences" if declared else "sequences"
    return [SequenceShape(**row) for row in _rows(conn, name, schemas)]


def _shapes(conn: Connection, schemas: Sequence[str]) -> list[TableShape]:
    limitless = is_limitless(conn)
    placed = {rows.name(row): rows.placement(row) for row in _rows(conn, "placement")} if limitless else {}
    checks: dict[Name, list[Check]] = defaultdict(list)
    for row in _rows(conn, "checks", schemas):
        checks[rows.name(row)].append(rows.check(row))
    primary: dict[Name, Index] = {}
    others: dict[Name, list[Index]] = defaultdict(list)
    for index in indexes(conn, schemas):
        # On classic, one that a partition lacks holds for no row. A router has no partitions' indexes at all.
        if index.primary and (index.valid or limitless):
            primary[index.table] = index
        elif not index.temporal:  # what Limitless has no index for is among what is left behind
            others[index.table].append(index)
    found = []
    attributes = columns(conn, schemas)
    for table in tables(conn, schemas):
        name = (table.schema, table.name)
        kind, shard_key, group = placed.get(name, ("standard", (), None))
        key = primary.get(name)
        found.append(
            TableShape(
                schema=table.schema,
                name=table.name,
                columns=tuple(attributes[name]),
                primary_key=tuple(c or "" for c in key.columns) if key else (),
                primary_key_name=key.name if key else None,
                indexes=tuple(others[name]),
                checks=tuple(checks[name]),
                kind=kind,
                shard_key=shard_key,
                group=group,
            )
        )
    return found


def _rows(conn: Connection, name: str, schemas: Collection[str] = (), **one: int | None) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute(_SQL[name], {"schemas": list(schemas), "relation": None, "index": None, **one})
        return cursor.fetchall()

"""Checks that a step to a parent always leads to one row, and that it can be followed.

A row has one tenant, so what it refers to must be unique in the parent at every commit. Columns are unique when a
unique index covers them or some of them. Decided one by one:

* partial and expression indexes: no, rows outside the predicate, or other columns than those, may be equal;
* invalid indexes: no, their rows were not checked;
* keys WITHOUT OVERLAPS: yes, equal values overlap;
* columns that may be NULL: yes, NULL refers to no row;
* a deferrable constraint: yes, what is committed is unique;
* another collation or operator class than the comparison's: only where both call the same values equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

from migrator.catalog.details import forms
from migrator.catalog.read import indexes
from migrator.db.error_text import server_message
from migrator.model.table import Hop, split_qualified


def problems(conn: psycopg.Connection[Any], child: str, hop: Hop, oids: Mapping[str, int]) -> list[str]:
    """Return why rows of *child* cannot be followed along *hop*; none when they can. *oids*: of both tables."""
    return [p for p in (_not_unique(conn, hop, oids), _not_comparable(conn, child, hop, oids)) if p is not None]


def _table(qualified: str) -> sql.Identifier:
    return sql.Identifier(*split_qualified(qualified))


def _not_unique(conn: psycopg.Connection[Any], hop: Hop, oids: Mapping[str, int]) -> str | None:
    wanted = set(hop.parent_columns)
    near = []
    for index in indexes(conn, relation=oids[hop.parent]):
        if index.unique and None in index.columns:
            near.append(f"{index.name} is on an expression")
        elif index.unique and set(index.columns) <= wanted:
            if index.is_key:
                return None
            why = "has a WHERE clause" if index.partial else "is not valid" if not index.valid else "compares otherwise"
            near.append(f"{index.name} {why}")
    text = f"{', '.join(hop.parent_columns)} of {hop.parent} is not unique, so a row could have several tenants"
    if near:
        text += f" ({'; '.join(near)})"
    return f"{text}; refer to columns with a unique index on all rows, or add one"


def _not_comparable(conn: psycopg.Connection[Any], child: str, hop: Hop, oids: Mapping[str, int]) -> str | None:
    condition = sql.SQL(" AND ").join(
        sql.SQL("{} {} {}").format(sql.Identifier("p", up), sql.SQL(equals), sql.Identifier("c", down))
        for down, equals, up in hop.links()
    )
    query = sql.SQL("SELECT FROM {} AS c JOIN {} AS p ON {} LIMIT 0").format(
        _table(child), _table(hop.parent), condition
    )
    try:
        with conn.transaction():
            conn.execute(query)
    except (psycopg.errors.UndefinedFunction, psycopg.errors.AmbiguousFunction) as error:
        return f"{', '.join(hop.columns)} cannot be compared: {server_message(error)}"
    below, above = (forms(conn, oids[table]) for table in (child, hop.parent))
    for down, _, up in hop.links():
        if len({below[down].collation, above[up].collation} - {None}) > 1:
            return f"{down} and {hop.parent}.{up} have different collations, so they cannot be compared"
    return None

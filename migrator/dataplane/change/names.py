"""Looks names up where a file says, and in pg_catalog alone otherwise, so that what is printed is qualified.

Also gives the names that PostgreSQL gives to what a statement leaves unnamed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import psycopg
from psycopg import sql

Connection = psycopg.Connection[Any]

MAX_NAME_BYTES = 63

UNDEFINED = (
    psycopg.errors.UndefinedObject, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction, psycopg.errors.InvalidSchemaName,
)  # fmt: skip
"""What a server says of a name that it does not find."""

WHERE_NAMES = "Names without a schema are looked up in the one migrated schema, or where SET search_path says"


def listed(path: Sequence[str]) -> str:
    """Return schemas as search_path takes them; pg_catalog for none."""
    return ", ".join(sql.Identifier(schema).as_string(None) for schema in path) or "pg_catalog"


@contextmanager
def looked_up_in(conn: Connection, path: Sequence[str]) -> Iterator[None]:
    """Look names up in *path* within a transaction of the caller's, which is rolled back when this fails."""
    conn.execute("SELECT set_config('search_path', %s, true)", (listed(path),))
    yield
    conn.execute("SELECT set_config('search_path', 'pg_catalog', true)")


def given_name(table: str, columns: str, label: str, taken: Callable[[str], bool]) -> str:
    """Return the name that PostgreSQL gives to an index or a constraint: table_columns_label, with a number where that
    is taken; the longer of the first two parts is cut where all is too long."""
    for number in count():
        last = f"{label}{number or ''}"
        parts = [part.encode() for part in (table, columns)]
        room = MAX_NAME_BYTES - len(last) - 1 - bool(columns)
        sizes = [len(part) for part in parts]
        while sum(sizes) > room:
            sizes[sizes[0] <= sizes[1]] -= 1
        cut = [part[:size].decode(errors="ignore") for part, size in zip(parts, sizes, strict=True)]
        name = "_".join(filter(None, (*cut, last)))
        if not taken(name):
            return name
    raise AssertionError("numbers do not end")

"""Builds the statements that carry a change out. Pure.

Type, collation, default and what follows an index's table are the operator's own SQL, read by PostgreSQL's parser and
tried on temporary tables before; every name is quoted here.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from migrator.dataplane.change.change import Change
from migrator.model.table import Table, split_qualified

ONE_ROW = "migrator_one_row"


def table_name(qualified: str) -> sql.Identifier:
    return sql.Identifier(*split_qualified(qualified))


def temporary(name: str) -> sql.Identifier:
    return sql.Identifier("pg_temp", name)


def add_column(change: Change, table: sql.Identifier) -> sql.Composed:
    """Return the ADD COLUMN both sides run: with the literal, never with an expression, so both hold the same."""
    parts: list[sql.Composable] = [sql.Identifier(change.name), sql.SQL(change.type)]
    if change.collation:
        parts.append(sql.SQL("COLLATE {}").format(sql.SQL(change.collation)))
    if change.literal is not None:
        parts.append(sql.SQL("DEFAULT {}::{}").format(sql.Literal(change.literal), sql.SQL(change.type)))
    if change.not_null:
        parts.append(sql.SQL("NOT NULL"))
    return sql.SQL("ALTER TABLE {} ADD COLUMN {}").format(table, sql.SQL(" ").join(parts))


def set_default(change: Change) -> sql.Composed:
    """Return the statement that gives the column its default as it was written."""
    return sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {}").format(
        table_name(change.table), sql.Identifier(change.name), sql.SQL(change.default)
    )


def plan_type(change: Change) -> list[sql.Composed]:
    """Return queries that fail where the column's type, or its collation, is not known, and compute nothing."""
    typed = sql.SQL("SELECT NULL::{} LIMIT 0").format(sql.SQL(change.type))
    collated = sql.SQL("SELECT ''::text COLLATE {} LIMIT 0").format(sql.SQL(change.collation))
    return [typed, collated] if change.collation else [typed]


def plan_default(change: Change) -> sql.Composed:
    """Return a query that fails where the default cannot be computed, and computes nothing."""
    return sql.SQL("SELECT ({})::{} LIMIT 0").format(sql.SQL(change.default), sql.SQL(change.type))


def drop_column(name: str, table: sql.Identifier) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} DROP COLUMN IF EXISTS {}").format(table, sql.Identifier(name))


def drop_not_null(change: Change) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL").format(
        table_name(change.table), sql.Identifier(change.name)
    )


def create_index(change: Change, table: sql.Identifier, *, concurrently: bool) -> sql.Composed:
    return sql.SQL("CREATE {}INDEX {}{} ON {} {}").format(
        sql.SQL("UNIQUE " if change.unique else ""),
        sql.SQL("CONCURRENTLY " if concurrently else ""),
        sql.Identifier(change.name) if change.name else sql.SQL(""),
        table,
        sql.SQL(change.tail),
    )


def drop_index(change: Change, *, concurrently: bool) -> sql.Composed:
    return sql.SQL("DROP INDEX {}IF EXISTS {}").format(
        sql.SQL("CONCURRENTLY " if concurrently else ""), sql.Identifier(change.schema, change.name)
    )


def probe_like(name: str, table: str) -> sql.Composed:
    """Return the CREATE of an empty temporary table with the columns, keys and checks of *table*."""
    return sql.SQL(
        "CREATE TEMPORARY TABLE {} (LIKE {}"
        " INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING INDEXES INCLUDING CONSTRAINTS)"
    ).format(sql.Identifier(name), table_name(table))


def next_keys(table: Table, after: Sequence[str] | None, rows: int) -> sql.Composed:
    """Return the query for the last of the next *rows* keys in key order, as texts; no row at the end."""
    key = sql.SQL(", ").join(map(sql.Identifier, table.key))
    texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(c)) for c in table.key)
    backwards = sql.SQL(", ").join(sql.SQL("{} DESC").format(sql.Identifier(c)) for c in table.key)
    return sql.SQL("SELECT {} FROM (SELECT {} FROM {}{} ORDER BY {} LIMIT {}) AS k ORDER BY {} LIMIT 1").format(
        texts,
        key,
        table_name(table.qualified),
        sql.SQL(" WHERE {}").format(_beyond(table, ">", after)) if after else sql.SQL(""),
        key,
        sql.Literal(rows),
        backwards,
    )


def fill(change: Change, table: Table, after: Sequence[str] | None, upto: Sequence[str]) -> sql.Composed:
    """Return the UPDATE that gives rows with after < key <= upto the column's default, where they have nothing."""
    column = sql.Identifier(change.name)
    bounds = [_beyond(table, "<=", upto)]
    if after:
        bounds.append(_beyond(table, ">", after))
    return sql.SQL("UPDATE {} SET {} = DEFAULT WHERE {} IS NULL AND {}").format(
        table_name(table.qualified), column, column, sql.SQL(" AND ").join(bounds)
    )


def _beyond(table: Table, operator: str, key: Sequence[str]) -> sql.Composed:
    return sql.SQL("({}) {} ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, table.key)),
        sql.SQL(operator),
        sql.SQL(", ").join(
            sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(table.column(name).type))
            for name, value in zip(table.key, key, strict=True)
        ),
    )

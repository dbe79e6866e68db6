"""Stores captured tables: their descriptors on classic, so that every part reads the same ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import psycopg
from psycopg import sql

from migrator.db.named import load
from migrator.model.table import Column, Hop, Table, TableKind, parents_first

_SQL = load("migrator.control", "tables.sql")


def dump_table(table: Table) -> dict[str, Any]:
    """Return *table* as JSON values."""
    return asdict(table)


def load_table(body: dict[str, Any]) -> Table:
    """Return the table that `dump_table` wrote."""
    values = dict(body)
    values["kind"] = TableKind(values["kind"])
    values["columns"] = tuple(Column(**c) for c in values["columns"])
    values["path"] = tuple(
        Hop(
            tuple(h["columns"]),
            h["parent"],
            tuple(h["parent_columns"]),
            bool(h["enforced"]),
            tuple(h.get("equality", ())),
        )
        for h in values["path"]
    )
    values["key"] = tuple(values["key"])
    values["unique_keys"] = tuple(tuple(k) for k in values["unique_keys"])
    return Table(**values)


def store_tables(conn: psycopg.Connection[Any], tables: Sequence[Table]) -> dict[str, int]:
    """Store descriptors in the caller's transaction; returns each table's id, stable across calls."""
    numbers: dict[str, int] = {str(name): int(number) for number, name in conn.execute(_SQL["numbers"])}
    for table in tables:
        number = numbers.setdefault(table.qualified, max(numbers.values(), default=0) + 1)
        conn.execute(
            _SQL["store"],
            {
                "table_id": number,
                "quoted": sql.Identifier(table.schema, table.name).as_string(conn),
                "qualified": table.qualified,
                "descriptor": json.dumps(dump_table(table)),
            },
        )
    return numbers


def captured_tables(conn: psycopg.Connection[Any]) -> dict[int, Table]:
    """Return captured tables by id, in id order."""
    return {int(number): load_table(body) for number, body in conn.execute(_SQL["tables"])}


def anything_captured(conn: psycopg.Connection[Any]) -> bool:
    """Return whether a table is captured."""
    row = conn.execute(_SQL["are_any"]).fetchone()
    return bool(row and row[0])


TABLES_AND_KEYS = _SQL["tables_and_keys"]


def ordered_tables(rows: Sequence[Sequence[Any]]) -> dict[int, Table]:
    """Return captured tables by id, parents first, from the rows of TABLES_AND_KEYS."""
    tables = {int(number): load_table(body) for number, body, _ in rows}
    numbers = {table.qualified: number for number, table in tables.items()}
    referenced = {tables[int(number)].qualified: list(parents) for number, _, parents in rows}
    return {numbers[t.qualified]: t for t in parents_first(tuple(tables.values()), referenced)}


VERSIONS = sql.SQL("(SELECT coalesce(sum(version), 0) FROM migrator.captured_table)")
"""Expression on classic. Another number than before: descriptors changed (schema apply)."""


async def captured_tables_async(conn: psycopg.AsyncConnection[Any]) -> dict[int, Table]:
    """As `captured_tables`."""
    rows = await (await conn.execute(_SQL["tables"])).fetchall()
    return {int(number): load_table(body) for number, body in rows}


async def captured_in_order(conn: psycopg.AsyncConnection[Any]) -> dict[int, Table]:
    """Return captured tables by id, parents first: rows are written in this order, and foreign keys on Limitless may
    check at once."""
    return ordered_tables(await (await conn.execute(TABLES_AND_KEYS)).fetchall())


def forget_table(conn: psycopg.Connection[Any], number: int) -> None:
    """Forget a captured table; `VERSIONS` is then one that it never was before."""
    conn.execute(_SQL["forget"], {"table": number})


def relation_oids(conn: psycopg.Connection[Any]) -> dict[int, str]:
    """Return the oid of every captured table, as text, by the table's id."""
    return {int(number): str(oid) for number, oid in conn.execute(_SQL["relations"])}


def id_and_slot(conn: psycopg.Connection[Any], qualified: str) -> tuple[int, int] | None:
    """Return a captured table's id and the slot of its journal that writers use now; None when it is not captured."""
    row = conn.execute(_SQL["id_and_slot"], {"table": qualified}).fetchone()
    return (int(row[0]), int(row[1])) if row is not None else None


def owner(conn: psycopg.Connection[Any], schema: str) -> tuple[str, bool, bool] | None:
    """Return the role that owns most captured tables of *schema*, or the schema itself where there are none.

    With it: may this session act as it, and is it this session's own. None: there is no such schema.
    """
    row = conn.execute(_SQL["owner"], {"schema": schema}).fetchone()
    return (str(row[0]), bool(row[1]), bool(row[2])) if row is not None else None


def find_relations(conn: psycopg.Connection[Any]) -> None:
    """Note which relation each captured table is, where an earlier version stored its name alone; none if it no longer
    exists."""
    conn.execute(_SQL["find_relations"])


def captured_size(conn: psycopg.Connection[Any]) -> str:
    """Return what captured tables take on disk with their indexes, as text with its unit."""
    row = conn.execute(_SQL["size"]).fetchone()
    return str(row[0]) if row else "0 bytes"

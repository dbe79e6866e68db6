"""What does each table become, which tenant do its rows belong to? Read from the catalog, apart from the product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

Conn = psycopg.Connection[Any]
Entry = dict[str, Any]

_TABLES = """
SELECT n.nspname || '.' || c.relname, a.attnotnull,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary),
       (SELECT array_agg(b.attname::text ORDER BY b.attname) FROM pg_attribute b
          JOIN (SELECT i.indrelid, i.indkey::int2[] AS columns FROM pg_index i
                 WHERE i.indrelid = c.oid AND i.indisunique AND i.indpred IS NULL AND NOT 0 = ANY (i.indkey::int2[])
                   AND NOT EXISTS (SELECT FROM pg_attribute n WHERE n.attrelid = c.oid AND NOT n.attnotnull
                                      AND n.attnum = ANY (i.indkey::int2[]))
                 ORDER BY i.indexrelid LIMIT 1) u ON b.attrelid = u.indrelid AND b.attnum = ANY (u.columns))
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = %s AND NOT a.attisdropped
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = ANY (%s)
 ORDER BY 1
"""
_LINKS = """
SELECT n.nspname || '.' || c.relname, a.attname, m.nspname || '.' || p.relname, b.attname
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace m ON m.oid = p.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1] AND a.attnotnull
  JOIN pg_attribute b ON b.attrelid = p.oid AND b.attnum = k.confkey[1]
 WHERE k.contype = 'f' AND k.conparentid = 0 AND cardinality(k.conkey) = 1 AND n.nspname = ANY (%s)
   AND k.conrelid <> k.confrelid
 ORDER BY k.conname
"""


def classified(
    conn: Conn, schemas: tuple[str, ...], tenant: str, given: Mapping[str, Mapping[str, Any]]
) -> dict[str, Entry]:
    """Return an entry of a plan for every table: with the tenant column it is sharded, by way of a NOT NULL foreign
    key to such a table too, else it is a reference table, and without a key excluded."""
    found: dict[str, Entry] = {}
    rest: set[str] = set()
    keys: dict[str, Entry] = {}
    for table, owned_by, primary, key in conn.execute(_TABLES, (tenant, list(schemas))).fetchall():
        keys[table] = {} if primary else {"key": key}
        if table in given:
            found[table] = dict(given[table])
            keys[table] = {}
        elif not primary and key is None:
            found[table] = {"kind": "excluded"}
            keys[table] = {}
        elif owned_by is None:
            rest.add(table)
        else:
            found[table] = {"kind": "sharded" if owned_by else "reference"}
    links = conn.execute(_LINKS, (list(schemas),)).fetchall()
    while ways := [link for link in links if link[0] in rest and found.get(link[2], {}).get("kind") == "sharded"]:
        child, column, parent, key = ways[0]
        found[child] = {"kind": "sharded", "via": f"{column} -> {parent}.{key}"}
        rest.discard(child)
    found |= {table: {"kind": "reference"} for table in rest}
    return {table: entry | keys[table] for table, entry in found.items()}


@dataclass(frozen=True, slots=True)
class Owned:
    """Where a table's rows belong: what follows FROM, its rows being `t`, and the tenant as an expression of text."""

    source: sql.Composable
    tenant: sql.Composable


def search_path(schemas: tuple[str, ...]) -> sql.Composed:
    """Return the statement by which an application's names without a schema are found."""
    return sql.SQL("SET search_path = {}").format(sql.SQL(", ").join(map(sql.Identifier, schemas)))


def identifier(qualified: str) -> sql.Identifier:
    return sql.Identifier(*qualified.split(".", 1))


def owned(table: str, entries: Mapping[str, Entry], tenant: str) -> Owned:
    """Return how to ask for the rows of *table* together with their tenants; NULL for a reference table's."""
    source: list[sql.Composable] = [sql.SQL("{} AS t").format(identifier(table))]
    if entries[table]["kind"] != "sharded":
        return Owned(source[0], sql.SQL("NULL::text"))
    alias, at, number = "t", table, 0
    while via := entries[at].get("via"):
        column, _, target = (part.strip() for part in via.partition("->"))
        at, _, key = target.rpartition(".")
        number += 1
        source.append(
            sql.SQL("JOIN {} AS {} ON {} = {}").format(
                identifier(at),
                sql.Identifier(f"p{number}"),
                sql.Identifier(f"p{number}", key),
                sql.Identifier(alias, column),
            )
        )
        alias = f"p{number}"
    column = entries[at].get("tenant_column") or tenant
    return Owned(sql.SQL(" ").join(source), sql.SQL("{}::text").format(sql.Identifier(alias, column)))

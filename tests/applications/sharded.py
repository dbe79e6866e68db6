"""Makes the tables of a database what they would be on Limitless, as far as a plain server can: split by
hash of the key.

Of what Limitless adds or lacks only that is done which the planner sees: the shard key's column where it was missing,
the shard key in every unique key, no foreign keys, no triggers, one table for the leaves of a partitioned one, a table
for a materialized view.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from migrator.grammar.parse import Body, Node, names, parse
from migrator.grammar.written import Written, edited, leftmost, quoted

PARTS = 8
LEAF = re.compile(r"shard(\d+)~\d+")
"""Names of the leaves, which are the shards of a plan."""

_USERS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"

_DEPENDENTS = f"""
SELECT * FROM (
    SELECT c.oid, format(CASE c.relkind WHEN 'v' THEN 'CREATE VIEW %1$s%3$s AS %2$s'
                                        ELSE 'CREATE TABLE %1$s AS (%2$s) WITH NO DATA' END,
                         c.oid::regclass, rtrim(pg_get_viewdef(c.oid), ';'),
                         ' WITH (' || array_to_string(c.reloptions, ', ') || ')') AS made,
           CASE WHEN c.relkind IN ('v', 'm') THEN n.nspname || '.' || c.relname END AS view
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('v', 'm') AND {_USERS}
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT p.oid, pg_get_functiondef(p.oid), NULL FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE p.prokind IN ('f', 'p') AND {_USERS}
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
) AS x ORDER BY oid"""

_FOREIGN_KEYS = """
SELECT conrelid::regclass::text, quote_ident(conname) FROM pg_constraint WHERE contype = 'f' AND conparentid = 0"""

_UNIQUE = """
SELECT i.indexrelid::regclass::text, coalesce(k.contype::text, ''), coalesce(k.conname, ''),
       ARRAY(SELECT CASE WHEN x.attnum > 0 THEN a.attname::text END
               FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS x (attnum, n)
               LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = x.attnum
              WHERE x.n <= i.indnkeyatts ORDER BY x.n),
       i.indnullsnotdistinct, pg_get_indexdef(i.indexrelid)
  FROM pg_index i
  LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u') AND k.conrelid = i.indrelid
 WHERE i.indrelid = %s::regclass AND i.indisunique ORDER BY 1"""

_HOLLOW = f"""
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_partitioned_table p ON p.partrelid = c.oid
 WHERE p.partstrat <> 'h' AND {_USERS} AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid)"""
"""Tables that the application splits itself, while it runs: a plan leaves out what has no partition."""


@dataclass(frozen=True)
class Sharded:
    """A table with its shard key; *added*: classic does not have the column."""

    schema: str
    name: str
    key: str
    added: str | None = None  # its type


def shard(
    conn: psycopg.Connection[Any], tables: Mapping[str, Sharded], regrouped: list[str] | None = None
) -> list[str]:
    """Split *tables*; return what could not be made again, each with the server's reason.

    A view that groups by a primary key which is wider now is made with the shard key in GROUP BY, and added to
    *regrouped* by its name.
    """
    regrouped = [] if regrouped is None else regrouped
    before = conn.execute(_DEPENDENTS.encode()).fetchall()
    for owner, name in conn.execute(_FOREIGN_KEYS).fetchall():
        conn.execute(f"ALTER TABLE {owner} DROP CONSTRAINT {name}".encode())
    for number, table in enumerate(tables.values()):
        _split(conn, table, number)
    for number, (hollow,) in enumerate(conn.execute(_HOLLOW.encode()).fetchall()):
        conn.execute(f"CREATE TABLE rest{number} PARTITION OF {hollow} DEFAULT".encode())
    conn.execute("SET check_function_bodies = off")
    lost: dict[int, str] = {}
    waiting = {oid: (definition, view) for oid, definition, view in before}
    while waiting:
        made = []
        for oid, (definition, view) in waiting.items():
            try:
                conn.execute(definition.encode())
                made.append(oid)
            except psycopg.errors.DuplicateTable:
                made.append(oid)
            except psycopg.errors.GroupingError as error:
                lost[oid] = f"{definition[:70]!r}: {error.diag.message_primary}"
                with suppress(psycopg.Error):
                    conn.execute(_grouped_by_key(definition, tables).encode())
                    made.append(oid)
                    regrouped.append(view or "")
            except psycopg.Error as error:
                lost[oid] = f"{definition[:70]!r}: {error.diag.message_primary}"
        for oid in made:
            del waiting[oid]
        if not made:
            break
    return [lost[oid] for oid in waiting]


def _grouped_by_key(definition: str, tables: Mapping[str, Sharded]) -> str:
    """Return a view's definition with the shard key of every table that a query groups in its GROUP BY."""
    written, edits = Written(definition), []
    keys = {name: table.key for table in tables.values() for name in (table.name, f"{table.schema}.{table.name}")}
    for body in parse(definition)[0].kinds.get("SelectStmt", ()):
        grouped = [names(c["ColumnRef"].get("fields")) for c in body.get("groupClause", ()) if "ColumnRef" in c]
        added = []
        for item in _tables(body.get("fromClause", [])):
            alias = item.get("alias", {}).get("aliasname") or item["relname"]
            key = keys.get(f"{item['schemaname']}.{item['relname']}" if "schemaname" in item else item["relname"])
            if key is not None and any(fields[:-1] in ([], [alias]) for fields in grouped):
                added.append(f"{quoted(alias)}.{quoted(key)}, ")
        if added:
            at = written.tokens[written.before(leftmost(body["groupClause"]) + 1, "BY")].end
            edits.append((at, at, " " + "".join(added)))
    return edited(written.data, edits)


def _tables(items: list[Node]) -> Iterator[Body]:
    """Yield the tables of a FROM clause, those of subqueries left out."""
    for item in items:
        if "RangeVar" in item:
            yield item["RangeVar"]
        elif "JoinExpr" in item:
            yield from _tables([item["JoinExpr"]["larg"], item["JoinExpr"]["rarg"]])


def _split(conn: psycopg.Connection[Any], table: Sharded, number: int) -> None:
    there, new = sql.Identifier(table.schema, table.name), sql.Identifier(table.schema, f"new~{number}")
    qualified = there.as_string(conn)
    unique = conn.execute(_UNIQUE, [qualified]).fetchall()
    for (sequence,) in conn.execute(
        "SELECT objid::regclass::text FROM pg_depend WHERE refobjid = %s::regclass AND deptype = 'a' AND classid ="
        " 'pg_class'::regclass AND objid IN (SELECT oid FROM pg_class WHERE relkind = 'S')",
        [qualified],
    ).fetchall():
        conn.execute(f"ALTER SEQUENCE {sequence} OWNED BY NONE".encode())
    added: sql.Composable = sql.SQL("")
    if table.added is not None:
        added = sql.SQL(", {} ").format(sql.Identifier(table.key)) + sql.SQL(table.added)
    conn.execute(
        sql.SQL(
            "CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING IDENTITY{})"
            " PARTITION BY HASH ({})"
        ).format(new, there, added, sql.Identifier(table.key))
    )
    conn.execute(sql.SQL("DROP TABLE {} CASCADE").format(there))
    conn.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(new, sql.Identifier(table.name)))
    conn.execute(sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET NOT NULL").format(there, sql.Identifier(table.key)))
    for part in range(PARTS):
        conn.execute(
            sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES WITH (MODULUS {}, REMAINDER {})").format(
                sql.Identifier(table.schema, f"shard{part}~{number}"), there, PARTS, part
            )
        )
    for _, kind, name, columns, nulls, definition in unique:
        wanted = columns if table.key in columns else [table.key, *columns]
        if kind and None not in columns:
            word = "PRIMARY KEY" if kind == "p" else f"UNIQUE{' NULLS NOT DISTINCT' if nulls else ''}"
            conn.execute(
                sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} " + word + " ({})").format(
                    there, sql.Identifier(name), sql.SQL(", ").join(map(sql.Identifier, wanted))
                )
            )
            continue
        definition = definition.replace(" ON ONLY ", " ON ")
        if table.key not in columns:
            key = sql.Identifier(table.key).as_string(conn)
            definition = definition.replace(" USING btree (", f" USING btree ({key}, ", 1)
        conn.execute(definition.encode())

"""Does a step to a parent lead to one row, always, and can it be followed?

A row has one tenant, so what it refers to must be unique in the parent at every commit. Columns are unique when a
unique index covers them or some of them. Decided one by one:

* partial and expression indexes: no, rows outside the predicate, or other columns than those, may be equal;
* invalid indexes: no, nobody has checked;
* columns that may be NULL: yes, NULL refers to nobody;
* a deferrable constraint: yes, what is committed is unique;
* another collation or operator class than the comparison's: only where both call the same values equal.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from migrator.model.table import Hop, split_qualified

# Same: the index calls equal what the comparison calls equal. A type may come with an operator class of its own
# (citext) and still be indexed with the class of the type it is stored as (text).
_UNIQUE = """
SELECT c.relname,
       i.indisvalid AND i.indisready, i.indpred IS NULL, i.indexprs IS NULL,
       NOT EXISTS (
           SELECT FROM unnest(i.indkey::int2[], i.indclass::oid[], i.indcollation::oid[]) WITH ORDINALITY
                         AS k (attnum, opclass, colloid, n)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
             JOIN pg_catalog.pg_opclass o ON o.oid = k.opclass
             JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
             LEFT JOIN pg_catalog.pg_collation own ON own.oid = a.attcollation
             LEFT JOIN pg_catalog.pg_collation its ON its.oid = k.colloid
            WHERE k.n <= i.indnkeyatts
              AND (NOT coalesce(own.collisdeterministic, true) AND k.colloid <> a.attcollation
                   OR NOT coalesce(its.collisdeterministic, true) AND k.colloid <> a.attcollation
                   OR NOT o.opcdefault AND NOT EXISTS (
                       SELECT FROM pg_catalog.pg_amop mine
                         JOIN pg_catalog.pg_opclass d ON d.opcmethod = o.opcmethod AND d.opcdefault
                                                     AND d.opcintype = o.opcintype
                         JOIN pg_catalog.pg_amop its ON its.amopopr = mine.amopopr AND its.amopfamily = d.opcfamily
                        WHERE mine.amopfamily = o.opcfamily AND mine.amopstrategy = 3 AND its.amopstrategy = 3)
                   OR o.opcintype <> a.atttypid AND EXISTS (
                       SELECT FROM pg_catalog.pg_opclass d
                        WHERE d.opcmethod = o.opcmethod AND d.opcdefault AND d.opcintype = a.atttypid))),
       ARRAY (SELECT a.attname FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, n)
                JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
               WHERE k.n <= i.indnkeyatts)::text[]
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
  JOIN pg_catalog.pg_am m ON m.oid = c.relam AND m.amname = 'btree'
 WHERE i.indrelid = %s::regclass AND i.indisunique
 ORDER BY i.indexrelid
"""


_COLLATIONS = """
SELECT count(DISTINCT attcollation) FILTER (WHERE attcollation <> 0) > 1
  FROM pg_catalog.pg_attribute
 WHERE attrelid = %s::regclass AND attname = %s OR attrelid = %s::regclass AND attname = %s
"""


def problems(conn: psycopg.Connection[Any], child: str, hop: Hop) -> list[str]:
    """Return why rows of *child* cannot be followed along *hop*; none when they can."""
    return [p for p in (_not_unique(conn, hop), _not_comparable(conn, child, hop)) if p is not None]


def _table(qualified: str) -> sql.Identifier:
    return sql.Identifier(*split_qualified(qualified))


def _not_unique(conn: psycopg.Connection[Any], hop: Hop) -> str | None:
    wanted = set(hop.parent_columns)
    near = []
    for name, valid, total, plain, same, columns in conn.execute(_UNIQUE, (_table(hop.parent).as_string(conn),)):
        if not plain:
            near.append(f"{name} is on an expression")
        elif set(columns) <= wanted:
            if valid and total and same:
                return None
            near.append(
                f"{name} {'has a WHERE clause' if not total else 'is not valid' if not valid else 'compares otherwise'}"
            )
    text = f"{', '.join(hop.parent_columns)} of {hop.parent} is not unique, so a row could have several tenants"
    if near:
        text += f" ({'; '.join(near)})"
    return f"{text}; refer to columns with a unique index on all rows, or add one"


def _not_comparable(conn: psycopg.Connection[Any], child: str, hop: Hop) -> str | None:
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
        return f"{', '.join(hop.columns)} cannot be compared: {error.diag.message_primary}"
    below, above = _table(child).as_string(conn), _table(hop.parent).as_string(conn)
    for down, _, up in hop.links():
        row = conn.execute(_COLLATIONS, (below, down, above, up)).fetchone()
        if row and row[0]:
            return f"{down} and {hop.parent}.{up} have different collations, so they cannot be compared"
    return None

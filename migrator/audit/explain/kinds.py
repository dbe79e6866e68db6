"""Which types have the parameters of a prepared statement, and how is a value of one written?"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from migrator.audit.explain.sample import Kind, value

_TYPES = """
SELECT pg_catalog.format_type(t.oid, NULL), pg_catalog.format_type(b.oid, NULL), b.typcategory::text,
       a.typelem IS NOT NULL,
       ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e WHERE e.enumtypid = b.oid ORDER BY e.enumsortorder)
  FROM pg_catalog.pg_prepared_statements s
 CROSS JOIN LATERAL pg_catalog.unnest(s.parameter_types) WITH ORDINALITY AS p (type, n)
  JOIN pg_catalog.pg_type t ON t.oid = p.type
  LEFT JOIN pg_catalog.pg_type a ON a.oid = t.oid AND a.typcategory = 'A' AND a.typelem <> 0
  JOIN pg_catalog.pg_type b ON b.oid = coalesce(a.typelem, nullif(t.typbasetype, 0), t.oid)
 WHERE s.name = %s
 ORDER BY p.n"""


def kinds(conn: psycopg.Connection[Any], prepared: str) -> list[Kind]:
    """Return the types that the server gave the parameters of the statement prepared as *prepared*, in order."""
    rows = conn.execute(_TYPES, [prepared]).fetchall()
    return [Kind(name, base, category, array, labels) for name, base, category, array, labels in rows]


def literal(conn: psycopg.Connection[Any], kind: Kind, number: int, attempt: int) -> str:
    """Return a value as SQL; the type's name is the server's own spelling of it."""
    return f"({sql.Literal(value(kind, number, attempt)).as_string(conn)}::{kind.name})"

"""Are both sides, and the database that the same migrations made without the tool, equal? Rows and catalogs."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import sql

from tests.soak.entries import Conn, Entry, identifier, owned

_CATALOG = {
    "column": """
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
       a.attgenerated, pg_get_expr(d.adbin, d.adrelid)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'c') AND n.nspname = ANY (%s)""",
    "constraint": """
SELECT n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid), k.convalidated
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE k.contype NOT IN ('t', 'n') AND n.nspname = ANY (%s)""",
    "index": """
SELECT n.nspname, c.relname, pg_get_indexdef(i.indexrelid), i.indisvalid
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('i', 'I') AND n.nspname = ANY (%s)""",
    "type": """
SELECT n.nspname, t.typname, t.typtype, pg_catalog.format_type(nullif(t.typbasetype, 0), t.typtypmod), t.typnotnull,
       (SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid)
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
 WHERE t.typtype IN ('e', 'd', 'r') AND n.nspname = ANY (%s)""",
    "sequence": """
SELECT schemaname, sequencename, data_type::text, start_value, min_value, max_value, increment_by, cycle
  FROM pg_sequences WHERE schemaname = ANY (%s)""",
    "function": """
SELECT n.nspname, p.proname, pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE p.prokind IN ('f', 'p') AND n.nspname = ANY (%s)
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')""",
    "view": """
SELECT n.nspname, c.relname, c.relkind, pg_get_viewdef(c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('v', 'm') AND n.nspname = ANY (%s)""",
    "trigger": """
SELECT n.nspname, c.relname, t.tgname, pg_get_triggerdef(t.oid), t.tgenabled
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_proc p ON p.oid = t.tgfoid
 WHERE NOT t.tgisinternal AND p.pronamespace <> coalesce(to_regnamespace('migrator'), 0) AND n.nspname = ANY (%s)""",
    "comment": """
SELECT n.nspname, c.relname, a.attname, d.description
  FROM pg_description d JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
 WHERE n.nspname = ANY (%s)""",
    "policy": """
SELECT schemaname, tablename, policyname, permissive, roles::text, cmd, qual, with_check FROM pg_policies
 WHERE schemaname = ANY (%s)""",
    "table": """
SELECT n.nspname, c.relname, c.relkind, c.relrowsecurity, c.relforcerowsecurity
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (%s)""",
}


def catalog_differences(one: Conn, other: Conn, schemas: tuple[str, ...]) -> list[str]:
    """Return what only one of two databases has in its *schemas*, `-` the first, `+` the second."""
    found = []
    for conn in (one, other):
        conn.execute("SET search_path = pg_catalog")  # every name comes with its schema
    for what, query in _CATALOG.items():
        here, there = (set(map(str, c.execute(query, (list(schemas),)))) for c in (one, other))
        found += [f"- {what} {text}" for text in sorted(here - there)]
        found += [f"+ {what} {text}" for text in sorted(there - here)]
    return found


_SHAPE = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
  FROM pg_attribute a WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped"""


def row_differences(classic: Conn, limitless: Conn, entries: Mapping[str, Entry], tenant: str) -> dict[str, list[str]]:
    """Return up to five rows of each table that only one side holds, every column and the tenant compared; and
    columns that differ."""
    found = {}
    for table, entry in entries.items():
        if entry["kind"] in ("excluded", "standard"):
            continue
        name = identifier(table)
        derived = "via" in entry
        where = owned(table, entries, tenant)
        here = set(
            classic.execute(
                sql.SQL("SELECT (q.*)::text FROM (SELECT {}, to_jsonb(t) FROM {}) q").format(where.tenant, where.source)
            )
        )
        column = entry.get("tenant_column") or tenant
        of = sql.SQL("t.{}::text").format(sql.Identifier(column)) if entry["kind"] == "sharded" else where.tenant
        row = sql.SQL("to_jsonb(t) - {}").format(tenant) if derived else sql.SQL("to_jsonb(t)")
        there = set(
            limitless.execute(sql.SQL("SELECT (q.*)::text FROM (SELECT {}, {} FROM {} t) q").format(of, row, name))
        )
        if here != there:
            found[table] = [str(r) for r in sorted(here ^ there)[:5]]
        text = name.as_string(classic)
        shapes = [set(c.execute(_SHAPE, (text,))) for c in (classic, limitless)]
        apart = {c for c in shapes[0] ^ shapes[1] if not (derived and c[0] == tenant)}
        if apart:
            found[f"columns of {table}"] = sorted(map(str, apart))
    return found

"""Everything that the tool keeps in a database, as its catalogs say it: independent of the order it was made in."""

from __future__ import annotations

from typing import Any

import psycopg

_QUERIES = {
    "column": """
        SELECT c.relname || '.' || a.attname,
               concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
                         pg_get_expr(d.adbin, d.adrelid))
          FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE c.relnamespace = 'migrator'::regnamespace AND c.relkind IN ('r', 'v', 'p')""",
    "relation": """
        SELECT c.relname,
               concat_ws(' ', c.relkind, c.relpersistence,
                         (SELECT array_agg(o ORDER BY o) FROM unnest(c.reloptions) o),
                         (SELECT array_agg(i.inhparent::regclass) FROM pg_inherits i WHERE i.inhrelid = c.oid))
          FROM pg_class c WHERE c.relnamespace = 'migrator'::regnamespace AND c.relkind IN ('r', 'v', 'p', 'S')""",
    "constraint": """
        SELECT c.conrelid::regclass || '.' || c.conname, pg_get_constraintdef(c.oid)
          FROM pg_constraint c WHERE c.connamespace = 'migrator'::regnamespace AND c.contype <> 'n'""",
    "index": """
        SELECT i.indexrelid::regclass::text, concat_ws(' ', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisunique)
          FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'migrator'::regnamespace""",
    "view": """
        SELECT c.relname, pg_get_viewdef(c.oid)
          FROM pg_class c WHERE c.relnamespace = 'migrator'::regnamespace AND c.relkind = 'v'""",
    "function": """
        SELECT p.oid::regprocedure::text, concat_ws(' ', pg_get_functiondef(p.oid), p.prosecdef,
               has_function_privilege('public', p.oid, 'EXECUTE'))
          FROM pg_proc p WHERE p.pronamespace = 'migrator'::regnamespace""",
    "sequence": """
        SELECT s.seqrelid::regclass::text,
               concat_ws(' ', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
                         s.seqcycle)
          FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid WHERE c.relnamespace = 'migrator'::regnamespace""",
    "trigger": """
        SELECT t.tgrelid::regclass || '.' || t.tgname, concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
          FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
         WHERE NOT t.tgisinternal AND p.pronamespace = 'migrator'::regnamespace""",
    "event trigger": """
        SELECT e.evtname, concat_ws(' ', e.evtevent, e.evtenabled, e.evttags, e.evtfoid::regproc)
          FROM pg_event_trigger e WHERE e.evtname LIKE 'migrator%'""",
}
_THERE = ("column", "relation", "constraint", "index")


def catalog(conn: psycopg.Connection[Any], *, limitless: bool = False) -> dict[str, str]:
    """Return (kind and name) → definition of everything in schema migrator, and of what hangs on it."""
    return {
        f"{kind} {name}": definition
        for kind, query in _QUERIES.items()
        if not limitless or kind in _THERE
        for name, definition in conn.execute(query.encode())
    }


def different(one: dict[str, str], other: dict[str, str]) -> dict[str, tuple[str | None, str | None]]:
    return {key: (one.get(key), other.get(key)) for key in one.keys() | other.keys() if one.get(key) != other.get(key)}

"""Reads either side's catalog into `migrator.inventory.facts`. Cheap: a few queries of the catalog, no table is read.

Connections are the tool's own: names in the texts below are qualified because their search_path is pg_catalog.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import psycopg

from migrator.control import history, plan
from migrator.control.log import detached_partitions
from migrator.inventory.facts import ClassicFacts, LimitlessFacts, Relation, Scope, Thing
from migrator.model.table import qualify

Connection = psycopg.Connection[Any]

SET_ASIDE = "capture.set_aside"
"""Kind of the report that keeps what was there, and was not captured, when capture went on."""

_RELATIONS = """
SELECT n.nspname, c.relname, c.relkind::text, c.oid::int8, rn.nspname, r.relname
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_class r ON c.relispartition AND r.oid = pg_catalog.pg_partition_root(c.oid)
  LEFT JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
 WHERE n.nspname = ANY (%(schemas)s) AND c.relkind IN ('r', 'p', 'm', 'f')
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 1, 2
"""

_SCHEMAS = r"""
SELECT DISTINCT n.nspname
  FROM pg_catalog.pg_namespace n
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p')
 WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'migrator')
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.objid IN (n.oid, c.oid) AND d.deptype = 'e'
                      AND d.classid IN ('pg_catalog.pg_namespace'::regclass, 'pg_catalog.pg_class'::regclass))
"""

# Sort, schema and name (or identity), detail, schema and name of the table that owns it.
_THINGS = """
SELECT 'sequence', n.nspname, c.relname, pg_catalog.format_type(s.seqtypid, NULL) || ' by ' || s.seqincrement,
       o.nspname, o.relname
  FROM pg_catalog.pg_sequence s
  JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (
       SELECT tn.nspname, t.relname
         FROM pg_catalog.pg_depend d
         JOIN pg_catalog.pg_class t ON t.oid = d.refobjid
         JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
          AND d.refclassid = 'pg_catalog.pg_class'::regclass LIMIT 1) o ON true
 WHERE n.nspname = ANY (%(schemas)s)
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
UNION ALL
SELECT 'type', n.nspname, t.typname,
       CASE t.typtype
            WHEN 'e' THEN (SELECT pg_catalog.string_agg(pg_catalog.quote_literal(l.enumlabel), ', '
                                                        ORDER BY l.enumsortorder)
                             FROM pg_catalog.pg_enum l WHERE l.enumtypid = t.oid)
            WHEN 'c' THEN (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname) || ' '
                                  || pg_catalog.format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
                             FROM pg_catalog.pg_attribute a
                            WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
            ELSE (SELECT 'range of ' || pg_catalog.format_type(r.rngsubtype, NULL)
                    FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid) END,
       NULL, NULL
  FROM pg_catalog.pg_type t
  JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
 WHERE n.nspname = ANY (%(schemas)s) AND (t.typtype IN ('e', 'r') OR (t.typtype = 'c' AND c.relkind = 'c'))
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
UNION ALL
SELECT CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, NULL, p.oid::regprocedure::text,
       pg_catalog.md5(p.prosrc), NULL, NULL
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = ANY (%(schemas)s)
   AND p.prorettype NOT IN ('pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype)
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d  -- the functions of a range type go with it
                    WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype IN ('e', 'i'))
UNION ALL
SELECT 'view', NULL, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
       (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum)
          FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       NULL, NULL
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%(schemas)s) AND c.relkind = 'v'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
UNION ALL
SELECT 'extension', NULL, e.extname, '', NULL, NULL FROM pg_catalog.pg_extension e
"""

# What provisioning leaves out with a warning, and schemas, whether they hold tables by now or not.
_LEFT_OUT = r"""
SELECT CASE p.prokind WHEN 'p' THEN 'procedure ' ELSE 'function ' END || p.oid::regprocedure::text
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang
 WHERE n.nspname = ANY (%(schemas)s) AND (p.prokind IN ('a', 'w') OR l.lanname NOT IN ('sql', 'plpgsql'))
UNION ALL
SELECT 'extension ' || e.extname FROM pg_catalog.pg_extension e
UNION ALL
SELECT 'schema ' || n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_'
"""

_TABLES_THERE = (
    "SELECT schema_name::text, table_name::text FROM rds_aurora.limitless_tables WHERE schema_name::text = ANY (%s)"
)

_SORTS = {"m": "materialized view", "f": "foreign table"}


def read_classic(conn: Connection) -> ClassicFacts | None:
    """Return classic's side; None while nothing is captured, when nothing can be missed yet."""
    known = plan.scope(conn)
    if not known.captured:
        return None
    planned, schemas = known.tables or {}, known.captured_schemas
    scope = Scope(
        schemas=frozenset(planned.get("schemas") or schemas),
        excluded=frozenset(
            name for name, table in (planned.get("table") or {}).items() if table.get("kind") == "excluded"
        ),
        acknowledged=frozenset(known.acknowledged),
        planned=bool(planned),
    )
    aside = history.newest_report(conn, SET_ASIDE)
    return ClassicFacts(
        scope=scope,
        captured=frozenset(known.captured),
        relations=_relations(conn, scope.schemas | set(schemas)),
        things=_things(conn, scope.schemas | set(schemas)),
        set_aside=frozenset(aside["body"] if aside else ()),
        schemas=frozenset(name for (name,) in conn.execute(_SCHEMAS)),
    )


def read_limitless(conn: Connection, schemas: Collection[str]) -> LimitlessFacts:
    """Return Limitless' side."""
    tables = conn.execute(_TABLES_THERE, (list(schemas),))
    return LimitlessFacts(
        tables=frozenset(qualify(*row) for row in tables),
        things={t.subject: t.detail for t in _things(conn, schemas)},
    )


def not_captured(conn: Connection, captured: Collection[str], schemas: Collection[str]) -> list[str]:
    """Return the subjects that stay behind when just *captured* tables are captured."""
    inside = plan.planned_schemas(conn) or list(schemas)
    relations = [r for r in _relations(conn, inside) if r.qualified not in captured and r.root not in captured]
    return [
        *(r.subject for r in relations),
        *(str(subject) for (subject,) in conn.execute(_LEFT_OUT, {"schemas": inside})),
    ]


def _relations(conn: Connection, schemas: Collection[str]) -> tuple[Relation, ...]:
    detached = detached_partitions(conn)
    return tuple(
        Relation(qualify(schema, name), _SORTS.get(kind, "table"), qualify(*root) if root[0] else None, oid in detached)
        for schema, name, kind, oid, *root in conn.execute(_RELATIONS, {"schemas": list(schemas)})
    )


def _things(conn: Connection, schemas: Collection[str]) -> tuple[Thing, ...]:
    return tuple(
        Thing(f"{sort} {f'{schema}.{name}' if schema else name}", detail or "", qualify(*owner) if owner[0] else "")
        for sort, schema, name, detail, *owner in conn.execute(_THINGS, {"schemas": list(schemas)})
    )

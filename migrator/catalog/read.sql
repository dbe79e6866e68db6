-- What is read of pg_catalog, each fact once; `read.py` makes values of it.
-- %(schemas)s: text[], schemas whose objects are meant; %(relation)s, %(index)s: oid, one object instead of all of these,
-- a partition too. The search_path is pg_catalog, so the server's own texts qualify every other name.
-- On a Limitless router a sharded table is a partitioned table whose partitions are foreign tables, a reference or
-- standard table is a plain foreign table; hence the relkinds.

-- name: schemas
SELECT nspname::text AS name
  FROM pg_catalog.pg_namespace
 WHERE nspname NOT LIKE 'pg\_%%' AND nspname <> 'information_schema';

-- name: extensions
SELECT e.extname::text AS name, n.nspname::text AS schema
  FROM pg_catalog.pg_extension e
  JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace;

-- name: needed_extensions
-- Extensions whose members (types, operator classes, functions) an object in these schemas depends on.
WITH mine AS (
    SELECT 'pg_class'::regclass::oid AS classid, c.oid AS objid
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = ANY (%(schemas)s)
    UNION ALL
    SELECT 'pg_attrdef'::regclass::oid, d.oid
      FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_class c ON c.oid = d.adrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = ANY (%(schemas)s)
    UNION ALL
    SELECT 'pg_constraint'::regclass::oid, k.oid
      FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace
     WHERE n.nspname = ANY (%(schemas)s)
    UNION ALL
    SELECT 'pg_proc'::regclass::oid, p.oid
      FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = ANY (%(schemas)s)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'pg_rewrite'::regclass::oid, r.oid
      FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = ANY (%(schemas)s)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
)
SELECT DISTINCT e.extname::text AS name
  FROM mine
  JOIN pg_catalog.pg_depend d ON d.classid = mine.classid AND d.objid = mine.objid
  LEFT JOIN pg_catalog.pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid AND t.typelem <> 0
  JOIN pg_catalog.pg_depend m
    ON m.classid = d.refclassid AND m.objid IN (d.refobjid, t.typelem) AND m.deptype = 'e'
  JOIN pg_catalog.pg_extension e ON m.refclassid = 'pg_extension'::regclass AND e.oid = m.refobjid;

-- name: collations
-- Read through jsonb: the locale's column has had three names since PostgreSQL 15, and rules came with 16.
SELECT n.nspname::text AS schema, l.collname::text AS name,
       CASE l.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END AS provider,
       coalesce(j.body ->> 'colllocale', j.body ->> 'colliculocale') AS locale,
       j.body ->> 'collcollate' AS lc_collate, j.body ->> 'collctype' AS lc_ctype,
       l.collisdeterministic AS deterministic, j.body ->> 'collicurules' AS rules
  FROM pg_catalog.pg_collation l
  JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace
 CROSS JOIN LATERAL (SELECT to_jsonb(l) AS body) j
 WHERE n.nspname = ANY (%(schemas)s)
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_collation'::regclass AND d.objid = l.oid AND d.deptype = 'e')
 ORDER BY 1, 2;

-- name: types
-- Enums, ranges and free-standing composites; the row types of tables come with their tables. A range with a canonical
-- function needs C code and is left behind.
SELECT n.nspname::text AS schema, t.typname::text AS name,
       (SELECT array_agg(l.enumlabel::text ORDER BY l.enumsortorder)
          FROM pg_catalog.pg_enum l WHERE l.enumtypid = t.oid) AS labels,
       (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
         WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS attribute_names,
       (SELECT array_agg(pg_catalog.format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum)
          FROM pg_catalog.pg_attribute a
         WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS attribute_types,
       pg_catalog.format_type(r.rngsubtype, NULL) AS subtype,
       (SELECT pg_catalog.quote_ident(on_.nspname) || '.' || pg_catalog.quote_ident(o.opcname)
          FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_namespace on_ ON on_.oid = o.opcnamespace
         WHERE o.oid = r.rngsubopc) AS subtype_opclass,
       (SELECT pg_catalog.quote_ident(ln.nspname) || '.' || pg_catalog.quote_ident(l.collname)
          FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace ln ON ln.oid = l.collnamespace
         WHERE l.oid = r.rngcollation) AS "collation",
       (SELECT pg_catalog.quote_ident(fn.nspname) || '.' || pg_catalog.quote_ident(f.proname)
          FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace fn ON fn.oid = f.pronamespace
         WHERE f.oid = r.rngsubdiff) AS subtype_diff,
       (SELECT pg_catalog.quote_ident(mn.nspname) || '.' || pg_catalog.quote_ident(m.typname)
          FROM pg_catalog.pg_type m JOIN pg_catalog.pg_namespace mn ON mn.oid = m.typnamespace
         WHERE m.oid = r.rngmultitypid) AS multirange_type_name
  FROM pg_catalog.pg_type t
  JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
  LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
 WHERE n.nspname = ANY (%(schemas)s)
   AND (t.typtype = 'e' OR (t.typtype = 'c' AND c.relkind = 'c') OR (t.typtype = 'r' AND r.rngcanonical = 0))
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
 ORDER BY 1, 2;

-- name: sequences
SELECT n.nspname::text AS schema, c.relname::text AS name, pg_catalog.format_type(s.seqtypid, NULL) AS type,
       s.seqstart AS start, s.seqincrement AS increment, s.seqmin AS minimum, s.seqmax AS maximum,
       s.seqcache AS cache, s.seqcycle AS cycle
  FROM pg_catalog.pg_sequence s
  JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%(schemas)s)
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 1, 2;

-- name: distributed_sequences
-- On Limitless: pg_sequence shows the state of one router, and its limits may be those of a chunk.
SELECT d.schema_name::text AS schema, d.sequence_name::text AS name, pg_catalog.format_type(s.seqtypid, NULL) AS type,
       d.start, d.inc AS increment, d.minvalue AS minimum, d.maxvalue AS maximum, d.cache, false AS cycle
  FROM rds_aurora.limitless_distributed_sequence d
  JOIN pg_catalog.pg_namespace n ON n.nspname = d.schema_name
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = d.sequence_name
  JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid
 WHERE d.schema_name = ANY (%(schemas)s)
 ORDER BY 1, 2;

-- name: tables
-- kin: parents and children by INHERITS, which partitions are not.
SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       kin.schemas AS kin_schemas, kin.names AS kin_names
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (
       SELECT array_agg(kn.nspname::text ORDER BY k.oid) AS schemas, array_agg(k.relname::text ORDER BY k.oid) AS names
         FROM (SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid
                UNION ALL
               SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid AND c.relkind <> 'p') f (oid)
         JOIN pg_catalog.pg_class k ON k.oid = f.oid
         JOIN pg_catalog.pg_namespace kn ON kn.oid = k.relnamespace) kin
 WHERE n.nspname = ANY (%(schemas)s)
   AND c.relkind IN ('r', 'p', 'f')
   AND NOT c.relispartition
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 2, 3;

-- name: columns
-- A domain is followed down to its base type; every domain on the way brings its checks, its NOT NULL and, when the
-- column has none, its default. An identity column names its sequence. attnotnull is set for a NOT NULL that is
-- NOT VALID too, although old rows may break it.
WITH RECURSIVE col AS (
    SELECT n.nspname, c.relname, c.oid AS relid, a.*,
           a.attnotnull AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_constraint k
                WHERE k.conrelid = c.oid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated)
           AS never_null
      FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relkind IN ('r', 'p', 'f')
       AND (c.oid = %(relation)s::oid
            OR %(relation)s::oid IS NULL AND n.nspname = ANY (%(schemas)s::text[]) AND NOT c.relispartition)
), chain AS (
    SELECT relid, attnum, atttypid AS typid, atttypmod AS typmod, 0 AS depth FROM col
    UNION ALL
    SELECT h.relid, h.attnum, t.typbasetype, t.typtypmod, h.depth + 1
      FROM chain h JOIN pg_catalog.pg_type t ON t.oid = h.typid AND t.typtype = 'd'
), base AS (
    SELECT DISTINCT ON (relid, attnum) relid, attnum, typid, typmod FROM chain ORDER BY relid, attnum, depth DESC
), brought AS (
    SELECT h.relid, h.attnum, bool_or(t.typnotnull) AS not_null,
           (array_agg(t.typdefault ORDER BY h.depth) FILTER (WHERE t.typdefault IS NOT NULL))[1] AS default_text
      FROM chain h JOIN pg_catalog.pg_type t ON t.oid = h.typid AND t.typtype = 'd'
     GROUP BY 1, 2
), checks AS (
    SELECT h.relid, h.attnum, array_agg(k.conname::text ORDER BY h.depth, k.conname) AS names,
           array_agg(regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), '^CHECK (.*?)( NOT VALID)?$', '\1')
                     ORDER BY h.depth, k.conname) AS texts
      FROM chain h JOIN pg_catalog.pg_constraint k ON k.contypid = h.typid AND k.contype = 'c'
     GROUP BY 1, 2
)
SELECT col.nspname::text AS schema, col.relname::text AS table_name, col.attname::text AS name,
       pg_catalog.quote_ident(col.attname) AS quoted,
       pg_catalog.format_type(base.typid, base.typmod) AS type,
       CASE WHEN base.typid <> col.atttypid THEN pg_catalog.format_type(col.atttypid, col.atttypmod) ELSE '' END AS domain,
       col.never_null OR coalesce(brought.not_null, false) AS not_null, col.never_null,
       coalesce(
           pg_catalog.pg_get_expr(d.adbin, d.adrelid),
           CASE WHEN col.attidentity <> '' THEN
               pg_catalog.format('nextval(%%L::regclass)', seq.name) END,
           brought.default_text
       ) AS default_text,
       col.attgenerated::text AS generated,
       col.attidentity <> '' AS identity,
       CASE WHEN col.attcollation <> base_type.typcollation AND col.attcollation <> 0 THEN cn.nspname::text END
           AS collation_schema,
       CASE WHEN col.attcollation <> base_type.typcollation AND col.attcollation <> 0 THEN l.collname::text END
           AS collation_name,
       checks.names AS check_names, checks.texts AS check_texts
  FROM col
  JOIN base USING (relid, attnum)
  JOIN pg_catalog.pg_type base_type ON base_type.oid = base.typid
  LEFT JOIN brought USING (relid, attnum)
  LEFT JOIN checks USING (relid, attnum)
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = col.relid AND d.adnum = col.attnum
  LEFT JOIN pg_catalog.pg_collation l ON l.oid = col.attcollation
  LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = l.collnamespace
  LEFT JOIN LATERAL (
      SELECT pg_catalog.quote_ident(sn.nspname) || '.' || pg_catalog.quote_ident(sc.relname) AS name
        FROM pg_catalog.pg_depend x
        JOIN pg_catalog.pg_class sc ON sc.oid = x.objid AND sc.relkind = 'S'
        JOIN pg_catalog.pg_namespace sn ON sn.oid = sc.relnamespace
       WHERE x.classid = 'pg_class'::regclass AND x.refclassid = 'pg_class'::regclass
         AND x.refobjid = col.relid AND x.refobjsubid = col.attnum AND x.deptype = 'i'
       LIMIT 1) seq ON true
 ORDER BY 1, 2, col.attnum;

-- name: checks
SELECT n.nspname::text AS schema, c.relname::text AS table_name, k.conname::text AS name,
       regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), '^CHECK (.*?)( NO INHERIT)?( NOT VALID)?( NOT ENFORCED)?$', '\1')
           AS condition,
       k.convalidated AS validated
  FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%(schemas)s) AND k.contype = 'c' AND NOT c.relispartition
 ORDER BY 1, 2, 3;

-- name: indexes
-- Those of exclusion constraints only as far as they are keys too (WITHOUT OVERLAPS). as_compared: the index calls equal
-- what the comparison calls equal; a type may come with an operator class of its own (citext) and still be indexed with
-- the class of the type it is stored as (text).
SELECT i.indexrelid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS table_name, x.relname::text AS name,
       i.indisprimary AS is_primary, i.indisunique AS is_unique, i.indisvalid AND i.indisready AS is_valid,
       i.indisexclusion AS is_temporal, m.amname::text AS method,
       pg_catalog.pg_get_indexdef(i.indexrelid) AS definition, x.reloptions IS NOT NULL AS has_options,
       pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS predicate, k.oid IS NOT NULL AS is_constraint,
       CASE WHEN NOT coalesce(k.condeferrable, false) THEN ''
            WHEN k.condeferred THEN ' DEFERRABLE INITIALLY DEFERRED' ELSE ' DEFERRABLE' END AS deferrable,
       ARRAY (SELECT a.attname::text FROM generate_series(1, i.indnkeyatts) p
                LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p - 1] AND a.attnum > 0
               ORDER BY p) AS columns,
       NOT EXISTS (
           SELECT FROM unnest(i.indkey::int2[], i.indclass::oid[], i.indcollation::oid[]) WITH ORDINALITY
                         AS e (attnum, opclass, colloid, n)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = e.attnum
             JOIN pg_catalog.pg_opclass o ON o.oid = e.opclass
             LEFT JOIN pg_catalog.pg_collation own ON own.oid = a.attcollation
             LEFT JOIN pg_catalog.pg_collation its ON its.oid = e.colloid
            WHERE e.n <= i.indnkeyatts
              AND (NOT coalesce(own.collisdeterministic, true) AND e.colloid <> a.attcollation
                   OR NOT coalesce(its.collisdeterministic, true) AND e.colloid <> a.attcollation
                   OR NOT o.opcdefault AND NOT EXISTS (
                       SELECT FROM pg_catalog.pg_amop mine
                         JOIN pg_catalog.pg_opclass d ON d.opcmethod = o.opcmethod AND d.opcdefault
                                                     AND d.opcintype = o.opcintype
                         JOIN pg_catalog.pg_amop its ON its.amopopr = mine.amopopr AND its.amopfamily = d.opcfamily
                        WHERE mine.amopfamily = o.opcfamily AND mine.amopstrategy = 3 AND its.amopstrategy = 3)
                   OR o.opcintype <> a.atttypid AND EXISTS (
                       SELECT FROM pg_catalog.pg_opclass d
                        WHERE d.opcmethod = o.opcmethod AND d.opcdefault AND d.opcintype = a.atttypid))) AS as_compared
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
  JOIN pg_catalog.pg_am m ON m.oid = x.relam
  JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_constraint k
         ON k.conrelid = i.indrelid AND k.conindid = i.indexrelid AND k.contype IN ('p', 'u')
 WHERE i.indexrelid = %(index)s::oid
    OR %(index)s::oid IS NULL AND i.indislive AND (i.indisunique OR NOT i.indisexclusion)
       AND (c.oid = %(relation)s::oid
            OR %(relation)s::oid IS NULL AND n.nspname = ANY (%(schemas)s::text[])
               AND c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition)
 ORDER BY 2, 3, 4;

-- name: foreign_keys
SELECT n.nspname::text AS schema, c.relname::text AS table_name, k.conname::text AS name,
       pn.nspname::text AS parent_schema, p.relname::text AS parent_name,
       ARRAY (SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(n, o)
                JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.o) AS columns,
       ARRAY (SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(n, o)
                JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.o) AS parent_columns,
       k.confdeltype::text AS on_delete, k.confupdtype::text AS on_update, k.confmatchtype = 'f' AS match_full,
       k.condeferrable AS is_deferrable, k.condeferred AS is_deferred, k.convalidated AS validated,
       coalesce(to_jsonb(k) ->> 'conperiod', 'false') = 'true' AS is_temporal
  FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_class p ON p.oid = k.confrelid
  JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
 WHERE k.contype = 'f' AND k.conparentid = 0
   AND (c.oid = %(relation)s::oid
        OR %(relation)s::oid IS NULL AND n.nspname = ANY (%(schemas)s::text[]) AND NOT c.relispartition)
 ORDER BY 1, 2, 3;

-- name: routines
-- Functions, procedures and views outside extensions, oldest first: what they use is mostly older.
-- refused says why one is not copied.
SELECT identity, kind, definition, refused FROM (
SELECT p.oid, p.oid::regprocedure::text AS identity,
       CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END AS kind,
       CASE WHEN p.prokind IN ('f', 'p') THEN pg_catalog.pg_get_functiondef(p.oid) ELSE '' END AS definition,
       CASE WHEN p.prokind = 'a' THEN 'Limitless has no CREATE AGGREGATE'
            WHEN p.prokind = 'w' THEN 'window functions cannot be written in SQL or PL/pgSQL'
            WHEN p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype) THEN 'Limitless has no triggers'
            WHEN l.lanname NOT IN ('sql', 'plpgsql') THEN 'Limitless runs SQL and PL/pgSQL, not ' || l.lanname
       END AS refused
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang
 WHERE n.nspname = ANY (%(schemas)s)
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d  -- constructors of a range come with it
                    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype IN ('e', 'i'))
UNION ALL
SELECT c.oid, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), 'VIEW',
       pg_catalog.pg_get_viewdef(c.oid), NULL
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%(schemas)s) AND c.relkind = 'v'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
) found
 ORDER BY kind, oid;

-- name: left_behind
SELECT 'trigger ' || t.tgname || ' on ' || t.tgrelid::regclass || ': Limitless has no triggers' AS note
  FROM pg_catalog.pg_trigger t
  JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%(schemas)s) AND NOT t.tgisinternal AND t.tgparentid = 0
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
                    WHERE p.oid = t.tgfoid AND pn.nspname = 'migrator')
UNION ALL
SELECT 'rule ' || r.rulename || ' on ' || r.ev_class::regclass || ': Limitless has no rules'
  FROM pg_catalog.pg_rewrite r
  JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%(schemas)s) AND r.rulename <> '_RETURN'
UNION ALL
SELECT 'materialized view ' || c.oid::regclass || ': Limitless has none'
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%(schemas)s) AND c.relkind = 'm'
UNION ALL
SELECT 'exclusion constraint ' || k.conname || ' on ' || k.conrelid::regclass || ': Limitless has none'
  FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%(schemas)s) AND k.contype = 'x'
UNION ALL
SELECT 'key ' || k.conname || ' of ' || k.conrelid::regclass
       || CASE k.contype WHEN 'p' THEN ': WITHOUT OVERLAPS, on Limitless its values only differ'
                         ELSE ': Limitless has no UNIQUE (… WITHOUT OVERLAPS)' END
  FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%(schemas)s) AND k.contype IN ('p', 'u') AND NOT c.relispartition
   AND to_jsonb(k) ->> 'conperiod' = 'true'
UNION ALL
SELECT 'NOT NULL ' || k.conname || ' on ' || k.conrelid::regclass || ': NOT VALID on classic, so old rows may break it'
  FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%(schemas)s) AND k.contype = 'n' AND NOT k.convalidated AND NOT c.relispartition
UNION ALL
SELECT CASE k.contype WHEN 'f' THEN 'foreign key ' ELSE 'CHECK ' END || k.conname || ' of partition '
       || k.conrelid::regclass || ': not on the partitioned table'
  FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%(schemas)s) AND c.relispartition
   AND (k.contype = 'f' AND k.conparentid = 0 OR k.contype = 'c' AND k.coninhcount = 0)
UNION ALL
SELECT 'index ' || i.indexrelid::regclass || ' of partition ' || i.indrelid::regclass || ': not on the partitioned table'
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
  JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY (%(schemas)s) AND c.relispartition AND NOT x.relispartition
UNION ALL
SELECT 'type ' || pg_catalog.format_type(t.oid, NULL) || ': base types and ranges with a canonical function are not copied'
  FROM pg_catalog.pg_type t
  JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
 WHERE n.nspname = ANY (%(schemas)s) AND ((t.typtype = 'b' AND t.typelem = 0)
        OR EXISTS (SELECT FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid AND r.rngcanonical <> 0))
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
 ORDER BY 1;

-- name: placement
SELECT t.schema_name::text AS schema, t.table_name::text, t.table_type::text, t.distribution_key::text, c.collocation_id::text
  FROM rds_aurora.limitless_tables t
  LEFT JOIN rds_aurora.limitless_table_collocations c USING (schema_name, table_name);

-- What is read of one object; `details.py` makes values of it. Parameters as in read.sql.

-- name: unfired_keys
-- Foreign keys that a disabled trigger leaves unchecked, also a trigger that they have for one partition.
WITH RECURSIVE parts AS (
    SELECT k.oid AS key, k.oid
      FROM pg_catalog.pg_constraint k
      JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = ANY (%(schemas)s) AND k.contype = 'f' AND k.conparentid = 0
    UNION ALL
    SELECT p.key, k.oid FROM parts p JOIN pg_catalog.pg_constraint k ON k.conparentid = p.oid
)
SELECT DISTINCT n.nspname::text AS schema, c.relname::text AS table_name, k.conname::text AS name
  FROM parts p
  JOIN pg_catalog.pg_trigger t ON t.tgconstraint = p.oid AND t.tgenabled NOT IN ('O', 'A')
  JOIN pg_catalog.pg_constraint k ON k.oid = p.key
  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace;

-- name: forms
-- How values of a table's columns look and travel. A binary form is safe when it holds no object id that another server
-- numbers differently: composites, arrays, ranges and domains over types made by users or extensions hold one, and so
-- does every reg… type, whatever stands around it.
SELECT a.attname::text AS name,
       CASE
           WHEN CASE WHEN b.typcategory = 'A' AND b.typelem <> 0 THEN b.typelem ELSE b.oid END
                IN ('regclass'::regtype, 'regproc'::regtype, 'regtype'::regtype, 'regprocedure'::regtype,
                    'regoper'::regtype, 'regoperator'::regtype, 'regconfig'::regtype, 'regdictionary'::regtype,
                    'regrole'::regtype, 'regnamespace'::regtype, 'regcollation'::regtype) THEN false
           WHEN b.typsend = 0 OR b.typreceive = 0 THEN false
           WHEN EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.oid = b.typelem AND b.typcategory = 'A'
                                                           AND (e.typsend = 0 OR e.typreceive = 0)) THEN false
           WHEN t.typtype = 'c' THEN false
           WHEN t.typtype = 'd' THEN t.typbasetype < 16384
           WHEN t.typtype IN ('r', 'm') THEN t.oid < 16384
           WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN t.typelem < 16384
           WHEN t.oid >= 16384 AND t.typtype <> 'e' THEN false
           ELSE true
       END AS binary_safe,
       (b.typtype = 'e' OR b.oid IN (
           'boolean'::regtype, 'smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'oid'::regtype,
           'uuid'::regtype, 'date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype, 'time'::regtype,
           'timetz'::regtype, 'bytea'::regtype, 'text'::regtype, 'varchar'::regtype, 'name'::regtype,
           '"char"'::regtype, 'inet'::regtype, 'cidr'::regtype, 'macaddr'::regtype, 'macaddr8'::regtype,
           'money'::regtype, 'bit'::regtype, 'varbit'::regtype, 'pg_lsn'::regtype, 'xid8'::regtype)
        OR (b.oid = 'bpchar'::regtype AND base.typmod > 0))
       AND coalesce((SELECT c.collisdeterministic FROM pg_catalog.pg_collation c WHERE c.oid = a.attcollation), true)
       AS exact,
       coalesce((
           SELECT CASE WHEN n.nspname = 'pg_catalog' THEN '='
                       ELSE pg_catalog.format('OPERATOR(%%I.%%s)', n.nspname, o.oprname) END
             FROM pg_catalog.pg_opclass c
             JOIN pg_catalog.pg_am m ON m.oid = c.opcmethod AND m.amname = 'btree'
             JOIN pg_catalog.pg_amop p ON p.amopfamily = c.opcfamily AND p.amoplefttype = c.opcintype
                                      AND p.amoprighttype = c.opcintype AND p.amopstrategy = 3
             JOIN pg_catalog.pg_operator o ON o.oid = p.amopopr
             JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
            WHERE c.opcdefault AND c.opcintype = base.oid), '=') AS equality,
       t.typcategory <> 'A' AND b.typtype <> 'c' AND t.typdelim = ',' AND t.typarray <> 0 AS listed,
       (SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(l.collname)
          FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace
         WHERE l.oid = a.attcollation) AS "collation"
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  JOIN LATERAL (
       WITH RECURSIVE up(oid, typmod, depth) AS (
           SELECT a.atttypid, a.atttypmod, 0
           UNION ALL
           SELECT d.typbasetype, d.typtypmod, up.depth + 1
             FROM up JOIN pg_catalog.pg_type d ON d.oid = up.oid AND d.typtype = 'd')
       SELECT up.oid, up.typmod FROM up ORDER BY up.depth DESC LIMIT 1) base ON true
  JOIN pg_catalog.pg_type b ON b.oid = base.oid
 WHERE a.attrelid = %(relation)s::oid AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum;

-- name: members
-- A table and, of a root of partitions, all of these on every level; the table itself first. %(relation)s: what names it
-- in SQL, or its oid as text.
SELECT n.nspname::text AS schema, c.relname::text AS name, c.oid::int8 AS oid
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = %(relation)s::regclass
    OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(%(relation)s::regclass))
 ORDER BY c.oid <> %(relation)s::regclass, 1, 2;

-- name: labels
-- The values of one enum, in order; %(type)s is what names it in SQL.
SELECT e.enumlabel::text AS label
  FROM pg_catalog.pg_enum e JOIN pg_catalog.pg_type t ON t.oid = e.enumtypid
 WHERE t.oid = to_regtype(%(type)s) AND t.typtype = 'e' ORDER BY e.enumsortorder;

-- name: dependents
-- What depends on a column, its default, its own NOT NULL, sequences and statistics excepted; schema and name of an
-- index, a constraint or a view. sort: 'i' for an index and the sort of a constraint that go with the column, 'v' for a
-- view, '' for anything else.
SELECT pg_catalog.pg_describe_object(d.classid, d.objid, 0) AS description,
       n.nspname::text AS schema, coalesce(c.relname, k.conname)::text AS name,
       CASE WHEN c.relkind IN ('v', 'm') THEN 'v'
            WHEN NOT bool_or(d.deptype IN ('a', 'i')) THEN ''
            WHEN c.relkind IN ('i', 'I') THEN 'i'
            ELSE coalesce(k.contype::text, '') END AS sort
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_depend d
    ON d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
  LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
  LEFT JOIN pg_catalog.pg_class c
    ON d.classid = 'pg_class'::regclass AND c.oid = d.objid OR c.oid = r.ev_class AND r.rulename = '_RETURN'
  LEFT JOIN pg_catalog.pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = coalesce(c.relnamespace, k.connamespace)
  LEFT JOIN pg_catalog.pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
 WHERE a.attrelid = %(relation)s::oid AND a.attname = %(column)s
   AND k.contype IS DISTINCT FROM 'n' AND c.relkind IS DISTINCT FROM 'S'
   AND (d.classid, d.deptype) <> ('pg_statistic_ext'::regclass, 'a')
   AND (f.oid IS NULL OR (f.adrelid, f.adnum) <> (a.attrelid, a.attnum))
 GROUP BY d.classid, d.objid, n.nspname, c.relname, c.relkind, k.conname, k.contype
 ORDER BY 1;

-- name: needing
-- What refuses DROP TABLE of all these tables together: everything that would not go with them. Of a constraint its table,
-- of a view, a constraint or a function its name. Dependents that go by themselves are followed, as DROP does.
WITH RECURSIVE going (classid, objid) AS (
    SELECT 'pg_class'::regclass::oid, r.oid FROM unnest(%(relations)s::oid[]) r (oid)
     UNION
    SELECT d.classid, d.objid
      FROM going g JOIN pg_catalog.pg_depend d ON d.refclassid = g.classid AND d.refobjid = g.objid
     WHERE d.deptype IN ('a', 'i', 'I', 'P', 'S')
)
SELECT DISTINCT pg_catalog.pg_describe_object(o.classid, o.objid, o.objsubid) AS description,
       coalesce(vn.nspname, kn.nspname)::text AS schema, kc.relname::text AS table_name,
       coalesce(v.relname, k.conname, p.proname)::text AS name
  FROM going g
  JOIN pg_catalog.pg_depend d ON d.refclassid = g.classid AND d.refobjid = g.objid AND d.deptype = 'n'
  LEFT JOIN pg_catalog.pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
  LEFT JOIN pg_catalog.pg_class v ON v.oid = w.ev_class
  LEFT JOIN pg_catalog.pg_namespace vn ON vn.oid = v.relnamespace
  LEFT JOIN pg_catalog.pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
  LEFT JOIN pg_catalog.pg_class kc ON kc.oid = k.conrelid
  LEFT JOIN pg_catalog.pg_namespace kn ON kn.oid = kc.relnamespace
  LEFT JOIN pg_catalog.pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
 CROSS JOIN LATERAL (SELECT CASE WHEN v.oid IS NULL THEN d.classid ELSE 'pg_class'::regclass END,
                            coalesce(v.oid, d.objid), CASE WHEN v.oid IS NULL THEN d.objsubid ELSE 0 END)
       o (classid, objid, objsubid)
 WHERE (k.oid IS NULL OR k.conparentid = 0)
   AND NOT EXISTS (SELECT FROM going i WHERE (i.classid, i.objid) IN ((d.classid, d.objid), (o.classid, o.objid)))
 ORDER BY 1;

-- name: partition_root
SELECT n.nspname::text AS schema, c.relname::text AS name
  FROM pg_catalog.pg_class p
  JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.pg_partition_root(p.oid)
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE p.oid = %(relation)s::oid AND p.relispartition;

-- name: owned_sequences
SELECT n.nspname::text AS schema, c.relname::text AS name
  FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
   AND d.refobjid = %(relation)s::oid AND d.deptype IN ('a', 'i')
 ORDER BY 1, 2;

-- name: backed_by
-- The constraints that an index carries out, or that rely on it.
SELECT pg_catalog.pg_get_constraintdef(k.oid) AS definition, k.conname::text AS name,
       k.conrelid::regclass::text AS table_name
  FROM pg_catalog.pg_constraint k
 WHERE k.conindid = %(index)s::oid;

-- name: constraints
-- Those of one table, by name.
SELECT k.conname::text AS name, k.contype::text AS sort, k.convalidated AS validated,
       pg_catalog.pg_get_constraintdef(k.oid) AS definition,
       ARRAY (SELECT a.attname::text FROM pg_catalog.pg_attribute a
               WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey) ORDER BY a.attnum) AS columns
  FROM pg_catalog.pg_constraint k WHERE k.conrelid = %(relation)s::oid;

-- name: is_taken
-- Whether a schema has a relation, or a constraint, of a name.
SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = %(schema)s AND c.relname = %(wanted)s) AS relation,
       EXISTS (SELECT FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace
                WHERE n.nspname = %(schema)s AND k.conname = %(wanted)s) AS "constraint";

-- name: index_columns
-- The names of an index's columns, in order: an expression has one of its own.
SELECT a.attname::text AS name FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = %(index)s::oid AND a.attnum > 0 ORDER BY a.attnum;

-- name: typed_columns
-- The columns of a view or a table, also a temporary one, with their types as SQL; %(relation)s is what names it there.
SELECT a.attname::text AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type
  FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = %(relation)s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;

-- name: files
-- The files of a table and its indexes: another one after each that was written anew.
SELECT pg_catalog.pg_relation_filenode(f.oid)::int8 AS file
  FROM (SELECT %(relation)s::oid UNION ALL
        SELECT i.indexrelid FROM pg_catalog.pg_index i WHERE i.indrelid = %(relation)s::oid) f (oid)
 ORDER BY f.oid;

-- name: fed_columns
-- Columns whose values are a sequence's numbers: integers (or domains over them) that own it and have no other default,
-- identity columns, and those whose default is nextval of it and nothing more. An array, a text or 'INV-' || nextval(…)
-- are none, and neither is nextval(a) * 1000 + nextval(b). %(relation)s: what names the sequence in SQL.
WITH RECURSIVE fed AS (
    SELECT a.attrelid, a.attnum
      FROM pg_catalog.pg_depend d
      JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
      LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
     WHERE d.classid = 'pg_class'::regclass AND d.objid = %(relation)s::regclass
       AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
       AND (d.deptype = 'i' OR d.deptype = 'a' AND f.oid IS NULL)
     UNION
    SELECT f.adrelid, f.adnum
      FROM pg_catalog.pg_depend d
      JOIN pg_catalog.pg_attrdef f ON f.oid = d.objid
     WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
       AND d.refobjid = %(relation)s::regclass
       AND pg_catalog.pg_get_expr(f.adbin, f.adrelid)
           ~ '^\(*nextval\(''([^'']|'''')+''::regclass\)\)*(::(smallint|integer|bigint))?\)*$'
), base AS (
    SELECT fed.*, a.atttypid AS typid FROM fed JOIN pg_catalog.pg_attribute a USING (attrelid, attnum) WHERE NOT a.attisdropped
     UNION
    SELECT b.attrelid, b.attnum, t.typbasetype FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.typid AND t.typtype = 'd'
)
SELECT n.nspname::text AS schema, c.relname::text AS table_name, a.attname::text AS name
  FROM base b
  JOIN pg_catalog.pg_attribute a USING (attrelid, attnum)
  JOIN pg_catalog.pg_class c ON c.oid = b.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE b.typid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) AND c.relkind IN ('r', 'p')
 ORDER BY 1, 2, 3;

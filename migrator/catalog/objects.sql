-- Statements of objects.py.

-- name: made
SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relpersistence = 'p' AS logged,
       coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') AS comment
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = pg_catalog.to_regclass(%(table)s);

-- name: without_grants
SELECT n.nspname::text AS schema, c.relname::text AS name
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND c.relacl IS NULL AND n.nspname = ANY (%(schemas)s);

-- name: root
SELECT coalesce(pg_catalog.pg_partition_root(c.oid)::oid, c.oid)::int8 AS root
  FROM pg_catalog.pg_class c WHERE c.oid = %(relation)s::oid;

-- name: type
SELECT n.nspname::text AS schema, t.typname::text AS name
  FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
 WHERE t.oid = %(type)s::oid;

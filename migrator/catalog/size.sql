-- Statements of size.py. Read-only.

-- name: tables
-- Rows as the planner estimates them, and bytes with indexes and TOAST; partitions count with their parents.
WITH RECURSIVE named AS (
    SELECT c.oid FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS n (schema, name)
      JOIN pg_catalog.pg_namespace s ON s.nspname = n.schema
      JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid AND c.relname = n.name
    UNION
    SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN named ON named.oid = i.inhparent
)
SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::float8,
       coalesce(sum(pg_catalog.pg_table_size(c.oid)), 0)::float8,
       count(*) FILTER (WHERE c.reltuples < 0 AND pg_catalog.pg_relation_size(c.oid) > 0)::int
  FROM pg_catalog.pg_class c JOIN named ON named.oid = c.oid WHERE c.relkind = 'r' /* migrator */;

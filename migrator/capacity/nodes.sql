-- Statements of nodes.py, on Limitless.

-- name: sizes
-- Every router and shard, with what it has on its disk of this database.
SELECT subcluster_id, subcluster_type, db_size
  FROM rds_aurora.limitless_stat_database_size(current_database()::text) /* migrator:capacity */;

-- name: has_statements
SELECT to_regclass('rds_aurora.limitless_stat_statements') IS NOT NULL /* migrator:capacity */;

-- name: statements
-- Statements that each node ran since its statistics began.
SELECT subcluster_id, sum(calls)::float8
  FROM rds_aurora.limitless_stat_statements GROUP BY subcluster_id /* migrator:capacity */;

-- name: single_shard
-- Statements that routers took and those of them that one shard answered, without the tool's own.
SELECT sum(calls)::float8, sum(sso_calls)::float8
  FROM rds_aurora.limitless_stat_statements
 WHERE subcluster_type = 'router' AND query !~ 'migrator[.:"]' AND query !~* '^\s*(BEGIN|COMMIT|ROLLBACK|SET|SHOW|RESET)'
 /* migrator:capacity */;

-- name: slices
-- The shard of every slice of a table, where a catalog says it; no document says that Limitless has one.
SELECT slice, subcluster_id FROM rds_aurora.standin_slices
 WHERE schema_name = %(schema)s AND table_name = %(name)s /* migrator:capacity */;

-- name: has_slices
SELECT to_regclass('rds_aurora.standin_slices') IS NOT NULL /* migrator:capacity */;

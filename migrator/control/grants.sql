-- Statements of grants.py.

-- name: serves_shims
SELECT to_regclass('migrator.settled') IS NULL
       OR (has_table_privilege('public', to_regclass('migrator.settled'), 'SELECT')
           AND has_schema_privilege('public', to_regnamespace('migrator'), 'USAGE'));

-- name: roles
SELECT rolname FROM pg_roles WHERE NOT starts_with(rolname, 'pg_') ORDER BY rolname;

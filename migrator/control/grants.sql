-- Statements of grants.py.

-- name: only_one
-- "migg": the advisory lock of those who grant.
SELECT migrator_lock FROM pg_advisory_xact_lock(1835624295) AS migrator_lock;

-- name: serves_shims
SELECT to_regclass('migrator.settled') IS NULL
       OR (has_table_privilege('public', to_regclass('migrator.settled'), 'SELECT')
           AND has_schema_privilege('public', to_regnamespace('migrator'), 'USAGE'));

-- name: roles
SELECT rolname FROM pg_roles WHERE NOT starts_with(rolname, 'pg_') ORDER BY rolname;

-- name: lacking
-- Of one line of RIGHTS: the tables on which a role lacks a right, and which. "UPDATE (epoch)" is of a column.
SELECT t.name, pg_catalog.string_agg(p.privilege, ', ' ORDER BY p.n)
  FROM pg_catalog.unnest(%(tables)s::text[]) WITH ORDINALITY AS t (name, n),
       pg_catalog.regexp_split_to_table(%(right)s, ', ') WITH ORDINALITY AS p (privilege, n)
 WHERE NOT CASE WHEN p.privilege LIKE '%% (%%'
                THEN has_column_privilege(%(role)s, 'migrator.' || t.name, substring(p.privilege FROM '\((.*)\)'),
                                          split_part(p.privilege, ' ', 1))
                ELSE has_table_privilege(%(role)s, 'migrator.' || t.name, p.privilege) END
 GROUP BY t.name, t.n ORDER BY t.n;

-- name: not_callable
-- Functions that a role may not call.
SELECT f.name FROM pg_catalog.unnest(%(functions)s::text[]) AS f (name)
 WHERE NOT has_function_privilege(%(role)s, 'migrator.' || f.name, 'EXECUTE') ORDER BY f.name;

-- name: readable
-- Tables and views of the tool, but for what the guards hold in passing and the journals.
SELECT c.relname FROM pg_catalog.pg_class c
 WHERE c.relnamespace = pg_catalog.to_regnamespace('migrator') AND c.relkind IN ('r', 'v', 'f', 'p')
   AND c.relname !~ '^journal_[0-9]' ORDER BY 1;

-- name: readers
-- Roles that were let read: they may read which version is installed, and report no process.
SELECT DISTINCT r.rolname
  FROM pg_catalog.pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
 WHERE c.oid = 'migrator.installed'::regclass AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner
   AND NOT has_table_privilege(r.oid, 'migrator.process', 'INSERT')
 ORDER BY 1;

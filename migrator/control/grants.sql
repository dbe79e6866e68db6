-- Statements of grants.py.

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

-- What a role has of the rights that the tool needs. Everybody may read these catalogs, so an administrator, the tool and
-- a reader get the same answer. A role that does not exist has nothing.

-- name: role
SELECT r.rolname IS NOT NULL AS exists, pg_catalog.current_setting('server_version_num')::int AS version,
       pg_catalog.current_database()::text AS database,
       coalesce(r.rolsuper, false) AS superuser, coalesce(r.rolcreaterole, false) AS creates_roles,
       coalesce(r.rolinherit, true) AS inherits,
       coalesce(r.rolbypassrls OR r.rolsuper, false) AS passes_policies,
       coalesce(pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'CREATE'), false) AS creates,
       rds.oid IS NOT NULL AS has_rds,
       coalesce(pg_catalog.pg_has_role(r.oid, rds.oid, 'USAGE'), false) AS rds_superuser,
       coalesce(pg_catalog.pg_has_role(r.oid, 'pg_monitor', 'USAGE'), false) AS monitors,
       coalesce(pg_catalog.has_parameter_privilege(r.oid, 'session_replication_role', 'SET'), false) AS sets_replica,
       pg_catalog.pg_get_userbyid(n.nspowner)::text AS control_owner,
       CASE WHEN n.oid IS NULL THEN NULL ELSE coalesce(pg_catalog.pg_has_role(r.oid, n.nspowner, 'USAGE'), false) END
           AS owns_control,
       g.made = 2 AS has_guards, coalesce(g.made = 2 AND g.let, false) AS uses_guards
  FROM (SELECT 1) AS one
  LEFT JOIN pg_catalog.pg_roles r ON r.rolname = coalesce(%(role)s, current_user)
  LEFT JOIN pg_catalog.pg_roles rds ON rds.rolname = 'rds_superuser'
  LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = 'migrator'
 -- Through the catalog: to_regprocedure is an error where the schema may not be used.
 CROSS JOIN LATERAL (
       SELECT count(*) AS made, bool_and(pg_catalog.has_schema_privilege(r.oid, gn.oid, 'USAGE')
                                         AND pg_catalog.has_function_privilege(r.oid, p.oid, 'EXECUTE')) AS let
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace gn ON gn.oid = p.pronamespace
        WHERE gn.nspname = 'migrator_guards' AND (p.proname, p.pronargs) IN (('make', 4), ('drop', 1))) g

-- name: schemas
SELECT n.nspname::text AS name,
       coalesce(pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE'), false) AS usable,
       coalesce(pg_catalog.has_schema_privilege(r.oid, n.oid, 'CREATE'), false) AS open
  FROM pg_catalog.pg_namespace n
  LEFT JOIN pg_catalog.pg_roles r ON r.rolname = coalesce(%(role)s, current_user)
 WHERE n.nspname = ANY (%(schemas)s) ORDER BY 1

-- name: owners
-- Tables of the plan's schemas; with their partitions on classic, where capture makes its triggers on each. On Limitless
-- they are foreign tables in the catalog.
SELECT n.nspname::text AS schema, c.relname::text AS name, pg_catalog.pg_get_userbyid(c.relowner)::text AS owner,
       coalesce(pg_catalog.pg_has_role(r.oid, c.relowner, 'USAGE'), false) AS owned,
       coalesce(pg_catalog.pg_has_role(r.oid, c.relowner, 'MEMBER'), false) AS member,
       c.relrowsecurity AND c.relforcerowsecurity AS forced
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_roles r ON r.rolname = coalesce(%(role)s, current_user)
 WHERE n.nspname = ANY (%(schemas)s) AND c.relkind IN ('r', 'p', 'f') AND (%(leaves)s OR NOT c.relispartition)
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 1, 2

-- name: sequences
-- Those that the role may not read: their numbers are carried over at the hand-over.
SELECT n.nspname::text AS schema, c.relname::text AS name
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_roles r ON r.rolname = coalesce(%(role)s, current_user)
 WHERE n.nspname = ANY (%(schemas)s) AND c.relkind = 'S'
   AND NOT coalesce(pg_catalog.has_sequence_privilege(r.oid, c.oid, 'SELECT'), false)
 ORDER BY 1, 2

-- name: me
SELECT current_user::text AS role

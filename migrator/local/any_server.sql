-- What a database is that may become a stand-in for Limitless; one row.
-- owner: the role that will work there; NULL: the owner of the database
SELECT current_database()::text AS database,
       current_user::text AS role,
       coalesce((SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user), false) AS superuser,
       current_setting('server_version_num')::int / 10000 AS version,
       o.name AS owner,
       coalesce(r.rolsuper, false) AS owner_superuser,
       pg_catalog.pg_is_in_recovery() AS recovering,
       pg_catalog.to_regnamespace('migrator') IS NOT NULL AS migration,
       ARRAY(SELECT 'schema ' || nspname FROM pg_catalog.pg_namespace WHERE nspname IN ('rds_aurora', 'standin_work')
             UNION ALL
             SELECT 'event trigger ' || evtname FROM pg_catalog.pg_event_trigger WHERE pg_catalog.starts_with(evtname::text, 'standin_')
             UNION ALL
             SELECT 'function pg_catalog.' || proname FROM pg_catalog.pg_proc
             WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = 'aurora_limitless_router_endpoints'
             ORDER BY 1) AS taken,
       ARRAY(SELECT ARRAY[n.nspname::text, c.relname::text]
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE (c.relkind IN ('r', 'p') AND NOT c.relispartition OR c.relkind = 'm')
               AND c.relpersistence <> 't'
               AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'rds_aurora', 'standin_work')
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                               WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
             ORDER BY 1) AS tables
FROM (SELECT coalesce(%(owner)s::text, (SELECT pg_catalog.pg_get_userbyid(datdba)::text FROM pg_catalog.pg_database
                                        WHERE datname = current_database()))) AS o (name)
LEFT JOIN pg_catalog.pg_roles r ON r.rolname = o.name

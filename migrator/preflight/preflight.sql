-- Statements of migrator.preflight. Each reads, and is cheap enough for a gate that is asked every second.

-- name: server
SELECT current_setting('server_version_num')::int AS version_num, current_setting('server_version') AS version,
       to_regproc('pg_catalog.aurora_version') IS NOT NULL AS aurora, clock_timestamp() AS at,
       coalesce(inet_server_port(), 0) AS port;

-- name: slots
SELECT s.slot_name::text AS name, coalesce(s.plugin::text, '') AS plugin, s.slot_type AS kind,
       coalesce(s.database::text, '') AS database, s.active,
       coalesce(a.usename::text, '') AS role, coalesce(a.application_name, '') AS application,
       coalesce(host(a.client_addr), '') AS client
  FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid ORDER BY 1;

-- name: subscriptions
SELECT subname::text AS name FROM pg_subscription
 WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1;

-- name: publications
SELECT pubname::text AS name FROM pg_publication ORDER BY 1;

-- name: foreign_servers
SELECT s.srvname::text AS name, w.fdwname::text AS wrapper,
       coalesce((SELECT max(o.option_value) FROM pg_options_to_table(s.srvoptions) o
                  WHERE o.option_name IN ('host', 'hostaddr')), '') AS host,
       coalesce((SELECT max(o.option_value) FROM pg_options_to_table(s.srvoptions) o
                  WHERE o.option_name = 'port'), '') AS port
  FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
 WHERE w.fdwname IN ('postgres_fdw', 'dblink_fdw') ORDER BY 1;

-- name: databases
-- Beside the one that is migrated, and those of the server's own.
SELECT datname::text AS name FROM pg_database
 WHERE NOT datistemplate AND datallowconn AND datname <> current_database() AND datname NOT IN ('postgres', 'rdsadmin')
 ORDER BY 1;

-- name: replication_roles
SELECT r.rolname::text AS name FROM pg_roles r
 WHERE NOT r.rolsuper AND NOT starts_with(r.rolname, 'rds') AND NOT starts_with(r.rolname, 'pg_')
   AND (r.rolreplication OR CASE WHEN to_regrole('rds_replication') IS NULL THEN false
                                 ELSE pg_has_role(r.oid, to_regrole('rds_replication'), 'USAGE') END)
 ORDER BY 1;

-- name: dms
-- What AWS DMS leaves on a source.
SELECT format('%%I.%%I', n.nspname, c.relname) AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE starts_with(c.relname, 'awsdms_') AND c.relkind = 'r'
 UNION
SELECT 'event trigger ' || evtname FROM pg_event_trigger WHERE starts_with(evtname, 'awsdms_') ORDER BY 1;

-- Statements of migrator.doctor. Each reads, and is cheap; none names a table of the application but by its catalog entry.

-- name: identity
SELECT pg_catalog.current_setting('server_version') AS version,
       pg_catalog.current_setting('server_version_num')::int AS version_num,
       pg_catalog.to_regclass('rds_aurora.limitless_subclusters') IS NOT NULL AS limitless,
       pg_catalog.to_regproc('pg_catalog.aurora_version') IS NOT NULL AS aurora,
       pg_catalog.pg_is_in_recovery() AS in_recovery,
       current_user::text AS role, pg_catalog.current_database()::text AS database,
       pg_catalog.current_setting('server_encoding') AS encoding,
       (SELECT d.datcollate::text FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
           AS collation,
       pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())::float8 AS started_s,
       pg_catalog.inet_server_port() AS port,
       pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AS tells_system

-- name: system
SELECT system_identifier::text AS system FROM pg_catalog.pg_control_system()

-- name: clock
SELECT pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())::float8 AS theirs

-- name: pinned
SELECT n.name, pg_catalog.current_setting(n.name, true) AS value
  FROM pg_catalog.unnest(%(names)s::text[]) AS n (name)

-- name: connections
SELECT pg_catalog.current_setting('max_connections')::int AS most,
       coalesce(pg_catalog.current_setting('superuser_reserved_connections', true)::int, 0)
           + coalesce(pg_catalog.current_setting('reserved_connections', true)::int, 0) AS reserved,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend')::int AS used,
       r.rolconnlimit AS role_limit,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE usename = current_user)::int AS role_used,
       d.datconnlimit AS database_limit,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = d.datname)::int AS database_used,
       pg_catalog.date_part('epoch', nullif(r.rolvaliduntil, 'infinity') - pg_catalog.now())::float8 / 86400
           AS valid_days,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE starts_with(application_name, 'migrator'))::int AS ours
  FROM pg_catalog.pg_roles r, pg_catalog.pg_database d
 WHERE r.rolname = current_user AND d.datname = pg_catalog.current_database()

-- name: settings
SELECT pg_catalog.current_setting('fsync') = 'on' AS fsync,
       pg_catalog.current_setting('full_page_writes') = 'on' AS full_pages,
       pg_catalog.current_setting('autovacuum') = 'on' AS autovacuum,
       coalesce(pg_catalog.current_setting('event_triggers', true), 'on') = 'on' AS event_triggers,
       pg_catalog.current_setting('old_snapshot_threshold', true) AS old_snapshot,
       pg_catalog.current_setting('track_functions') AS track_functions,
       EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'pg_stat_statements') AS statements,
       (SELECT pg_catalog.age(datfrozenxid) FROM pg_catalog.pg_database
         WHERE datname = pg_catalog.current_database()) AS xid_age,
       (SELECT count(*) FROM pg_catalog.pg_prepared_xacts WHERE prepared < now() - interval '5 minutes')::int
           AS prepared,
       (SELECT pg_catalog.date_part('epoch', max(now() - xact_start)) FROM pg_catalog.pg_stat_activity
         WHERE backend_type = 'client backend' AND datname = pg_catalog.current_database()
           AND NOT starts_with(application_name, 'migrator'))::float8 AS oldest_s,
       (SELECT coalesce(array_agg(evtname::text ORDER BY evtname), '{}') FROM pg_catalog.pg_event_trigger
         WHERE evtenabled <> 'D' AND NOT starts_with(evtname, 'migrator')
           AND evtevent IN ('ddl_command_start', 'ddl_command_end', 'sql_drop', 'table_rewrite')) AS foreign_triggers,
       (SELECT coalesce(array_agg(evtname::text ORDER BY evtname), '{}') FROM pg_catalog.pg_event_trigger
         WHERE starts_with(evtname, 'migrator') AND evtenabled <> 'A') AS guards_off,
       pg_catalog.pg_database_size(pg_catalog.current_database())::float8 AS bytes

-- name: administered
-- Roles of people and applications, and whether this one may change them.
SELECT r.rolname::text AS name,
       pg_catalog.pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION') AS administered
  FROM pg_catalog.pg_roles r WHERE NOT r.rolsuper AND NOT starts_with(r.rolname, 'pg_')

-- name: replay
SELECT pg_catalog.pg_is_in_recovery() AS in_recovery,
       CASE WHEN pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() THEN 0
            ELSE pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()
                                               - pg_catalog.pg_last_xact_replay_timestamp()) END::float8 AS lag_s,
       pg_catalog.pg_is_wal_replay_paused() AS paused,
       (SELECT count(*) FROM pg_catalog.pg_stat_wal_receiver WHERE status = 'streaming')::int AS streaming

-- name: nodes
SELECT subcluster_type::text AS kind, count(*)::int AS n FROM rds_aurora.limitless_subclusters GROUP BY 1 ORDER BY 1

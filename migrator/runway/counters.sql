-- Statements of counters.py: what classic's statistics have counted so far. All read-only.

-- name: database
-- to_jsonb, because versions of PostgreSQL have different columns; a role without pg_monitor sees all of these.
SELECT clock_timestamp(), extract(epoch FROM pg_postmaster_start_time())::float8, pg_is_in_recovery(),
       d.xact_commit + d.xact_rollback, coalesce(extract(epoch FROM d.stats_reset), 0)::float8,
       pg_database_size(current_database()),
       (SELECT to_jsonb(w) ->> 'wal_bytes' FROM pg_stat_wal w)::numeric,
       (SELECT coalesce(extract(epoch FROM (to_jsonb(w) ->> 'stats_reset')::timestamptz), 0) FROM pg_stat_wal w)::float8,
       coalesce((SELECT sum(self_time) FROM pg_stat_user_functions WHERE schemaname = 'migrator'), 0)::float8,
       current_setting('track_functions') <> 'none',
       pg_has_role('pg_monitor', 'USAGE') OR pg_has_role('pg_read_all_stats', 'USAGE')
  FROM pg_stat_database d WHERE d.datname = current_database() /* migrator:runway */;

-- name: row_writes
-- By table, of the application alone. Temporary tables go with their sessions and are no load that capture follows.
SELECT relid::int8, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables
 WHERE schemaname <> 'migrator' AND schemaname !~ '^pg_temp_' /* migrator:runway */;

-- name: sessions
-- Sessions by application, as a role without pg_monitor sees names and states of its own alone.
SELECT a.pid, coalesce(a.application_name, ''), coalesce(extract(epoch FROM a.backend_start), 0)::float8,
       a.state = 'active', a.state = 'active' AND a.wait_event IS NULL
  FROM pg_stat_activity a
 WHERE a.backend_type = 'client backend' AND a.datname = current_database() AND a.pid <> pg_backend_pid()
       /* migrator:runway */;

-- name: has_statements
SELECT (parse_ident(extnamespace::regnamespace::text))[1] FROM pg_extension
 WHERE extname = 'pg_stat_statements' /* migrator:runway */;

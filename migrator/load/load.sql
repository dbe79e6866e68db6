-- Statements of checks.py and watch.py: what a test asks of its targets. All read-only.

-- name: target
-- Free: connections that are neither in use nor kept for superusers, and that the role's own limit leaves.
SELECT current_database(), to_regnamespace('migrator') IS NOT NULL, pg_is_in_recovery(),
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true)::int, 0)
         - (SELECT coalesce(sum(numbackends), 0)::int FROM pg_stat_database),
       (SELECT CASE WHEN r.rolconnlimit >= 0
                    THEN r.rolconnlimit - (SELECT count(*)::int FROM pg_stat_activity a WHERE a.usesysid = r.oid) END
          FROM pg_roles r WHERE r.rolname = session_user)
       /* migrator:load */;

-- name: watcher
-- The session that watches, and whether it sees what others do.
SELECT pg_backend_pid(), extract(epoch FROM a.backend_start)::float8,
       pg_has_role('pg_monitor', 'USAGE') OR pg_has_role('pg_read_all_stats', 'USAGE')
  FROM pg_stat_activity a WHERE a.pid = pg_backend_pid() /* migrator:load */;

-- name: active
SELECT count(*) FROM pg_stat_activity
 WHERE backend_type = 'client backend' AND state = 'active' AND pid <> pg_backend_pid()
   AND application_name <> %(app)s /* migrator:load */;

-- name: has_statements
SELECT (parse_ident(extnamespace::regnamespace::text))[1] FROM pg_extension
 WHERE extname = 'pg_stat_statements' /* migrator:load */;

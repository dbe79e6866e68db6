-- Statements of facts.py: what a migration has to carry, and what its servers have room for. All read-only.

-- name: room
-- Connections that others use: those of the tool and of shims are counted by what is planned for them.
SELECT pg_catalog.current_setting('max_connections')::int,
       coalesce(pg_catalog.current_setting('superuser_reserved_connections', true)::int, 0)
           + coalesce(pg_catalog.current_setting('reserved_connections', true)::int, 0),
       (SELECT count(*) FROM pg_catalog.pg_stat_activity
         WHERE backend_type = 'client backend' AND NOT starts_with(application_name, 'migrator'))::int,
       pg_catalog.pg_has_role('pg_monitor', 'USAGE') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
       /* migrator:size */;

-- name: mean_writes
-- Since the statistics of this database were reset; NULL where that is not known.
SELECT sum(t.n_tup_ins + t.n_tup_upd + t.n_tup_del)::float8
         / nullif(extract(epoch FROM clock_timestamp() - d.stats_reset), 0)::float8
  FROM pg_catalog.pg_stat_user_tables t, pg_catalog.pg_stat_database d
 WHERE d.datname = pg_catalog.current_database() AND t.schemaname = ANY (%(schemas)s)
 GROUP BY d.stats_reset /* migrator:size */;

-- Statements of pace.py: how fast copies and comparisons may go.

-- name: pace
-- One that was not looked after for fresh_s is none: then the plan's limits alone hold.
SELECT share, reason FROM migrator.pace WHERE at > clock_timestamp() - make_interval(secs => %(fresh_s)s);

-- name: store
UPDATE migrator.pace SET share = %(share)s, reason = %(reason)s, at = clock_timestamp();

-- name: classic
-- Statements that classic runs at once, the lag of the mirror that is furthest behind, and of classic's replicas.
SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'),
       (SELECT max(lag_s) FROM migrator.partition_status)::float8,
       (SELECT max(extract(epoch FROM coalesce(replay_lag, interval '0'))) FROM pg_stat_replication
         WHERE state IN ('streaming', 'catchup') AND application_name !~ '^migrator')::float8,
       to_regprocedure('aurora_replica_status()') IS NOT NULL;

-- name: aurora_lag
SELECT max(replica_lag_in_msec) / 1000.0::float8 FROM aurora_replica_status() WHERE session_id <> 'MASTER_SESSION_ID';

-- name: answer
-- A small read on Limitless, through a router to a shard.
SELECT max(version) FROM migrator.installed;

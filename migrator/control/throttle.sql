-- Statements of throttle.py: how fast the backfill may copy.

-- name: throttle
SELECT paused, mb_per_s, reason FROM migrator.throttle;

-- name: lock
SELECT paused, mb_per_s, reason FROM migrator.throttle FOR UPDATE;

-- name: start_rate
UPDATE migrator.throttle SET mb_per_s = %(mb_per_s)s, changed_by = 'plan' WHERE changed_by IN ('install', 'plan');

-- name: set
UPDATE migrator.throttle
   SET paused = %(paused)s, mb_per_s = %(mb_per_s)s, reason = %(reason)s, changed_by = %(who)s;

-- name: copy_load
SELECT t.paused, t.changed_by, t.reason,
       coalesce((SELECT max(lag_s) FROM migrator.partition_status), 0)::float8,
       (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'),
       (SELECT mb FROM migrator.journal_status)::float8
  FROM migrator.throttle t;

-- name: show_hold
UPDATE migrator.throttle SET reason = %(reason)s WHERE NOT paused;

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

-- Statements of migrator/control/process.py: migrator.process.

-- name: processes
-- As migrator.process_status, from the tables: version 1 has no such view, and a rollback is confirmed there too.
SELECT p.name || ' (' || p.process_id || ')' AS label, p.applied_epoch,
       clock_timestamp() <= p.seen_at + make_interval(secs => p.staleness_s),
       greatest(s.epoch - p.applied_epoch, 0)
  FROM migrator.process p
 CROSS JOIN migrator.switch s
 ORDER BY label;

-- name: forget_silent
DELETE FROM migrator.process WHERE seen_at < clock_timestamp() - make_interval(secs => staleness_s + %(gone_s)s);

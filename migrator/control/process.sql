-- Statements of migrator/control/process.py: migrator.process and migrator.process_status.

-- name: processes
SELECT label, applied_epoch, live, behind FROM migrator.process_status ORDER BY label;

-- name: forget_silent
DELETE FROM migrator.process WHERE seen_at < clock_timestamp() - make_interval(secs => staleness_s + %(gone_s)s);

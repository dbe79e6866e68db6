-- Statements of stopped.py: workflows beside the phases that have ended.

-- name: running_again
DELETE FROM migrator.stopped WHERE workflow = ANY (%(watched)s) AND workflow <> ALL (%(ended)s);

-- name: has_ended
-- Changes a row only when that is news.
INSERT INTO migrator.stopped (workflow, state, reason) VALUES (%(workflow)s, %(state)s, %(reason)s)
ON CONFLICT (workflow) DO UPDATE SET state = EXCLUDED.state, reason = EXCLUDED.reason, at = clock_timestamp()
 WHERE (stopped.state, stopped.reason) <> (EXCLUDED.state, EXCLUDED.reason);

-- name: forget
DELETE FROM migrator.stopped;

-- name: stopped
SELECT workflow, state, reason FROM migrator.stopped ORDER BY workflow;

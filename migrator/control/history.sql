-- Statements of history.py: reports, decisions, incidents.

-- name: audits_are_kept
-- Whether this cluster has the tool's tables. Its statements stay out of the next audit's evidence by their comment.
SELECT to_regclass('migrator.report') IS NOT NULL /* migrator:audit */;

-- name: last_audit
SELECT body FROM migrator.report WHERE kind = 'audit' ORDER BY id DESC LIMIT 1 /* migrator:audit */;

-- name: audited_plan
SELECT plan_id, digest, coalesce(body -> 'gates' -> 'acknowledged', '[]') FROM migrator.plan /* migrator:audit */;

-- name: keep_audit
INSERT INTO migrator.report (kind, body) VALUES (%(kind)s, %(body)s) /* migrator:audit */;

-- name: set_report
WITH gone AS (DELETE FROM migrator.report WHERE kind = %(kind)s)
INSERT INTO migrator.report (kind, body) VALUES (%(kind)s, %(body)s);

-- Statements of history.py: reports, decisions, incidents.

-- name: set_report
WITH gone AS (DELETE FROM migrator.report WHERE kind = %(kind)s)
INSERT INTO migrator.report (kind, body) VALUES (%(kind)s, %(body)s);

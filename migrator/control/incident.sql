-- Statements of migrator/control/incident.py: migrator.incident.

-- name: add_incident
INSERT INTO migrator.incident (kind, reason, reported_by) VALUES (%(kind)s, %(reason)s, %(who)s);

-- name: last_incident
SELECT coalesce(max(id), 0) FROM migrator.incident;

-- name: incidents_after
SELECT id, kind, reason FROM migrator.incident WHERE id > %(number)s ORDER BY id;

-- name: like_it
-- A row that joins another one takes its place, so there are as many as before.
SELECT count(*) FROM migrator.incident WHERE kind = %(kind)s AND reason = %(reason)s AND reported_by = %(who)s;

-- Statements of migrator/control/incident.py: migrator.incident.

-- name: add_incident
INSERT INTO migrator.incident (kind, reason, reported_by) VALUES (%(kind)s, %(reason)s, %(who)s);

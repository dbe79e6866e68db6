-- Statements of log.py.

-- name: decide
INSERT INTO migrator.decision (who, kind, subject, reason, before, after)
VALUES (%(who)s, %(kind)s, %(subject)s, %(reason)s, %(before)s, %(after)s);

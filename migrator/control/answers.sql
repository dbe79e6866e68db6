-- Statements of answers.py: what a cluster answered, on Limitless itself.

-- name: are_kept
SELECT to_regclass('migrator.probe') IS NOT NULL;

-- name: answers
SELECT capability, body, engine_version, at FROM migrator.probe;

-- name: forget
DELETE FROM migrator.probe;

-- name: store
INSERT INTO migrator.probe (capability, body, engine_version) VALUES (%(capability)s, %(body)s, %(version)s);

-- Statements of answers.py: what a cluster answered, on Limitless itself.

-- name: are_kept
SELECT to_regclass('migrator.probe') IS NOT NULL;

-- name: answers
SELECT capability, body, engine_version, at FROM migrator.probe;

-- name: forget
DELETE FROM migrator.probe;

-- name: store
-- Somebody may probe by hand while the phase does: the later answer stays.
INSERT INTO migrator.probe (capability, body, engine_version) VALUES (%(capability)s, %(body)s, %(version)s)
ON CONFLICT (capability) DO UPDATE
   SET body = EXCLUDED.body, engine_version = EXCLUDED.engine_version, at = EXCLUDED.at;

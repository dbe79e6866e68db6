-- Statements of provisioned.py: what provisioning made on Limitless, and what the last comparison of rights found.

-- name: made
SELECT kind, schema_name, name, detail FROM migrator.provisioned ORDER BY ordinal DESC;

-- name: record
INSERT INTO migrator.provisioned (ordinal, kind, schema_name, name, detail)
SELECT coalesce(max(ordinal), 0) + 1, %(kind)s, %(schema)s, %(name)s, %(detail)s FROM migrator.provisioned
ON CONFLICT (kind, schema_name, name, detail) DO NOTHING;

-- name: forget
DELETE FROM migrator.provisioned
 WHERE kind = %(kind)s AND schema_name = %(schema)s AND name = %(name)s AND detail = %(detail)s;

-- name: only_maker
-- Advisory locks exist on Limitless only from 16.10.
LOCK TABLE migrator.provisioned IN SHARE ROW EXCLUSIVE MODE;

-- name: rights_are_kept
SELECT to_regclass('migrator.rights_check') IS NOT NULL;

-- name: keep_rights
INSERT INTO migrator.rights_check (blockers, rights) VALUES (%(blockers)s, %(rights)s)
ON CONFLICT (only_one) DO UPDATE
   SET at = clock_timestamp(), blockers = EXCLUDED.blockers, rights = EXCLUDED.rights;

-- name: rights
SELECT at, blockers, rights FROM migrator.rights_check;

-- Statements of scratch.py.

-- name: put_tenant
INSERT INTO migrator.tenant (tenant_id, part, state) VALUES (%(tenant)s, %(part)s, 'mirrored') ON CONFLICT DO NOTHING;

-- name: publish
INSERT INTO migrator.position (part, epoch, snapshot, fresh_at) VALUES (%(part)s, 1, %(snapshot)s, %(at)s)
ON CONFLICT (part) DO UPDATE SET snapshot = EXCLUDED.snapshot, fresh_at = EXCLUDED.fresh_at
 WHERE migrator.position.fresh_at <= EXCLUDED.fresh_at;

-- name: fallbacks
SELECT f.scope || ' ' || f.scope_key FROM migrator.fallback f ORDER BY 1;

-- Statements of tenant_copy.py: migrator.tenant. Those that make a copy cease to count, or that only the newest mirror may
-- execute, are composed there.

-- name: add_tenants
INSERT INTO migrator.tenant (tenant_id, part) SELECT unnest(%(tenants)s::text[]), %(part)s ON CONFLICT DO NOTHING;

-- name: known
SELECT tenant_id FROM migrator.tenant;

-- name: pending
SELECT tenant_id, part FROM migrator.tenant WHERE state = 'pending';

-- name: set_copying
UPDATE migrator.tenant SET state = 'copying' WHERE tenant_id = ANY (%(tenants)s) AND state = 'pending';

-- name: leaving
SELECT tenant_id, recopy FROM migrator.tenant
 WHERE part = %(part)s AND recopy IS NOT NULL AND state IN ('mirrored', 'quarantined') ORDER BY tenant_id;

-- name: quarantined
SELECT tenant_id, coalesce(reason, '') FROM migrator.tenant WHERE state = 'quarantined' ORDER BY tenant_id;

-- Statements of migrator/control/tenant_hold.py: migrator.tenant_hold, and what is left of tenants without rows.

-- name: holds
SELECT tenant_id, reason, held_by, held_at, wave, until
  FROM migrator.held_tenant h
 WHERE (%(all)s OR tenant_id = ANY (%(tenants)s))
   AND NOT (%(with_rows)s AND EXISTS (SELECT FROM migrator.empty_tenant e WHERE e.tenant_id = h.tenant_id))
 ORDER BY tenant_id COLLATE "C";

-- name: hold
-- One that is held already stays held by the person who did it first, unless its date changes.
INSERT INTO migrator.tenant_hold AS h (tenant_id, reason, held_by, wave, until)
SELECT u.id, %(reason)s, %(who)s, %(wave)s, %(until)s FROM unnest(%(tenants)s::text[]) AS u (id)
ON CONFLICT (tenant_id) DO UPDATE
   SET reason = EXCLUDED.reason, held_by = EXCLUDED.held_by, wave = EXCLUDED.wave, until = EXCLUDED.until,
       held_at = clock_timestamp()
 WHERE h.until IS DISTINCT FROM EXCLUDED.until
RETURNING tenant_id;

-- name: release_hold
DELETE FROM migrator.tenant_hold
 WHERE tenant_id = ANY (%(tenants)s)
RETURNING tenant_id, reason, held_by, held_at, wave, until;

-- name: end_holds
DELETE FROM migrator.tenant_hold
 WHERE until <= clock_timestamp()
RETURNING tenant_id, reason, held_by, held_at, wave, until;

-- name: has_come
SELECT %(at)s::timestamptz <= clock_timestamp();

-- name: empty_tenants
SELECT tenant_id FROM migrator.empty_tenant WHERE tenant_id = ANY (%(tenants)s);

-- name: forget
UPDATE migrator.tenant SET wave = NULL, hot = false WHERE tenant_id = ANY (%(tenants)s);

-- name: forget_routes
UPDATE migrator.route
   SET level = 'classic', wave = NULL, watched = false, epoch = %(epoch)s, changed_at = clock_timestamp(),
       changed_by = %(who)s, reason = %(reason)s
 WHERE tenant_id = ANY (%(tenants)s);

-- name: forget_first
UPDATE migrator.report SET body = body - %(tenants)s::text[] WHERE kind = 'cutover.tenants';

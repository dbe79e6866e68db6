-- Statements of migrator/control/tenant_order.py: migrator.tenant_order.

-- name: orders
SELECT tenant_id, wave, ordered_by, reason, ordered_at FROM migrator.tenant_order
 WHERE %(all)s OR tenant_id = ANY (%(tenants)s)
 ORDER BY wave, tenant_id COLLATE "C";

-- name: put
INSERT INTO migrator.tenant_order AS o (tenant_id, wave, ordered_by, reason)
SELECT u.id, %(wave)s, %(who)s, %(reason)s FROM unnest(%(tenants)s::text[]) AS u (id)
ON CONFLICT (tenant_id) DO UPDATE
   SET wave = EXCLUDED.wave, ordered_by = EXCLUDED.ordered_by, reason = EXCLUDED.reason,
       ordered_at = clock_timestamp()
 WHERE o.wave <> EXCLUDED.wave
RETURNING tenant_id;

-- name: withdraw
DELETE FROM migrator.tenant_order WHERE tenant_id = ANY (%(tenants)s) RETURNING tenant_id;

-- name: places
-- IN: see tenant.sql.
SELECT u.id, t.state, t.wave, t.hot, coalesce(r.level, 'classic'), coalesce(r.reads_pct, 100), r.wave,
       h.held_by || ': ' || h.reason,
       CASE WHEN u.id IN (SELECT tenant_id FROM migrator.rolled_back) THEN r.changed_by || ': ' || r.reason END, t.reason
  FROM unnest(%(tenants)s::text[]) WITH ORDINALITY AS u (id, n)
  LEFT JOIN migrator.tenant t ON t.tenant_id = u.id
  LEFT JOIN migrator.route r ON r.tenant_id = u.id
  LEFT JOIN migrator.held_tenant h ON h.tenant_id = u.id
 ORDER BY u.n;

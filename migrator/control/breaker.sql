-- Statements of migrator/control/breaker.py: migrator.breaker_trip and open_breaker, migrator.fallback,
-- migrator.slo_breach.

-- name: open_breakers
SELECT process_id, scope, scope_key, reason FROM migrator.open_breaker ORDER BY at;

-- name: forget_trips
DELETE FROM migrator.breaker_trip t
 WHERE at < clock_timestamp() - make_interval(secs => %(gone_s)s)
   AND NOT EXISTS (SELECT FROM migrator.process p WHERE p.process_id = t.process_id);

-- name: fallback
SELECT level, epoch FROM migrator.fallback WHERE scope = %(scope)s AND scope_key = %(key)s;

-- name: tenant_fallbacks
SELECT scope_key, level, epoch FROM migrator.fallback WHERE scope = 'tenant' AND scope_key = ANY (%(tenants)s);

-- name: hold_tenant_fallbacks
UPDATE migrator.fallback SET held = true WHERE scope = 'tenant' AND scope_key = ANY (%(tenants)s) AND NOT held;

-- name: put_tenant_fallbacks
-- As migrator.shim.statements.PUT_FALLBACK, for many tenants.
WITH u AS (
    SELECT * FROM unnest(%(tenants)s::text[], %(reasons)s::text[]) WITH ORDINALITY AS u (id, reason, n)
), decided AS (
    INSERT INTO migrator.decision (at, who, kind, subject, reason, before, after)
    SELECT (SELECT clock_timestamp()), %(by)s, 'fallback.raised', 'fallback/tenant/' || u.id, u.reason,
           CASE WHEN f.scope IS NOT NULL THEN jsonb_build_object('level', f.level, 'epoch', f.epoch) END,
           jsonb_build_object('level', 'classic', 'epoch', %(epoch)s::bigint)
      FROM u LEFT JOIN migrator.fallback f ON f.scope = 'tenant' AND f.scope_key = u.id
     ORDER BY u.n
)
INSERT INTO migrator.fallback AS f (scope, scope_key, level, reason, raised_by, raised_at, epoch, held)
SELECT 'tenant', u.id, 'classic', u.reason, %(by)s, (SELECT clock_timestamp()), %(epoch)s, %(held)s FROM u
ON CONFLICT (scope, scope_key) DO UPDATE
   SET level = EXCLUDED.level, reason = EXCLUDED.reason, raised_by = EXCLUDED.raised_by,
       raised_at = EXCLUDED.raised_at, epoch = EXCLUDED.epoch, held = f.held OR EXCLUDED.held;

-- name: fallback_reasons
SELECT reason FROM migrator.fallback ORDER BY scope, scope_key;

-- name: fallbacks
SELECT f.scope, f.scope_key, f.level, f.held, f.raised_at,
       extract(epoch FROM clock_timestamp() - f.raised_at)::float8,
       (SELECT count(*) FROM migrator.decision d
         WHERE d.kind = 'fallback.raised' AND d.subject = 'fallback/' || f.scope || '/' || f.scope_key
           AND d.at > clock_timestamp() - make_interval(secs => %(lately_s)s)),
       EXISTS (SELECT FROM migrator.tenant t
                WHERE f.scope = 'tenant' AND t.tenant_id = f.scope_key AND t.state = 'quarantined')
  FROM migrator.fallback f
 ORDER BY f.raised_at;

-- name: ease_fallback
UPDATE migrator.fallback SET level = 'joining', epoch = %(epoch)s WHERE scope = %(scope)s AND scope_key = %(key)s;

-- name: clear_fallback
DELETE FROM migrator.fallback WHERE scope = %(scope)s AND scope_key = %(key)s;

-- name: lock_breaches
LOCK TABLE migrator.slo_breach IN SHARE ROW EXCLUSIVE MODE;

-- name: breaches
SELECT tenant_id, extract(epoch FROM first_at)::float8, extract(epoch FROM last_at)::float8, reason,
       recorded_at IS NOT NULL
  FROM migrator.slo_breach;

-- name: forget_breaches
DELETE FROM migrator.slo_breach WHERE (tenant_id IS NULL AND NOT %(everybody)s) OR tenant_id <> ALL (%(tenants)s);

-- name: put_breaches
INSERT INTO migrator.slo_breach AS b (tenant_id, first_at, last_at, reason, recorded_at)
SELECT u.tenant, to_timestamp(u.first_s), to_timestamp(u.last_s), u.reason, CASE WHEN u.recorded THEN clock_timestamp() END
  FROM unnest(%(tenants)s::text[], %(first_s)s::float8[], %(last_s)s::float8[], %(reasons)s::text[],
              %(recorded)s::boolean[]) AS u (tenant, first_s, last_s, reason, recorded)
ON CONFLICT (tenant_id) DO UPDATE
   SET first_at = EXCLUDED.first_at, last_at = EXCLUDED.last_at, reason = EXCLUDED.reason,
       recorded_at = coalesce(b.recorded_at, EXCLUDED.recorded_at);

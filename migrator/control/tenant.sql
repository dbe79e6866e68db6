-- Statements of migrator/control/tenant.py: migrator.tenant, the views gate_fact, reference_fact,
-- held_tenant, empty_tenant and rolled_back.
--
-- A wave changes most rows of these tables at once, and statistics follow a minute later. Until then a plan may expect one row
-- where there are 10,000, and join them by nested loops. NOT IN is looked up in a hash whatever is expected; tenant_id is never null.

-- name: sizes
SELECT tenant_id, rows, writes FROM migrator.tenant ORDER BY tenant_id;

-- name: places
SELECT tenant_id, part, state FROM migrator.tenant WHERE tenant_id = ANY (%(tenants)s);

-- name: hot
SELECT tenant_id FROM migrator.tenant WHERE hot AND tenant_id = ANY (%(tenants)s);

-- name: unmirrored
SELECT tenant_id FROM migrator.tenant WHERE state <> 'mirrored' ORDER BY tenant_id;

-- name: changed_since
SELECT tenant_id FROM migrator.tenant
 WHERE changed_at > %(at)s::timestamptz - make_interval(secs => %(margin_s)s)
 ORDER BY tenant_id;

-- name: waiting
SELECT tenant_id FROM migrator.tenant t
 WHERE wave IS NULL AND state = 'mirrored'
   AND t.tenant_id NOT IN (SELECT tenant_id FROM migrator.held_tenant)
   AND t.tenant_id NOT IN (SELECT tenant_id FROM migrator.empty_tenant);

-- name: waves
SELECT wave FROM migrator.tenant WHERE wave IS NOT NULL
 UNION SELECT wave FROM migrator.route WHERE wave IS NOT NULL
 UNION SELECT wave FROM migrator.tenant_hold WHERE wave IS NOT NULL
 ORDER BY 1;

-- name: wave_tenants
SELECT tenant_id FROM migrator.tenant t
 WHERE wave = %(wave)s
   AND (%(with_held)s OR t.tenant_id NOT IN (SELECT tenant_id FROM migrator.tenant_hold))
 ORDER BY tenant_id;

-- name: wave_members
SELECT tenant_id FROM migrator.tenant WHERE wave = %(wave)s
 UNION SELECT tenant_id FROM migrator.route WHERE wave = %(wave)s
 ORDER BY 1;

-- name: assign
UPDATE migrator.tenant SET wave = %(wave)s, hot = %(hot)s WHERE tenant_id = ANY (%(tenants)s) AND wave IS NULL;

-- name: release
UPDATE migrator.tenant SET wave = NULL WHERE tenant_id = ANY (%(tenants)s);

-- name: release_but_rolled_back
UPDATE migrator.tenant t SET wave = NULL
 WHERE tenant_id = ANY (%(tenants)s)
   AND t.tenant_id NOT IN (SELECT tenant_id FROM migrator.rolled_back);

-- name: release_interrupted
UPDATE migrator.tenant t SET wave = NULL
 WHERE t.wave IS NOT NULL
   AND NOT EXISTS (SELECT FROM migrator.route r
                    WHERE r.tenant_id = t.tenant_id
                      AND (r.level = 'limitless' AND r.reads_pct = 100
                           OR r.level = 'classic' AND r.wave = t.wave));

-- name: rolled_back
SELECT tenant_id, wave, changed_by, reason FROM migrator.rolled_back ORDER BY wave, tenant_id;

-- name: not_watched_so
-- With their partitions: tenants that processes report one by one although they should not, or the other way round.
SELECT t.tenant_id, t.part
  FROM migrator.tenant t
  LEFT JOIN migrator.route r USING (tenant_id)
 WHERE t.tenant_id = ANY (%(tenants)s) AND coalesce(r.watched, false) <> %(on)s;

-- name: remember_tenants
INSERT INTO migrator.report (kind, body)
SELECT 'cutover.tenants', coalesce(jsonb_agg(tenant_id), '[]') FROM migrator.tenant
HAVING NOT EXISTS (SELECT FROM migrator.report WHERE kind = 'cutover.tenants');

-- name: first_tenants
SELECT jsonb_array_elements_text(body) FROM migrator.report WHERE kind = 'cutover.tenants';

-- name: left_behind
SELECT count(*) FROM migrator.tenant t
 WHERE t.tenant_id IN (SELECT jsonb_array_elements_text(body) FROM migrator.report WHERE kind = 'cutover.tenants')
   AND t.tenant_id NOT IN (SELECT tenant_id FROM migrator.held_tenant)
   AND t.tenant_id NOT IN (SELECT tenant_id FROM migrator.empty_tenant)
   AND NOT EXISTS (SELECT FROM migrator.route r
                    WHERE r.tenant_id = t.tenant_id AND r.level = 'limitless' AND r.reads_pct = 100);

-- name: not_on_limitless
-- A late sign-up does not block: it is mirrored and validated like the others.
SELECT tenant_id FROM migrator.tenant t
 WHERE state = 'mirrored' AND wave IS NOT NULL
   AND t.tenant_id NOT IN (SELECT tenant_id FROM migrator.held_tenant)
   AND t.tenant_id NOT IN (SELECT tenant_id FROM migrator.empty_tenant)
   AND NOT EXISTS (SELECT FROM migrator.route r
                    WHERE r.tenant_id = t.tenant_id AND r.level = 'limitless' AND r.reads_pct = 100)
 ORDER BY tenant_id;

-- name: tenant_facts
SELECT t.tenant_id, t.state, p.lag_s, extract(epoch FROM clock_timestamp() - t.clean_at)::float8, t.divergent,
       ARRAY(SELECT f.reason FROM migrator.fallback f
              WHERE migrator.covers(f.scope, f.scope_key, t.tenant_id, t.part)
              ORDER BY f.scope, f.scope_key),
       t.reason, t.outdated, h.held_by || ': ' || h.reason, coalesce('partition ' || p.part || ': ' || p.problem, '')
  FROM migrator.gate_fact t
  LEFT JOIN migrator.partition_status p ON p.part = t.part
  LEFT JOIN migrator.held_tenant h ON h.tenant_id = t.tenant_id
 WHERE t.tenant_id = ANY (%(tenants)s)
 ORDER BY t.tenant_id;

-- name: reference_facts
SELECT extract(epoch FROM clock_timestamp() - f.clean_at)::float8, f.divergent, f.outdated,
       coalesce(p.lag_s, 0), coalesce(p.problem, '')
  FROM migrator.reference_fact f
  LEFT JOIN migrator.partition_status p ON p.part = 0;

-- name: stale
SELECT name
  FROM (SELECT tenant_id, clean_at FROM migrator.gate_fact WHERE state = 'mirrored'
         UNION ALL
        SELECT '(reference tables)', clean_at FROM migrator.reference_fact) f (name, clean_at)
 WHERE clean_at IS NULL OR clean_at < clock_timestamp() - make_interval(secs => %(max_age_s)s)
 ORDER BY name;

-- name: divergent
SELECT tenant_id FROM migrator.tenant WHERE divergent > 0
 UNION ALL
SELECT '(reference tables)' FROM migrator.reference_fact WHERE divergent > 0
 ORDER BY 1;

-- name: changed_since_clean
-- Both moments are noted some time after what they stand for, so what is close together counts as changed.
SELECT tenant_id FROM migrator.gate_fact
 WHERE clean_at IS NULL OR coalesce(divergent, 1) > 0 OR changed_at > clean_at - make_interval(secs => %(margin_s)s)
 ORDER BY tenant_id;

-- name: reference_changed_since_clean
SELECT f.clean_at IS NULL OR coalesce(f.divergent, 1) > 0
       OR h.reference_at > f.clean_at - make_interval(secs => %(margin_s)s)
  FROM migrator.reference_fact f
  LEFT JOIN migrator.heartbeat h ON h.part = 0;

-- name: unvalidated_since
-- Of those that read Limitless: tenants without a clean validation since then; NULL stands for the reference tables.
WITH back AS (
    SELECT tenant_id FROM migrator.route
     WHERE level = 'limitless' AND part = ANY (%(parts)s) AND (%(all)s OR tenant_id = %(tenant)s)
)
SELECT tenant_id FROM back JOIN migrator.gate_fact t USING (tenant_id)
 WHERE t.clean_at IS NULL OR t.clean_at < %(since)s OR coalesce(t.divergent, 1) > 0
 UNION ALL
SELECT NULL FROM migrator.reference_fact f
 WHERE (f.clean_at IS NULL OR f.clean_at < %(since)s OR coalesce(f.divergent, 1) > 0)
   AND EXISTS (SELECT FROM back)
 ORDER BY 1;

-- name: tenants_by_state
SELECT state, count(*) FROM migrator.tenant GROUP BY state ORDER BY state;

-- name: quarantined_tenants
SELECT tenant_id, reason FROM migrator.tenant WHERE state = 'quarantined' ORDER BY tenant_id;

-- name: unvalidated_tenants
-- Of the mirrored tenants: how many have divergent rows, and how many no clean validation within `max_age_s` seconds.
SELECT count(*) FILTER (WHERE divergent > 0),
       count(*) FILTER (WHERE clean_at IS NULL OR clean_at < clock_timestamp() - make_interval(secs => %(max_age_s)s))
  FROM migrator.gate_fact WHERE state = 'mirrored';

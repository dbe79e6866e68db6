-- name: tenants_by_state
SELECT state, count(*) FROM migrator.tenant GROUP BY state ORDER BY state;

-- name: quarantined_tenants
SELECT tenant_id, reason FROM migrator.tenant WHERE state = 'quarantined' ORDER BY tenant_id;

-- name: unvalidated_tenants
-- Of the mirrored tenants: how many have divergent rows, and how many no clean validation within `max_age_s` seconds.
SELECT count(*) FILTER (WHERE divergent > 0),
       count(*) FILTER (WHERE clean_at IS NULL OR clean_at < clock_timestamp() - make_interval(secs => %(max_age_s)s))
  FROM migrator.gate_fact WHERE state = 'mirrored';

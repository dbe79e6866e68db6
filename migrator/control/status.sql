-- Statements of status.py: what only the status needs in this form.

-- name: now
SELECT clock_timestamp() AS at;

-- name: switch
SELECT epoch, level, write_mode, changed_at, changed_by, reason FROM migrator.switch;

-- name: waves
SELECT t.wave, count(*) AS tenants,
       count(*) FILTER (WHERE l.level = 'limitless') AS limitless,
       count(*) FILTER (WHERE l.level = 'joining') AS joining,
       count(*) FILTER (WHERE coalesce(l.level, 'classic') = 'classic') AS classic,
       count(*) FILTER (WHERE b.tenant_id IS NOT NULL) AS rolled_back,
       count(*) FILTER (WHERE t.hot) AS hot,
       count(*) FILTER (WHERE l.wave IS NOT NULL) AS moved
  FROM migrator.tenant t
  LEFT JOIN migrator.route_status l USING (tenant_id)
  LEFT JOIN migrator.rolled_back b USING (tenant_id)
 GROUP BY t.wave
 ORDER BY t.wave NULLS LAST;

-- name: parts
SELECT part, lag_s, depth, rows_per_s, applied, state, problem FROM migrator.partition_status ORDER BY part;

-- name: states
SELECT state, count(*) AS n FROM migrator.tenant GROUP BY 1 ORDER BY 1;

-- name: quarantined
SELECT tenant_id, reason FROM migrator.tenant WHERE state = 'quarantined' ORDER BY 1 LIMIT 20;

-- name: held
SELECT tenant_id AS tenant, reason, held_by, held_at, wave FROM migrator.tenant_hold ORDER BY 1;

-- name: journal
SELECT mb FROM migrator.journal_status;

-- name: backfill
-- Rows per second: of the last five minutes.
SELECT count(*) AS units,
       count(*) FILTER (WHERE state IN ('copied', 'joined')) AS done,
       count(*) FILTER (WHERE state = 'copying') AS copying,
       count(*) FILTER (WHERE state = 'failed') AS failed,
       coalesce(sum(greatest(rows, copied_rows)), 0)::bigint AS rows,
       coalesce(sum(copied_rows), 0)::bigint AS copied_rows,
       coalesce(sum(copied_bytes), 0)::bigint AS copied_bytes,
       coalesce(sum(copied_rows) FILTER (WHERE coalesce(finished_at, clock_timestamp())
                                               > clock_timestamp() - interval '5 minutes'), 0)
           / greatest(extract(epoch FROM clock_timestamp() - greatest(
                 min(started_at) FILTER (WHERE coalesce(finished_at, clock_timestamp())
                                               > clock_timestamp() - interval '5 minutes'),
                 clock_timestamp() - interval '5 minutes')), 1)::float8 AS rows_per_s,
       coalesce(array_agg(unit_id || ': ' || problem ORDER BY unit_id) FILTER (WHERE problem IS NOT NULL
           AND state NOT IN ('copied', 'joined')), '{}') AS problems
  FROM migrator.copy_unit;

-- name: copy_units
SELECT unit_id, part, cardinality(tenants) AS tenants, table_name, state, rows, copied_rows, copied_bytes,
       attempts, worker, started_at, finished_at, problem
  FROM migrator.copy_unit
 ORDER BY array_position(ARRAY['failed', 'copying', 'pending', 'copied', 'joined'], state), unit_id;

-- name: validation
SELECT v.kind, v.finished_at, extract(epoch FROM clock_timestamp() - v.finished_at)::float8 AS age_s,
       coalesce(v.rows, 0) AS rows, coalesce(v.divergent, 0) AS divergent,
       coalesce(v.fence_pause_ms, 0) AS fence_pause_ms,
       t.never, t.divergent_tenants, t.oldest_clean_s,
       (SELECT count(*) FROM migrator.open_divergence d WHERE d.run_id = v.run_id) AS unrepaired
  FROM (SELECT count(*) FILTER (WHERE validated_at IS NULL) AS never,
               count(*) FILTER (WHERE divergent > 0) AS divergent_tenants,
               extract(epoch FROM clock_timestamp() - min(clean_at))::float8 AS oldest_clean_s
          FROM migrator.tenant) t
  LEFT JOIN LATERAL (SELECT * FROM migrator.validation WHERE finished_at IS NOT NULL
                      ORDER BY finished_at DESC LIMIT 1) v ON true;

-- name: fallbacks
SELECT scope, scope_key AS key, level, reason, raised_by, raised_at, held
  FROM migrator.fallback
 ORDER BY scope, scope_key;

-- name: trips
SELECT scope, scope_key, count(*) AS n, min(reason) AS reason FROM migrator.open_breaker GROUP BY 1, 2 ORDER BY 1, 2;

-- name: processes
SELECT process_id, name, seen_s, live, applied_epoch, behind
  FROM migrator.process_status
 WHERE seen_s < 3600
 ORDER BY name, process_id;

-- name: phases
SELECT * FROM migrator.phase;

-- name: incidents
SELECT count(*) AS n FROM migrator.incident;

-- name: events
-- A wave moves many tenants in one go: one line for all of them.
SELECT max(at) AS at, who, kind,
       CASE count(*) WHEN 1 THEN min(subject) ELSE count(*) || ' ' || split_part(min(subject), '/', 1) || 's' END
           AS subject,
       reason
  FROM (SELECT * FROM migrator.decision ORDER BY id DESC LIMIT %(decisions)s) newest
 GROUP BY who, kind, reason, date_trunc('second', at)
 ORDER BY max(id) DESC
 LIMIT %(events)s;

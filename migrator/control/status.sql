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
       count(*) FILTER (WHERE t.tenant_id IN (SELECT tenant_id FROM migrator.rolled_back)) AS rolled_back,
       count(*) FILTER (WHERE t.hot) AS hot,
       count(*) FILTER (WHERE l.wave IS NOT NULL) AS moved
  FROM migrator.tenant t
  LEFT JOIN migrator.route_status l USING (tenant_id)
 GROUP BY t.wave
 ORDER BY t.wave NULLS LAST;

-- name: parts
SELECT part, lag_s, depth, rows_per_s, applied, state, problem FROM migrator.partition_status ORDER BY part;

-- name: states
SELECT state, count(*) AS n FROM migrator.tenant GROUP BY 1 ORDER BY 1;

-- name: quarantined
SELECT tenant_id, reason FROM migrator.tenant WHERE state = 'quarantined' ORDER BY 1 LIMIT %(shown)s;

-- name: held
SELECT tenant_id AS tenant, reason, held_by, held_at, wave, until FROM migrator.held_tenant ORDER BY 1 LIMIT %(shown)s;

-- name: held_count
SELECT count(*) AS n FROM migrator.held_tenant;

-- name: journal
SELECT mb FROM migrator.journal_status;

-- name: backfill
-- Rows per second: of the last five minutes. A tenant that is to be copied again may have no unit of its own yet.
SELECT (SELECT count(*) FROM migrator.tenant WHERE state IN ('pending', 'copying')) AS tenants_left,
       count(*) AS units,
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
-- Those of everybody and of partitions first.
SELECT scope, scope_key AS key, level, reason, raised_by, raised_at, held
  FROM migrator.fallback
 ORDER BY scope, scope_key
 LIMIT %(shown)s;

-- name: fallback_count
SELECT count(*) AS n FROM migrator.fallback;

-- name: trips
SELECT scope, scope_key, count(*) AS n, min(reason) AS reason FROM migrator.open_breaker GROUP BY 1, 2 ORDER BY 1, 2;

-- name: breaches
SELECT tenant_id AS tenant, first_at, reason FROM migrator.slo_breach WHERE recorded_at IS NOT NULL
 ORDER BY tenant_id NULLS FIRST;

-- name: processes
SELECT p.process_id, p.name, p.seen_s, p.live, p.applied_epoch, p.behind, cardinality(e.instances) AS replicas
  FROM migrator.process_status p
  LEFT JOIN migrator.replica_reach e USING (process_id)
 WHERE p.seen_s < 3600
 ORDER BY p.name, p.process_id;

-- name: replicas
-- The newest start of each server. A process that was given other replicas counts as missing, too.
SELECT r.name, r.level, extract(epoch FROM clock_timestamp() - r.changed_at)::float8 AS since_s, r.reason,
       (SELECT count(*) FROM migrator.process_status p
         WHERE p.live AND NOT EXISTS (SELECT FROM migrator.replica_reach e
                                       WHERE e.process_id = p.process_id AND r.instance = ANY (e.instances))) AS missing
  FROM (SELECT DISTINCT ON (name) * FROM migrator.replica ORDER BY name, epoch DESC) r
 ORDER BY r.name;

-- name: classic_reads
SELECT substr(side, 9) AS endpoint, sum(reads)::bigint AS reads, sum(errors)::bigint AS errors
  FROM (SELECT side, reads, errors FROM migrator.read_sample
         WHERE tenant_id IS NULL AND at > clock_timestamp() - interval '10 minutes'
         UNION ALL
        SELECT side, reads, errors FROM migrator.read_minute
         WHERE tenant_id IS NULL AND at > clock_timestamp() - interval '10 minutes') s
 WHERE starts_with(side, 'classic/')
 GROUP BY side ORDER BY 2 DESC, 1;

-- name: phases
SELECT * FROM migrator.phase;

-- name: incidents
SELECT count(*) AS n FROM migrator.incident;

-- name: events
-- A wave moves many tenants in one go: one line for all of them, however many. From each line the next one is looked for,
-- so this reads what it shows and no more.
WITH RECURSIVE act AS (
    (SELECT id, at, who, kind, subject, reason, 1 AS line, 0::bigint AS passed
       FROM migrator.decision ORDER BY id DESC LIMIT 1)
     UNION ALL
    SELECT d.id, d.at, d.who, d.kind, d.subject, d.reason, a.line + 1, d.passed
      FROM act a
     CROSS JOIN LATERAL (
            SELECT * FROM (SELECT x.id, x.at, x.who, x.kind, x.subject, x.reason,
                                  row_number() OVER (ORDER BY x.id DESC) - 1 AS passed
                             FROM migrator.decision x WHERE x.id < a.id) r
             WHERE (r.who, r.kind, r.reason, date_trunc('second', r.at))
                   IS DISTINCT FROM (a.who, a.kind, a.reason, date_trunc('second', a.at))
             ORDER BY r.id DESC LIMIT 1) d
     WHERE a.line <= %(events)s
), counted AS (
    SELECT a.*, 1 + coalesce(n.passed, (SELECT count(*) FROM migrator.decision x WHERE x.id < a.id)) AS n
      FROM act a LEFT JOIN act n ON n.line = a.line + 1
     WHERE a.line <= %(events)s
)
SELECT at, who, kind, CASE n WHEN 1 THEN subject ELSE n || ' ' || split_part(subject, '/', 1) || 's' END AS subject, reason
  FROM counted
 ORDER BY line;

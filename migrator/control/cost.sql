-- Statements of cost.py: what Limitless used, by the hour in UTC.

-- name: take_turn
SELECT migrator_lock FROM pg_try_advisory_lock(%(lock)s) AS migrator_lock;

-- name: put
-- What CloudWatch measured stays whatever a model says later, and replaces what one said before. A later value of the
-- same hour replaces an earlier one: the newest hours of CloudWatch are not whole yet. What is unknown replaces nothing.
INSERT INTO migrator.limitless_hour AS h (at, acu, peak_acu, standby_acu, bytes, basis)
SELECT * FROM unnest(%(at)s::timestamptz[], %(acu)s::float8[], %(peak)s::float8[], %(standby)s::float8[],
                     %(bytes)s::float8[]) AS n (at, acu, peak_acu, standby_acu, bytes), (SELECT %(basis)s) b (basis)
ON CONFLICT (at) DO UPDATE
   SET acu = EXCLUDED.acu, peak_acu = EXCLUDED.peak_acu, standby_acu = EXCLUDED.standby_acu,
       bytes = coalesce(EXCLUDED.bytes, h.bytes), basis = EXCLUDED.basis
 WHERE EXCLUDED.basis = 'cloudwatch' OR h.basis = 'model';

-- name: forget
-- What is old, and what was stored while classic's clock was ahead.
DELETE FROM migrator.limitless_hour
 WHERE at < clock_timestamp() - make_interval(days => %(days)s) OR at > clock_timestamp() + interval '1 hour';

-- name: last_measured
SELECT at FROM migrator.limitless_hour WHERE basis = 'cloudwatch' ORDER BY at DESC LIMIT 1;

-- name: seen
-- The first hour that is known, the last one, and classic's clock.
SELECT (SELECT at FROM migrator.limitless_hour WHERE at <= clock_timestamp() ORDER BY at LIMIT 1),
       (SELECT at FROM migrator.limitless_hour WHERE at <= clock_timestamp() ORDER BY at DESC LIMIT 1),
       clock_timestamp();

-- name: days
-- Added up by day, by basis and by the price that was in force when the hour began. An hour that is not over counts as
-- far as it goes. OFFSET 0 has each hour's share worked out once, not for every sum: status asks every second.
SELECT day, price, basis, sum(h), sum((acu + coalesce(standby_acu, 0)) * h),
       coalesce(sum(bytes * h), 0), coalesce(sum(h) FILTER (WHERE bytes IS NOT NULL), 0),
       max(coalesce(peak_acu, CASE basis WHEN 'cloudwatch' THEN acu END)),
       coalesce(sum(h) FILTER (WHERE standby_acu IS NULL), 0)
  FROM (SELECT (at AT TIME ZONE 'UTC')::date AS day, width_bucket(at, %(changes)s::timestamptz[]) AS price, basis, acu,
               standby_acu, bytes, peak_acu, least(date_part('epoch', %(now)s::timestamptz - at) / 3600, 1) AS h
          FROM migrator.limitless_hour WHERE at >= %(since)s AND at < %(now)s OFFSET 0) hours
 GROUP BY day, price, basis ORDER BY day, price, basis;

-- name: prices
-- What the plan said about prices when it changed, the first version first; the last row is what it says now.
SELECT at, body -> 'plan' -> 'cost' FROM migrator.report
 WHERE kind = 'plan' AND body ->> 'plan_id' = %(plan_id)s ORDER BY id;

-- name: large_tenants
-- The tenants with most bytes as they were copied, or with most rows where nothing was copied; and how many rows and
-- bytes all tenants have. A unit with several tenants counts for each by its rows.
WITH part AS (
    SELECT t.tenant_id, u.unit_id, t.rows,
           u.copied_bytes::float8 * CASE WHEN cardinality(u.tenants) = 1 THEN 1
               ELSE t.rows / nullif(sum(t.rows) OVER (PARTITION BY u.unit_id), 0) END AS bytes
      FROM migrator.copy_unit u CROSS JOIN LATERAL unnest(u.tenants) m (tenant_id)
      JOIN migrator.tenant t ON t.tenant_id = m.tenant_id
     WHERE NOT u.superseded AND u.copied_bytes > 0
), size AS (
    SELECT tenant_id, sum(bytes) AS bytes FROM part GROUP BY tenant_id
)
SELECT t.tenant_id, t.rows, s.bytes, sum(t.rows) OVER ()::float8, sum(s.bytes) OVER ()::float8
  FROM migrator.tenant t LEFT JOIN size s USING (tenant_id)
 ORDER BY s.bytes DESC NULLS LAST, t.rows DESC, t.tenant_id
 LIMIT %(limit)s;

-- name: audited
-- What the last audit of the migration found: the share of calls that go to all shards, and how many calls it saw.
SELECT (body -> 'evidence' ->> 'cross_shard_call_share')::float8,
       (SELECT sum((verdict ->> 'calls')::float8) FROM jsonb_each(body -> 'summary' -> 'statements') e (name, verdict))
  FROM migrator.report WHERE kind = 'audit' ORDER BY id DESC LIMIT 1;

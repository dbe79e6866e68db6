-- Statements of shadow_reads.py: what shadow reads found.

-- name: summary
-- By statement, what differed first. What is not added up yet counts, too.
WITH found AS (
    SELECT fingerprint, tenant_id, compared, differing, reordered, undecided, at FROM migrator.shadow_read
     WHERE at >= clock_timestamp() - make_interval(secs => %(within_s)s)
     UNION ALL
    SELECT fingerprint, tenant_id, compared, differing, reordered, undecided, at FROM migrator.shadow_read_sample
), summed AS (
    SELECT fingerprint, sum(compared)::bigint AS compared, sum(differing)::bigint AS differing,
           sum(reordered)::bigint AS reordered, sum(undecided)::bigint AS undecided,
           count(DISTINCT tenant_id) FILTER (WHERE differing > 0)::int AS tenant_count,
           (array_agg(DISTINCT tenant_id) FILTER (WHERE differing > 0))[1:5] AS tenants,
           min(at) FILTER (WHERE differing > 0) AS first_at, max(at) FILTER (WHERE differing > 0) AS last_at
      FROM found GROUP BY 1
), clean AS (   -- of the minutes behind the one of the last difference: a minute has both, and does not say which came first
    SELECT fingerprint, coalesce(sum(d.compared), 0)::bigint AS clean
      FROM found d JOIN summed s USING (fingerprint) WHERE d.at >= s.last_at + interval '1 minute' GROUP BY 1
)
SELECT f.fingerprint,
       coalesce(s.statement, (SELECT max(x.statement) FROM migrator.shadow_read_sample x
                               WHERE x.fingerprint = f.fingerprint), '') AS statement,
       coalesce(s.note, '') AS note, f.compared, f.differing, f.reordered, f.undecided, f.tenant_count,
       coalesce(f.tenants, '{}') AS tenants, f.first_at, f.last_at, coalesce(c.clean, 0) AS clean,
       coalesce(extract(epoch FROM clock_timestamp() - f.last_at), 0)::float8 AS quiet_s
  FROM summed f LEFT JOIN migrator.shadow_statement s USING (fingerprint) LEFT JOIN clean c USING (fingerprint)
 ORDER BY f.differing DESC, f.reordered DESC, f.undecided DESC, f.compared DESC, f.fingerprint LIMIT %(most)s;

-- name: totals
SELECT coalesce(sum(compared), 0)::bigint, coalesce(sum(differing), 0)::bigint, coalesce(sum(reordered), 0)::bigint,
       coalesce(sum(undecided), 0)::bigint
  FROM (SELECT compared, differing, reordered, undecided FROM migrator.shadow_read
         WHERE at >= clock_timestamp() - make_interval(secs => %(within_s)s)
         UNION ALL
        SELECT compared, differing, reordered, undecided FROM migrator.shadow_read_sample) f;

-- name: differing
-- What differed alone, which an index finds: a status is asked every second. Only of these everything that was compared.
WITH summed AS (
    SELECT fingerprint, sum(differing)::bigint AS differing, count(DISTINCT tenant_id)::int AS tenant_count,
           (array_agg(DISTINCT tenant_id))[1:5] AS tenants, min(at) AS first_at, max(at) AS last_at
      FROM (SELECT fingerprint, tenant_id, differing, at FROM migrator.shadow_read
             WHERE differing > 0 AND at >= clock_timestamp() - make_interval(secs => %(within_s)s)
             UNION ALL
            SELECT fingerprint, tenant_id, differing, at FROM migrator.shadow_read_sample WHERE differing > 0) d
     GROUP BY 1
)
SELECT f.fingerprint,
       coalesce(s.statement, (SELECT max(x.statement) FROM migrator.shadow_read_sample x
                               WHERE x.fingerprint = f.fingerprint), '') AS statement,
       coalesce(s.note, '') AS note, a.compared, f.differing, 0::bigint AS reordered, 0::bigint AS undecided,
       f.tenant_count, f.tenants, f.first_at, f.last_at, a.clean,
       coalesce(extract(epoch FROM clock_timestamp() - f.last_at), 0)::float8 AS quiet_s
  FROM summed f LEFT JOIN migrator.shadow_statement s USING (fingerprint), LATERAL (
    SELECT coalesce(sum(r.compared), 0)::bigint AS compared,
           coalesce(sum(r.compared) FILTER (WHERE r.at >= f.last_at + interval '1 minute'), 0)::bigint AS clean
      FROM (SELECT compared, at FROM migrator.shadow_read
             WHERE fingerprint = f.fingerprint AND at >= clock_timestamp() - make_interval(secs => %(within_s)s)
             UNION ALL
            SELECT compared, at FROM migrator.shadow_read_sample WHERE fingerprint = f.fingerprint) r) a
 ORDER BY f.differing DESC, f.fingerprint LIMIT %(most)s;

-- Statements of series.py: the state of the migration by the minute, and everything that is drawn over time. What adds up
-- every bucket of reads is composed there.

-- name: add
-- One row for this minute; the first one stays.
INSERT INTO migrator.state_sample (grain, at, lag_s, lag_max_s, depth, rows_per_s, pending, copying, mirrored, quarantined,
                                   joining, limitless, held, copied_rows, to_copy_rows, oldest_clean_s, never_validated,
                                   divergent, fallbacks, open_breakers, processes)
SELECT 'minute', date_trunc('minute', clock_timestamp(), 'UTC'), p.lag_s, p.lag_s, p.depth, p.rows_per_s,
       t.pending, t.copying, t.mirrored, t.quarantined, l.joining, l.limitless,
       (SELECT count(*) FROM migrator.held_tenant), c.copied_rows, c.to_copy_rows,
       t.oldest_clean_s, t.never_validated, t.divergent,
       (SELECT count(*) FROM migrator.fallback), (SELECT count(*) FROM migrator.open_breaker),
       (SELECT count(*) FROM migrator.process_status WHERE live)
  FROM (SELECT max(lag_s) AS lag_s, sum(depth) AS depth, sum(rows_per_s) AS rows_per_s
          FROM migrator.partition_status) p,
       (SELECT count(*) FILTER (WHERE state = 'pending') AS pending, count(*) FILTER (WHERE state = 'copying') AS copying,
               count(*) FILTER (WHERE state = 'mirrored') AS mirrored,
               count(*) FILTER (WHERE state = 'quarantined') AS quarantined,
               extract(epoch FROM clock_timestamp() - min(clean_at)) AS oldest_clean_s,
               count(*) FILTER (WHERE validated_at IS NULL) AS never_validated,
               count(*) FILTER (WHERE divergent > 0) AS divergent
          FROM migrator.tenant) t,
       (SELECT count(*) FILTER (WHERE level = 'joining') AS joining, count(*) FILTER (WHERE level = 'limitless') AS limitless
          FROM migrator.route_status) l,
       (SELECT coalesce(sum(copied_rows), 0) AS copied_rows, coalesce(sum(greatest(rows, copied_rows)), 0) AS to_copy_rows
          FROM migrator.copy_unit WHERE NOT superseded) c
ON CONFLICT (grain, at) DO NOTHING;

-- name: fold
-- Adds up to hours the minutes of hours that are over for long. Killed anywhere, it loses nothing.
WITH gone AS (
    DELETE FROM migrator.state_sample
     WHERE grain = 'minute' AND at < date_trunc('hour', clock_timestamp() - make_interval(secs => %(kept_s)s), 'UTC')
    RETURNING *
), hours AS (
    SELECT date_trunc('hour', at, 'UTC') AS at, count(*) AS minutes, avg(lag_s) AS lag_s, max(lag_max_s) AS lag_max_s,
           avg(depth) AS depth, avg(rows_per_s) AS rows_per_s, max(oldest_clean_s) AS oldest_clean_s,
           max(divergent) AS divergent, max(fallbacks) AS fallbacks, max(open_breakers) AS open_breakers,
           min(processes) AS processes, max(at) AS last_at
      FROM gone GROUP BY 1
)
INSERT INTO migrator.state_sample AS s (grain, at, minutes, lag_s, lag_max_s, depth, rows_per_s, pending, copying, mirrored,
                                        quarantined, joining, limitless, held, copied_rows, to_copy_rows, oldest_clean_s,
                                        never_validated, divergent, fallbacks, open_breakers, processes)
SELECT 'hour', h.at, h.minutes, h.lag_s, h.lag_max_s, h.depth, h.rows_per_s, g.pending, g.copying, g.mirrored,
       g.quarantined, g.joining, g.limitless, g.held, g.copied_rows, g.to_copy_rows, h.oldest_clean_s,
       g.never_validated, h.divergent, h.fallbacks, h.open_breakers, h.processes
  FROM hours h JOIN gone g ON g.at = h.last_at
ON CONFLICT (grain, at) DO NOTHING;

-- name: oldest
-- The oldest moment of which anything is drawn, the state's and the reads'; and now.
SELECT least((SELECT min(at) FROM migrator.state_sample), (SELECT min(at) FROM migrator.read_hour),
             (SELECT min(at) FROM migrator.read_minute), (SELECT min(at) FROM migrator.read_sample)), clock_timestamp();

-- name: states
-- By bins of step_s seconds since 1970: means of what is a mean, the most of what alarms, of numbers of tenants the last.
SELECT floor(extract(epoch FROM at) / %(step_s)s)::bigint AS bin,
       sum(lag_s * minutes) / sum(minutes) FILTER (WHERE lag_s IS NOT NULL) AS lag_s, max(lag_max_s) AS lag_max_s,
       sum(depth * minutes) / sum(minutes) FILTER (WHERE depth IS NOT NULL) AS depth,
       sum(rows_per_s * minutes) / sum(minutes) FILTER (WHERE rows_per_s IS NOT NULL) AS rows_per_s,
       (array_agg(pending ORDER BY at DESC))[1] AS pending, (array_agg(copying ORDER BY at DESC))[1] AS copying,
       (array_agg(mirrored ORDER BY at DESC))[1] AS mirrored,
       (array_agg(quarantined ORDER BY at DESC))[1] AS quarantined,
       (array_agg(joining ORDER BY at DESC))[1] AS joining, (array_agg(limitless ORDER BY at DESC))[1] AS limitless,
       (array_agg(held ORDER BY at DESC))[1] AS held, max(copied_rows) AS copied_rows, max(to_copy_rows) AS to_copy_rows,
       max(oldest_clean_s) AS oldest_clean_s, (array_agg(never_validated ORDER BY at DESC))[1] AS never_validated,
       max(divergent) AS divergent, max(fallbacks) AS fallbacks, max(open_breakers) AS open_breakers,
       min(processes) AS processes
  FROM migrator.state_sample
 WHERE at >= %(since)s AND at < %(until)s
 GROUP BY 1;

-- name: loads
-- What is stored by minute, hour or day: the finer ones first, with the seconds that a row stands for.
SELECT floor(extract(epoch FROM at) / %(step_s)s)::bigint AS bin, metric, sum(total) / sum(seconds) AS value,
       CASE grain WHEN 'minute' THEN 60 WHEN 'hour' THEN 3600 ELSE 86400 END AS grain_s
  FROM migrator.writer_load
 WHERE metric = ANY (%(metrics)s) AND seconds > 0 AND at >= %(since)s AND at < %(until)s
 GROUP BY 1, 2, 4
 ORDER BY 4;

-- Statements of writer_load.py: what classic's writer carries, by minute, hour and day.

-- name: take_turn
SELECT migrator_lock FROM pg_try_advisory_lock(%(lock)s) AS migrator_lock;

-- name: add
INSERT INTO migrator.writer_load AS l (grain, at, metric, total, seconds, peak)
SELECT %(grain)s, at, metric, rate * seconds, seconds, rate
  FROM unnest(%(at)s::timestamptz[], %(metric)s::text[], %(rate)s::float8[], %(seconds)s::float8[])
       AS n (at, metric, rate, seconds)
ON CONFLICT (grain, at, metric) DO UPDATE
   SET total = l.total + EXCLUDED.total, seconds = l.seconds + EXCLUDED.seconds, peak = greatest(l.peak, EXCLUDED.peak);

-- name: put_hours
-- What another service measured whole, so that it replaces and does not add.
INSERT INTO migrator.writer_load AS l (grain, at, metric, total, seconds, peak)
SELECT 'hour', at, %(metric)s, rate * 3600, 3600, rate
  FROM unnest(%(at)s::timestamptz[], %(rate)s::float8[]) AS n (at, rate)
ON CONFLICT (grain, at, metric) DO UPDATE SET total = EXCLUDED.total, seconds = 3600, peak = EXCLUDED.peak;

-- name: last_hour
SELECT max(at) FROM migrator.writer_load WHERE metric = %(metric)s AND grain IN ('hour', 'day');

-- name: fold_minutes
-- Whole hours that are over for long; an hour's peak is its highest minute.
WITH gone AS (
    DELETE FROM migrator.writer_load
     WHERE grain = 'minute' AND at < date_trunc('hour', clock_timestamp() - make_interval(secs => %(kept_s)s), 'UTC')
    RETURNING *
)
INSERT INTO migrator.writer_load AS l (grain, at, metric, total, seconds, peak)
SELECT 'hour', date_trunc('hour', at, 'UTC'), metric, sum(total), sum(seconds), max(total / seconds)
  FROM gone WHERE seconds > 0 GROUP BY 2, metric ORDER BY 2, metric
ON CONFLICT (grain, at, metric) DO UPDATE
   SET total = l.total + EXCLUDED.total, seconds = l.seconds + EXCLUDED.seconds, peak = greatest(l.peak, EXCLUDED.peak);

-- name: fold_hours
-- Whole days; a day's peak is its busiest hour, among those that were watched for at least a quarter.
WITH gone AS (
    DELETE FROM migrator.writer_load
     WHERE grain = 'hour' AND at < date_trunc('day', clock_timestamp() - make_interval(secs => %(kept_s)s), 'UTC')
    RETURNING *
)
INSERT INTO migrator.writer_load AS l (grain, at, metric, total, seconds, peak)
SELECT 'day', date_trunc('day', at, 'UTC'), metric, sum(total), sum(seconds),
       max(total / seconds) FILTER (WHERE seconds >= 900)
  FROM gone WHERE seconds > 0 GROUP BY 2, metric ORDER BY 2, metric
ON CONFLICT (grain, at, metric) DO UPDATE
   SET total = l.total + EXCLUDED.total, seconds = l.seconds + EXCLUDED.seconds, peak = greatest(l.peak, EXCLUDED.peak);

-- name: forget_days
-- And what was stored while classic's clock was ahead.
DELETE FROM migrator.writer_load
 WHERE (grain = 'day' AND at < clock_timestamp() - make_interval(days => %(days)s))
    OR at > clock_timestamp() + interval '1 day';

-- name: days
-- One row for each day and metric: seconds that were watched, the mean, and the busiest hour. A day that is not over
-- counts as far as it goes.
WITH hours AS (
    SELECT at, metric, sum(total) AS total, sum(seconds) AS seconds
      FROM (SELECT at, metric, total, seconds FROM migrator.writer_load
             WHERE grain = 'hour' AND metric = ANY (%(metrics)s)
             UNION ALL
            SELECT date_trunc('hour', at, 'UTC'), metric, total, seconds
              FROM migrator.writer_load WHERE grain = 'minute' AND metric = ANY (%(metrics)s)) h
     GROUP BY at, metric
), days AS (
    SELECT date_trunc('day', at, 'UTC') AS at, metric, sum(total) AS total, sum(seconds) AS seconds,
           max(total / seconds) FILTER (WHERE seconds >= 900) AS peak
      FROM hours WHERE seconds > 0 GROUP BY 1, metric
     UNION ALL
    SELECT at, metric, total, seconds, peak FROM migrator.writer_load
     WHERE grain = 'day' AND seconds > 0 AND metric = ANY (%(metrics)s)
)
SELECT metric, at, sum(seconds)::float8, (sum(total) / sum(seconds))::float8, max(peak)::float8
  FROM days GROUP BY metric, at ORDER BY metric, at;

-- name: recent
-- The newest value of everything: means of the last minutes, and how old the last of them is.
SELECT metric, (sum(total) / sum(seconds))::float8, sum(seconds)::float8,
       extract(epoch FROM clock_timestamp() - max(at))::float8
  FROM migrator.writer_load
 WHERE grain = 'minute' AND seconds > 0
   AND at BETWEEN clock_timestamp() - make_interval(secs => %(within_s)s) AND clock_timestamp()
 GROUP BY metric;

-- name: busiest_tables
-- Tables of the application by rows written since their statistics began, the most written first, with their share.
SELECT format('%%s.%%s', s.schemaname, s.relname),
       (s.n / sum(s.n) OVER ())::float8
  FROM (SELECT schemaname, relname, n_tup_ins + n_tup_upd + n_tup_del AS n
          FROM pg_stat_user_tables WHERE schemaname = ANY (%(schemas)s)) s
 WHERE s.n > 0 ORDER BY s.n DESC LIMIT %(limit)s;

-- name: calendar
-- When the migration began, when capture and the stabilization did (NULL: not yet), and now.
SELECT extract(epoch FROM (SELECT created_at FROM migrator.plan))::float8,
       extract(epoch FROM (SELECT min(started_at) FROM migrator.phase
                            WHERE phase = 'dual_write' AND EXISTS (SELECT FROM migrator.captured_table)))::float8,
       extract(epoch FROM (SELECT min(started_at) FROM migrator.phase WHERE phase = 'stabilize'))::float8,
       extract(epoch FROM clock_timestamp())::float8;

-- name: has_journal
SELECT to_regclass('migrator.journal_status') IS NOT NULL;

-- name: journal_bytes
SELECT bytes FROM migrator.journal_status;

-- name: busiest
-- A minute counts when most of it was watched. Of days only their busiest hour is left.
WITH found AS (
    SELECT total / seconds AS rate, 'minute' AS of, seconds FROM migrator.writer_load
     WHERE grain = 'minute' AND seconds > 0 AND metric = %(metric)s
       AND at >= clock_timestamp() - make_interval(secs => %(within_s)s)
     UNION ALL
    SELECT coalesce(peak, total / seconds), CASE grain WHEN 'hour' THEN 'minute' ELSE 'hour' END, seconds
      FROM migrator.writer_load
     WHERE grain <> 'minute' AND seconds > 0 AND metric = %(metric)s
       AND at >= clock_timestamp() - make_interval(secs => %(within_s)s)
)
SELECT rate, of, (SELECT sum(seconds) FROM found) FROM found WHERE of <> 'minute' OR seconds >= 30
 ORDER BY rate DESC LIMIT 1;

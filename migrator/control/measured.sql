-- Statements of measured.py; those over every bucket are composed there.

-- name: now
-- Fences that are open or asked for; what the plan allows the journal.
SELECT (SELECT count(*) FROM migrator.fence WHERE state IN ('requested', 'open', 'acked')) AS fences,
       (SELECT coalesce((body -> 'dual_write' ->> 'journal_limit_mb')::float8, 4096) * 1e6
          FROM migrator.plan) AS journal_limit_bytes;

-- name: window
-- Days of the stabilization window that count, as migrator.decommission.window counts them.
SELECT w.days * 86400 AS needed_s,
       least(greatest(w.days * 86400 - (w.deadline_s - w.end_s) * w.scale, 0), w.days * 86400) AS elapsed_s,
       w.restarts, w.paused
  FROM (SELECT (body ->> 'days')::float8 AS days, (body ->> 'deadline_s')::float8 AS deadline_s,
               coalesce((body ->> 'paused_s')::float8, extract(epoch FROM clock_timestamp())::float8) AS end_s,
               (body ->> 'restarts')::int AS restarts, body ->> 'paused_s' IS NOT NULL AS paused,
               coalesce((SELECT (p.body -> 'rehearsal' ->> 'clock_scale')::float8 FROM migrator.plan p), 1) AS scale
          FROM migrator.report WHERE kind = 'stabilize' ORDER BY id DESC LIMIT 1) w;

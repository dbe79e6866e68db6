-- Statements of workers.py: which workers live, and what they run.

-- name: beat
INSERT INTO migrator.worker AS w (worker_id, plan_id, digest, shim, version, queues)
VALUES (%(worker_id)s, %(plan_id)s, %(digest)s, %(shim)s, %(version)s, %(queues)s)
ON CONFLICT (worker_id) DO UPDATE
   SET seen_at = clock_timestamp(), plan_id = EXCLUDED.plan_id, digest = EXCLUDED.digest, shim = EXCLUDED.shim,
       version = EXCLUDED.version, queues = EXCLUDED.queues;

-- name: forget_silent
DELETE FROM migrator.worker WHERE seen_at < clock_timestamp() - make_interval(secs => %(silent_s)s);

-- name: leave
DELETE FROM migrator.worker WHERE worker_id = %(worker_id)s;

-- name: living
SELECT worker_id, plan_id, digest, version, shim, extract(epoch FROM clock_timestamp() - seen_at)::float8 AS seen_s,
       queues
  FROM migrator.worker
 WHERE seen_at > clock_timestamp() - make_interval(secs => %(silent_s)s)
 ORDER BY worker_id;

-- name: lost
SELECT worker_id FROM migrator.worker
 WHERE seen_at <= clock_timestamp() - make_interval(secs => %(silent_s)s)
   AND seen_at > clock_timestamp() - interval '1 hour'
 ORDER BY worker_id;

-- name: served
SELECT DISTINCT q FROM migrator.worker, unnest(queues) q
 WHERE seen_at > clock_timestamp() - make_interval(secs => %(silent_s)s);

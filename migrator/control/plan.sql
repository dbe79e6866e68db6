-- Statements of plan.py: the plan that runs here, on classic.

-- name: plan
SELECT plan_id, digest, shim, body, created_at FROM migrator.plan;

-- name: identity
SELECT plan_id, digest, shim FROM migrator.plan;

-- name: store
INSERT INTO migrator.plan (plan_id, digest, body, shim) VALUES (%(plan_id)s, %(digest)s, %(body)s, %(shim)s)
ON CONFLICT (only_one) DO UPDATE SET digest = EXCLUDED.digest, body = EXCLUDED.body, shim = EXCLUDED.shim;

-- name: scope
-- One row, also before a plan is stored.
SELECT p.body -> 'tables', coalesce(p.body -> 'gates' -> 'acknowledged', '[]'),
       (SELECT coalesce(array_agg(descriptor ->> 'schema'), '{}') FROM migrator.captured_table),
       (SELECT coalesce(array_agg(qualified), '{}') FROM migrator.captured_table)
  FROM (SELECT 1) one LEFT JOIN migrator.plan p ON true;

-- name: schemas
SELECT body -> 'tables' -> 'schemas' FROM migrator.plan;

-- name: following
-- For workers: the plan they should run, and the digests of those that it has replaced.
SELECT plan_id, digest, body, earlier FROM migrator.plan;

-- name: lock
SELECT plan_id, digest, shim, body, created_at FROM migrator.plan FOR UPDATE;

-- name: change
UPDATE migrator.plan
   SET digest = %(digest)s, body = %(body)s, shim = %(shim)s,
       earlier = CASE WHEN digest = %(digest)s THEN earlier ELSE array_append(array_remove(earlier, digest), digest) END;

-- name: kept
SELECT at, body FROM migrator.report WHERE kind = 'plan' AND body ->> 'plan_id' = %(plan_id)s ORDER BY id;

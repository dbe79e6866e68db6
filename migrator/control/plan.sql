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

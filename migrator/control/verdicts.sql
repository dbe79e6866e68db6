-- Statements of verdicts.py: what validations left.

-- name: stretches
-- The history of these tenants, or of all, the latest first.
SELECT tenant_id, first_at, last_at, clean, times, rows, divergent, fingerprint,
       fingerprint = migrator.schema_fingerprint(), last_fence
  FROM migrator.tenant_verdict
 WHERE %(all)s OR tenant_id = ANY (%(tenants)s)
 ORDER BY last_at DESC, tenant_id
 LIMIT %(limit)s;

-- name: runs
SELECT run_id::text, kind, started_at, finished_at, tenants, rows, divergent, fence_pause_ms, schema_fingerprint, whole
  FROM migrator.validation
 ORDER BY started_at DESC
 LIMIT %(limit)s;

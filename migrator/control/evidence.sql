-- Statements of evidence.py: what a dossier holds. Each is read row by row from one snapshot.

-- name: now
SELECT date_trunc('second', clock_timestamp()), (SELECT installation::text FROM migrator.notifier),
       (SELECT max(version) FROM migrator.installed);

-- name: approvals
SELECT gate, approver, at, evidence FROM migrator.approval ORDER BY at;

-- name: votes
-- What each approver said, of which evidence; nothing of it is secret.
SELECT id, at, gate, approver, how, evidence, facts, proof, voided_at, why_voided FROM migrator.approval_vote ORDER BY id;

-- name: incidents
SELECT id, at, kind, reason, reported_by, times, first_at FROM migrator.incident ORDER BY id;

-- name: phases
SELECT phase, state, started_at, since, finished_at, detail, blockers FROM migrator.phase ORDER BY started_at;

-- name: reports
-- Without what a decommission noted of sequences: those are values of columns.
SELECT id, at, kind, body FROM migrator.report WHERE kind <> 'decommission.sequences' ORDER BY id;

-- name: tenants
SELECT t.tenant_id, t.state, t.rows, t.hot, coalesce(t.wave, r.wave) AS wave, coalesce(r.level, 'classic') AS route,
       t.clean_at, t.clean_fence, t.clean_fingerprint, t.divergent, t.validated_at, t.reason
  FROM migrator.tenant t LEFT JOIN migrator.route r USING (tenant_id)
 ORDER BY t.tenant_id LIMIT %(limit)s;

-- name: verdicts
SELECT tenant_id, first_at, last_at, clean, times, rows, divergent, fingerprint, last_fence
  FROM migrator.tenant_verdict ORDER BY id DESC LIMIT %(limit)s;

-- name: validations
SELECT run_id::text, kind, started_at, finished_at, tenants, rows, divergent, fence_pause_ms, schema_fingerprint, whole
  FROM migrator.validation ORDER BY started_at DESC LIMIT %(limit)s;

-- name: divergences
-- Not the keys: they may be a row's values.
SELECT id, run_id::text, found_at, table_name, tenant_id, rows, kind, columns, repaired_at, repaired_by
  FROM migrator.divergence ORDER BY id DESC LIMIT %(limit)s;

-- name: schema_changes
-- Not how far rows were filled, which is the key of one.
SELECT change_id, kind, table_name, name, words, step, problem, changed_by, started_at, finished_at
  FROM migrator.schema_change ORDER BY change_id;

-- name: workers
SELECT worker_id, plan_id, digest, version, queues, started_at, seen_at FROM migrator.worker ORDER BY started_at;

-- name: installed
SELECT version, at FROM migrator.installed ORDER BY version;

-- Statements of validation.py: migrator.validation, migrator.tenant_verdict and migrator.divergence. Those that keep
-- verdicts are composed there.

-- name: candidates
SELECT t.tenant_id, t.part, t.rows,
       extract(epoch FROM clock_timestamp() - t.validated_at)::float8,
       coalesce(t.divergent > 0 OR c.at > t.validated_at OR d.at > t.validated_at, false),
       coalesce(t.changed_at > t.validated_at, true),
       coalesce(r.level = 'limitless' AND r.reads_pct > 0, false)
  FROM migrator.tenant t
  LEFT JOIN migrator.route r USING (tenant_id)
  LEFT JOIN (SELECT unnest(tenants) AS tenant_id, max(finished_at) AS at
               FROM migrator.copy_unit GROUP BY 1) c USING (tenant_id)
  LEFT JOIN (SELECT tenant_id, max(repaired_at) AS at
               FROM migrator.divergence GROUP BY 1) d USING (tenant_id)
 WHERE %(all)s OR t.tenant_id = ANY (%(tenants)s);

-- name: whole_age
SELECT extract(epoch FROM clock_timestamp() - max(finished_at))::float8 FROM migrator.validation WHERE whole;

-- name: begin
INSERT INTO migrator.validation (run_id, kind) VALUES (%(run)s, %(kind)s);

-- name: mark
UPDATE migrator.validation SET marks = marks + 1 WHERE run_id = %(run)s RETURNING marks;

-- name: shows
SELECT count(*) FROM migrator.validation WHERE run_id = %(run)s AND marks >= %(mark)s;

-- name: set_fingerprint
UPDATE migrator.validation SET schema_fingerprint = %(fingerprint)s WHERE run_id = %(run)s;

-- name: end
UPDATE migrator.validation
   SET finished_at = clock_timestamp(), tenants = %(tenants)s, rows = %(rows)s, divergent = %(divergent)s,
       fence_pause_ms = %(pause_ms)s, whole = %(whole)s
 WHERE run_id = %(run)s;

-- name: add_divergence
INSERT INTO migrator.divergence (run_id, table_name, tenant_id, key, kind, columns, fence, rows, generation)
VALUES (%(run)s, %(table)s, %(tenant)s, %(key)s, %(kind)s, %(columns)s, %(fence)s, %(rows)s, %(generation)s);

-- name: to_repair
SELECT DISTINCT ON (table_name, tenant_id, key) id, table_name, tenant_id, key
  FROM migrator.open_divergence
 WHERE key IS NOT NULL AND (%(all)s OR tenant_id = ANY (%(tenants)s))
 ORDER BY table_name, tenant_id, key, id DESC;

-- name: set_rows_repaired
UPDATE migrator.divergence SET repaired_at = clock_timestamp(), repaired_by = %(who)s
 WHERE repaired_at IS NULL AND key IS NOT NULL AND (%(all)s OR tenant_id = ANY (%(tenants)s));

-- name: set_tenants_repaired
UPDATE migrator.divergence SET repaired_at = clock_timestamp(), repaired_by = %(who)s
 WHERE repaired_at IS NULL AND tenant_id = ANY (%(tenants)s);

-- name: set_reference_repaired
UPDATE migrator.divergence SET repaired_at = clock_timestamp(), repaired_by = %(who)s
 WHERE repaired_at IS NULL AND tenant_id IS NULL AND table_name = ANY (%(tables)s);

-- name: set_table_gone
UPDATE migrator.divergence SET repaired_at = clock_timestamp(), repaired_by = %(who)s
 WHERE repaired_at IS NULL AND table_name = %(table)s;

-- name: nobodys_changed
-- True also when a decommission has never looked for them.
SELECT coalesce(bool_or(h.nobody_at > v.at - make_interval(secs => %(margin_s)s)), false) OR v.at IS NULL
  FROM (SELECT max(started_at) AS at FROM migrator.validation
         WHERE whole AND finished_at IS NOT NULL AND kind = 'decommission') v
  LEFT JOIN migrator.heartbeat h ON true
 GROUP BY v.at;

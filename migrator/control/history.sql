-- Statements of history.py: reports, decisions, incidents.

-- name: reports
SELECT kind, count(*) AS reports, max(at) AS newest FROM migrator.report GROUP BY kind ORDER BY kind;

-- name: newest_report
SELECT at, kind, body FROM migrator.report WHERE kind = %(kind)s ORDER BY id DESC LIMIT 1;

-- name: reports_of
SELECT at, body FROM migrator.report WHERE kind = %(kind)s ORDER BY id;

-- name: add_report
INSERT INTO migrator.report (kind, body) VALUES (%(kind)s, %(body)s) RETURNING id;

-- name: replace_report
UPDATE migrator.report SET body = %(body)s, at = clock_timestamp() WHERE kind = %(kind)s;

-- name: add_report_if_new
INSERT INTO migrator.report (kind, body)
SELECT %(kind)s, %(body)s::jsonb
 WHERE %(body)s::jsonb IS DISTINCT FROM
       (SELECT body FROM migrator.report WHERE kind = %(kind)s ORDER BY id DESC LIMIT 1);

-- name: forget_reports
DELETE FROM migrator.report WHERE kind = ANY (%(kinds)s);

-- name: decisions
SELECT at, who, kind, subject, reason, before, after FROM migrator.decision ORDER BY id DESC LIMIT %(limit)s;

-- name: incidents
SELECT id, at, kind, reason, reported_by, times, first_at FROM migrator.incident ORDER BY id DESC LIMIT %(limit)s;

-- name: tenant_lines
-- One row for each of these tenants, in their order; one that is not listed yet reads classic. IN: see tenant.sql.
SELECT u.id AS tenant, t.state, t.reason AS problem, coalesce(t.wave, r.wave) AS wave, t.hot,
       coalesce(t.rows, 0) AS rows, coalesce(t.part, r.part) AS part,
       coalesce(r.route, 'classic') AS route, coalesce(r.level, 'classic') AS level, r.reads_pct,
       extract(epoch FROM clock_timestamp() - g.clean_at)::float8 AS clean_age_s, t.divergent,
       h.reason AS held_reason, h.held_by, h.held_at, h.until AS held_until,
       o.wave AS ordered_wave, o.ordered_by, o.reason AS ordered_reason,
       CASE WHEN b.yes THEN r.changed_by END AS rolled_back_by, CASE WHEN b.yes THEN r.reason END AS rolled_back_reason,
       u.id IN (SELECT tenant_id FROM migrator.empty_tenant) AS empty
  FROM unnest(%(tenants)s::text[]) WITH ORDINALITY AS u (id, n)
  LEFT JOIN migrator.tenant t ON t.tenant_id = u.id
  LEFT JOIN migrator.gate_fact g ON g.tenant_id = u.id
  LEFT JOIN migrator.route_status r ON r.tenant_id = u.id
  LEFT JOIN migrator.held_tenant h ON h.tenant_id = u.id
  LEFT JOIN migrator.tenant_order o ON o.tenant_id = u.id
  CROSS JOIN LATERAL (SELECT u.id IN (SELECT tenant_id FROM migrator.rolled_back) AS yes) b
 ORDER BY u.n;

-- name: noted_tenants
-- Those that persons, the guard or Limitless made an exception of, and those without rows that still have a route.
SELECT tenant_id FROM migrator.held_tenant
 UNION SELECT tenant_id FROM migrator.tenant_order
 UNION SELECT tenant_id FROM migrator.rolled_back
 UNION SELECT tenant_id FROM migrator.tenant WHERE state = 'quarantined' OR divergent > 0
 UNION SELECT e.tenant_id FROM migrator.empty_tenant e JOIN migrator.route r USING (tenant_id) WHERE r.level <> 'classic'
 ORDER BY 1;

-- name: audits_are_kept
-- Whether this cluster has the tool's tables. Its statements stay out of the next audit's evidence by their comment.
SELECT to_regclass('migrator.report') IS NOT NULL /* migrator:audit */;

-- name: last_audit
SELECT body FROM migrator.report WHERE kind = 'audit' ORDER BY id DESC LIMIT 1 /* migrator:audit */;

-- name: audited_plan
SELECT plan_id, digest, coalesce(body -> 'gates' -> 'acknowledged', '[]') FROM migrator.plan /* migrator:audit */;

-- name: keep_audit
INSERT INTO migrator.report (kind, body) VALUES (%(kind)s, %(body)s) /* migrator:audit */;

-- name: set_report
WITH gone AS (DELETE FROM migrator.report WHERE kind = %(kind)s)
INSERT INTO migrator.report (kind, body) VALUES (%(kind)s, %(body)s);

-- name: extend_report
UPDATE migrator.report SET body = body || %(values)s::jsonb WHERE id = %(number)s;

-- name: stamp_report
UPDATE migrator.report SET body = body || jsonb_build_object(%(moment)s::text, clock_timestamp())
 WHERE id = %(number)s AND NOT body ? %(moment)s;

-- name: lock_report
SELECT FROM migrator.report WHERE id = %(number)s FOR UPDATE;

-- name: report
SELECT id, body, clock_timestamp() FROM migrator.report WHERE kind = %(kind)s AND id = %(number)s;

-- name: newest_number
SELECT max(id) FROM migrator.report
 WHERE kind = %(kind)s AND (%(states)s::text[] IS NULL OR body->>'state' = ANY (%(states)s::text[]));

-- name: decided_at_s
SELECT extract(epoch FROM max(at))::float8 FROM migrator.decision WHERE kind = %(kind)s AND subject = %(subject)s;

-- name: all_decisions
SELECT id, at, who, kind, subject, before, after, reason FROM migrator.decision ORDER BY id;

-- name: has_report
SELECT EXISTS (SELECT FROM migrator.report WHERE kind = %(kind)s);

-- name: evidence
-- What is known at this moment: reports by kind, tenants by state.
SELECT 'report', kind, count(*), max(id) FROM migrator.report GROUP BY kind
UNION ALL
SELECT 'tenant', state, count(*), coalesce(sum(divergent), 0)::bigint FROM migrator.tenant GROUP BY state
ORDER BY 1, 2;

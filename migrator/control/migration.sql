-- Statements of migration.py: what a report of the whole migration needs beside the status.

-- name: waves
SELECT substr(subject, 6)::int AS wave, min(at) FILTER (WHERE kind = 'wave.chosen') AS chosen_at,
       max(at) FILTER (WHERE kind = 'wave.finished') AS finished_at
  FROM migrator.decision
 WHERE kind IN ('wave.chosen', 'wave.finished') AND subject ~ '^wave-[0-9]{1,6}$'
 GROUP BY 1 ORDER BY 1;

-- name: waiting
-- Tenants whose reads are still to move: NOT IN keeps the look-ups hashed, see views.sql.
SELECT count(*) FILTER (WHERE NOT hot), count(*) FILTER (WHERE hot)
  FROM migrator.tenant
 WHERE state <> 'quarantined'
   AND tenant_id NOT IN (SELECT tenant_id FROM migrator.held_tenant)
   AND tenant_id NOT IN (SELECT tenant_id FROM migrator.route WHERE level <> 'classic')
   AND tenant_id NOT IN (SELECT tenant_id FROM migrator.empty_tenant);

-- name: approvals
SELECT gate, approver, at FROM migrator.approval ORDER BY at;

-- name: incident_count
SELECT coalesce(sum(times), 0)::bigint FROM migrator.incident;

-- name: incidents
SELECT at, first_at, kind, reason, reported_by, times FROM migrator.incident ORDER BY id DESC LIMIT %(limit)s;

-- name: acts
-- What was decided for many in one go is one line, as in status.
SELECT min(at) AS at, who, kind,
       CASE count(*) WHEN 1 THEN min(subject) ELSE count(*) || ' ' || split_part(min(subject), '/', 1) || 's' END AS subject,
       reason
  FROM migrator.decision
 WHERE kind <> ALL (%(without)s::text[]) AND (%(only)s::text IS NULL OR kind = %(only)s)
 GROUP BY who, kind, reason, date_trunc('second', at)
 ORDER BY 1 DESC LIMIT %(limit)s;

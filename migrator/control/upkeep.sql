-- Retention of the tool's own tables: every statement of this file is a rule. Each deletes at most %(limit)s rows;
-- %(days)s: what is kept by its age; %(pictures)s: the same for what is one row an hour, whatever there are of tenants,
-- and drawn over the whole migration; %(reports)s: how many reports of a kind are kept.

-- name: hours_of_reads
DELETE FROM migrator.read_hour
 WHERE ctid = ANY (ARRAY(
    SELECT x.ctid FROM migrator.read_hour x
     WHERE x.at < clock_timestamp() - make_interval(days => %(days)s)
       AND (x.tenant_id IS NOT NULL OR x.at < clock_timestamp() - make_interval(days => %(pictures)s))
     LIMIT %(limit)s FOR UPDATE OF x SKIP LOCKED));

-- name: hours_of_state
-- And what was stored while classic's clock was ahead.
DELETE FROM migrator.state_sample
 WHERE ctid = ANY (ARRAY(
    SELECT x.ctid FROM migrator.state_sample x
     WHERE x.at < clock_timestamp() - make_interval(days => %(pictures)s)
        OR x.at > clock_timestamp() + interval '1 day'
     LIMIT %(limit)s FOR UPDATE OF x SKIP LOCKED));

-- name: hours_of_shadows
DELETE FROM migrator.shadow_hour
 WHERE ctid = ANY (ARRAY(
    SELECT x.ctid FROM migrator.shadow_hour x
     WHERE x.at < clock_timestamp() - make_interval(days => %(days)s)
     LIMIT %(limit)s FOR UPDATE OF x SKIP LOCKED));

-- name: minutes_of_shadow_reads
-- Those that differed are what a gate was asked about.
DELETE FROM migrator.shadow_read
 WHERE ctid = ANY (ARRAY(
    SELECT x.ctid FROM migrator.shadow_read x
     WHERE x.at < clock_timestamp() - make_interval(days => %(days)s)
        OR x.at < clock_timestamp() - interval '8 days' AND x.differing = 0
     LIMIT %(limit)s FOR UPDATE OF x SKIP LOCKED));

-- name: statements_of_shadow_reads
DELETE FROM migrator.shadow_statement
 WHERE ctid = ANY (ARRAY(
    SELECT x.ctid FROM migrator.shadow_statement x
     WHERE x.seen_at < clock_timestamp() - make_interval(days => %(days)s)
     LIMIT %(limit)s FOR UPDATE OF x SKIP LOCKED));

-- name: validations
-- Gates and scheduled validation look at the newest that finished, that looked at everything, that saw a schema.
DELETE FROM migrator.validation
 WHERE ctid = ANY (ARRAY(
    SELECT x.ctid FROM migrator.validation x
     WHERE x.started_at < clock_timestamp() - make_interval(days => %(days)s)
       AND x.run_id NOT IN (
           (SELECT run_id FROM migrator.validation WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1)
           UNION ALL
           (SELECT run_id FROM migrator.validation WHERE whole ORDER BY finished_at DESC NULLS LAST LIMIT 1)
           UNION ALL
           (SELECT run_id FROM migrator.validation WHERE schema_fingerprint IS NOT NULL
             ORDER BY started_at DESC LIMIT 1))
     LIMIT %(limit)s FOR UPDATE OF x SKIP LOCKED));

-- name: old_divergences
DELETE FROM migrator.divergence
 WHERE ctid = ANY (ARRAY(
    SELECT x.ctid FROM migrator.divergence x
     WHERE x.found_at < clock_timestamp() - make_interval(days => %(days)s)
     LIMIT %(limit)s FOR UPDATE OF x SKIP LOCKED));

-- name: repeated_divergences
-- A row that differs for weeks is found by every validation: the newest finding stands for all of them.
DELETE FROM migrator.divergence
 WHERE ctid = ANY (ARRAY(
    SELECT x.ctid FROM migrator.divergence x
     WHERE x.found_at < clock_timestamp() - interval '2 days'
       AND EXISTS (SELECT FROM migrator.divergence y
                    WHERE y.table_name = x.table_name AND y.id > x.id AND y.kind = x.kind
                      AND y.key IS NOT DISTINCT FROM x.key AND y.tenant_id IS NOT DISTINCT FROM x.tenant_id)
     LIMIT %(limit)s FOR UPDATE OF x SKIP LOCKED));

-- name: decisions_of_a_day
-- Decisions that are repeated at every check as long as their cause stays, never a person's: one a day. Their seals stay,
-- and say that they were of this kind. Behind the hand-over all stay, as their digest is on Limitless.
DELETE FROM migrator.decision
 WHERE ctid = ANY (ARRAY(
    SELECT x.ctid FROM migrator.decision x JOIN migrator.decision_seal s ON s.entry = x.id AND s.repeated
     WHERE NOT EXISTS (SELECT FROM migrator.switch WHERE write_mode = 'limitless_only')
       AND x.at < clock_timestamp() - interval '2 days'
       AND EXISTS (SELECT FROM migrator.decision y
                    WHERE y.kind = x.kind AND y.subject = x.subject AND y.who = x.who AND y.at > x.at
                      AND y.at < date_trunc('day', x.at, 'UTC') + interval '1 day')
     LIMIT %(limit)s FOR UPDATE OF x SKIP LOCKED));

-- name: old_decisions
-- The same when old: the newest alone.
DELETE FROM migrator.decision
 WHERE ctid = ANY (ARRAY(
    SELECT x.ctid FROM migrator.decision x JOIN migrator.decision_seal s ON s.entry = x.id AND s.repeated
     WHERE NOT EXISTS (SELECT FROM migrator.switch WHERE write_mode = 'limitless_only')
       AND x.at < clock_timestamp() - make_interval(days => %(days)s)
       AND EXISTS (SELECT FROM migrator.decision y
                    WHERE y.kind = x.kind AND y.subject = x.subject AND y.who = x.who AND y.at > x.at)
     LIMIT %(limit)s FOR UPDATE OF x SKIP LOCKED));

-- name: verdicts
DELETE FROM migrator.tenant_verdict
 WHERE ctid = ANY (ARRAY(
    SELECT x.ctid FROM migrator.tenant_verdict x
     WHERE x.last_at < clock_timestamp() - make_interval(days => %(days)s)
       AND x.id NOT IN (SELECT DISTINCT ON (tenant_id) id FROM migrator.tenant_verdict
                         ORDER BY tenant_id, last_at DESC)
     LIMIT %(limit)s FOR UPDATE OF x SKIP LOCKED));

-- name: reports
-- Versions of the plan are few, and all stay readable.
DELETE FROM migrator.report
 WHERE ctid = ANY (ARRAY(
    SELECT x.ctid FROM migrator.report x
     WHERE x.kind <> 'plan'
       AND x.id NOT IN (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY kind ORDER BY id DESC) AS n
                                          FROM migrator.report) r
                         WHERE r.n <= %(reports)s)
     LIMIT %(limit)s FOR UPDATE OF x SKIP LOCKED));

-- name: fences
-- The validator's session has ended; mirrors remove such fences only while they serve one.
DELETE FROM migrator.fence
 WHERE ctid = ANY (ARRAY(
    SELECT x.ctid FROM migrator.fence x
     WHERE x.requested_at < clock_timestamp() - interval '1 hour'
       AND NOT EXISTS (SELECT FROM pg_stat_activity a
                        WHERE a.pid = x.pid AND coalesce(a.backend_start <= x.requested_at, true))
     LIMIT %(limit)s FOR UPDATE OF x SKIP LOCKED));

-- name: copy_snapshots
-- The session that lent the snapshot has ended.
DELETE FROM migrator.copy_snapshot
 WHERE ctid = ANY (ARRAY(
    SELECT x.ctid FROM migrator.copy_snapshot x
     WHERE x.at < clock_timestamp() - interval '1 hour'
       AND NOT EXISTS (SELECT FROM pg_stat_activity a
                        WHERE a.pid = x.pid AND coalesce(a.backend_start = x.backend_start, true))
     LIMIT %(limit)s FOR UPDATE OF x SKIP LOCKED));

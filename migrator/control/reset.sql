-- Statements of reset.py: dual write is forgotten.

-- name: standing
-- Level and write mode; tenants not on classic, mirrors with a recent position, processes that have not confirmed the routes.
SELECT s.level, s.write_mode,
       (SELECT count(*) FROM migrator.route r WHERE r.level <> 'classic'),
       (SELECT count(*) FROM migrator.partition_status p WHERE p.age_s < %(fresh_s)s),
       (SELECT count(*) FROM migrator.process_status p WHERE p.live AND p.behind > 0)
  FROM migrator.switch s;

-- name: lock_switch
SELECT FROM migrator.switch FOR UPDATE;

-- name: switch_back
UPDATE migrator.switch
   SET epoch = epoch + 1, level = 'limitless', write_mode = 'classic_only', changed_at = clock_timestamp(),
       changed_by = %(who)s, reason = 'dual write undone'
 WHERE write_mode <> 'limitless_only';

-- name: routes_back
UPDATE migrator.route
   SET level = 'classic', wave = NULL, watched = false, changed_at = clock_timestamp(), changed_by = %(who)s,
       reason = 'dual write undone', epoch = (SELECT epoch FROM migrator.switch);

-- name: forget_approvals
DELETE FROM migrator.approval WHERE gate NOT IN ('audit', 'provision');

-- name: void_votes
UPDATE migrator.approval_vote SET voided_at = clock_timestamp(), why_voided = 'dual write undone'
 WHERE voided_at IS NULL AND gate NOT IN ('audit', 'provision');

-- name: forget_phases
DELETE FROM migrator.phase WHERE phase = ANY (%(phases)s);

-- name: notify
SELECT migrator_said FROM pg_notify('migrator', '') AS migrator_said;

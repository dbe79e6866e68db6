-- Statements of backup.py: the record of a migration, to a file and back.

-- name: there
SELECT to_regnamespace('migrator') IS NOT NULL;

-- name: tables
SELECT c.relname FROM pg_class c
 WHERE c.relnamespace = to_regnamespace('migrator') AND c.relkind = 'r' AND c.relname = ANY (%(names)s) ORDER BY 1;

-- name: columns
SELECT a.attname FROM pg_attribute a
 WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum;

-- name: oid
SELECT to_regclass(%(table)s)::oid;

-- name: taken
SELECT clock_timestamp(), current_database()::text, s.epoch, s.write_mode, p.plan_id, p.digest
  FROM migrator.switch s LEFT JOIN migrator.plan p ON true;

-- name: sequences
-- Of identity columns, and those that stand alone. NULL: nothing was taken from it yet.
SELECT c.relname, pg_sequence_last_value(c.oid) FROM pg_class c
 WHERE c.relnamespace = to_regnamespace('migrator') AND c.relkind = 'S' ORDER BY 1;

-- name: advance
SELECT setval(%(sequence)s::text::regclass, greatest(%(value)s::bigint, coalesce(pg_sequence_last_value(%(sequence)s::text::regclass), 0)));

-- name: triggers
SELECT tgname, tgenabled::text FROM pg_trigger WHERE tgrelid = %(oid)s AND NOT tgisinternal ORDER BY 1;

-- name: routes_of_before
-- Above every number that the lost schema may have handed out and this file knows of; the mark is new in any case.
UPDATE migrator.switch
   SET epoch = %(epoch)s, changed_at = clock_timestamp(), changed_by = %(who)s, reason = 'restored from a backup';

-- name: forget_what_was_about_the_copy
DELETE FROM migrator.approval WHERE gate NOT IN ('audit', 'provision');

-- name: void_votes
UPDATE migrator.approval_vote SET voided_at = clock_timestamp(), why_voided = 'restored from a backup'
 WHERE voided_at IS NULL AND gate NOT IN ('audit', 'provision');

-- name: forget_phases
DELETE FROM migrator.phase WHERE phase <> ALL (%(kept)s);

-- name: forget_reports
DELETE FROM migrator.report WHERE kind IN ('inventory', 'stabilize');

-- Statements of journal.py: migrator.hold (its retention pins), migrator.captured_shape (what was captured) and
-- migrator.capture_loss (whether writes passed it).

-- name: keep
INSERT INTO migrator.hold AS h (holder, keep_xid)
VALUES (%(holder)s, least(pg_snapshot_xmin(pg_current_snapshot())::text::bigint, %(kept)s))
ON CONFLICT (holder) DO UPDATE
   SET at = now(),
       keep_xid = CASE WHEN %(shared)s THEN least(h.keep_xid, EXCLUDED.keep_xid) ELSE EXCLUDED.keep_xid END;

-- name: release
DELETE FROM migrator.hold WHERE holder = ANY (%(holders)s);

-- name: release_all
DELETE FROM migrator.hold;

-- name: holds
SELECT holder, keep_xid, at FROM migrator.hold ORDER BY at;

-- name: size
SELECT bytes FROM migrator.journal_status;

-- name: sizes
SELECT t.table_id,
       (SELECT coalesce(sum(pg_relation_size(s.inhrelid)), 0) FROM pg_inherits s WHERE s.inhparent = j.oid)::bigint,
       (SELECT coalesce(sum(pg_total_relation_size(s.inhrelid)), 0) FROM pg_inherits s
         WHERE s.inhparent = j.oid)::bigint
  FROM migrator.captured_table t
  JOIN pg_class j ON j.oid = to_regclass('migrator.journal_' || t.table_id);

-- name: is_lost
SELECT EXISTS (SELECT FROM migrator.capture_loss);

-- name: note_loss
WITH lost AS (
    INSERT INTO migrator.capture_loss (problems, noticed_by) VALUES (%(problems)s, %(by)s) ON CONFLICT DO NOTHING
    RETURNING array_to_string(problems, '; ') AS reason
), incident AS (
    INSERT INTO migrator.incident (kind, reason, reported_by) SELECT %(kind)s, reason, %(by)s FROM lost
)
INSERT INTO migrator.decision (who, kind, subject, reason)
SELECT %(by)s, 'capture.lost', 'everything', reason FROM lost;

-- name: lost
SELECT problems FROM migrator.capture_loss;

-- name: explain_loss
UPDATE migrator.capture_loss
   SET problems = ARRAY(SELECT p FROM unnest(problems) WITH ORDINALITY u (p, n) WHERE p <> ALL (%(problems)s) ORDER BY n);

-- name: is_explained
SELECT EXISTS (SELECT FROM migrator.capture_loss WHERE problems = '{}');

-- name: forget_loss
DELETE FROM migrator.capture_loss;

-- name: noted_tables
SELECT object::int8 FROM migrator.captured_shape WHERE kind = 'table';

-- name: forget_tables
DELETE FROM migrator.captured_shape WHERE kind = 'table' AND object = ANY (%(tables)s::oid[]);

-- name: forget_dropped
WITH needed AS MATERIALIZED (
    SELECT kind, object FROM migrator.shape_now()
)
DELETE FROM migrator.captured_shape s
 WHERE CASE WHEN s.kind = 'table' THEN s.object = ANY (%(tables)s::oid[])
            ELSE s.kind NOT IN ('capture function', 'event trigger')
                 AND NOT EXISTS (SELECT FROM needed n WHERE n.kind = s.kind AND n.object = s.object) END;

-- name: note_labels
UPDATE migrator.captured_shape s
   SET facets = s.facets || jsonb_build_object('labels', n.facets -> 'labels')
  FROM migrator.shape_now() n
 WHERE s.kind = 'type' AND n.kind = 'type' AND s.object = to_regtype(%(type)s) AND n.object = s.object;

-- Statements of watch.py: the capture watch.

-- name: what_is_there
-- Can capture compare itself, and is anything captured?
SELECT to_regprocedure('migrator.shape_differences()') IS NOT NULL, EXISTS (SELECT FROM migrator.captured_table);

-- name: differences
SELECT code, kind, name, facets, object::int8 FROM migrator.shape_differences() ORDER BY kind, name, code;

-- name: loss
SELECT array_to_string(problems, '; ') || ' (noticed by ' || noticed_by || ' at '
       || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC)'
  FROM migrator.capture_loss;

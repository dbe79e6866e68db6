-- Statements of change.py: changes of the schema that go to both sides.

-- name: add
INSERT INTO migrator.schema_change (kind, table_name, name, words, body, changed_by)
VALUES (%(kind)s, %(table)s, %(name)s, %(words)s, %(body)s, %(who)s);

-- name: unfinished
SELECT change_id, body, step, seen_from, coalesce(extract(epoch FROM at), 0)::float8, filled_to
  FROM migrator.schema_change WHERE finished_at IS NULL ORDER BY change_id;

-- name: is_done
SELECT EXISTS (
    SELECT FROM migrator.schema_change
     WHERE kind = %(kind)s AND name = %(name)s AND finished_at IS NOT NULL AND problem IS NULL
       AND (%(table)s = '' OR table_name = %(table)s) AND coalesce(body ->> 'statement', '') = %(statement)s);

-- name: is_done_by_source
SELECT EXISTS (
    SELECT FROM migrator.schema_change
     WHERE body ->> 'source' = %(source)s AND finished_at IS NOT NULL AND problem IS NULL);

-- name: set_step
UPDATE migrator.schema_change SET step = %(step)s, problem = NULL WHERE change_id = %(change)s;

-- name: set_body
UPDATE migrator.schema_change SET body = %(body)s WHERE change_id = %(change)s;

-- name: set_unseen
UPDATE migrator.schema_change SET seen_from = NULL WHERE change_id = %(change)s;

-- name: set_seen
UPDATE migrator.schema_change SET seen_from = pg_current_snapshot()::text, at = clock_timestamp()
 WHERE change_id = %(change)s RETURNING seen_from, extract(epoch FROM at)::float8;

-- name: set_filled
UPDATE migrator.schema_change SET filled_to = %(key)s WHERE change_id = %(change)s;

-- name: finish
UPDATE migrator.schema_change SET finished_at = clock_timestamp() WHERE change_id = %(change)s;

-- name: set_problem
UPDATE migrator.schema_change SET problem = %(problem)s WHERE change_id = %(change)s;

-- name: end_unbegun
UPDATE migrator.schema_change
   SET finished_at = clock_timestamp(), problem = coalesce(problem, 'not begun, because a change before it failed')
 WHERE finished_at IS NULL AND step = '';

-- name: changes
SELECT change_id, words, step, started_at, finished_at, changed_by, problem
  FROM migrator.schema_change
 WHERE coalesce(change_id = %(change_id)s, true)
 ORDER BY change_id DESC
 LIMIT 100;

-- name: last_change
SELECT max(change_id) FROM migrator.schema_change;

-- Statements of retirement.py, on Limitless: what becomes of classic after the hand-over.

-- name: is_kept
SELECT to_regclass('migrator.retirement') IS NOT NULL;

-- name: read
SELECT body, clock_timestamp() FROM migrator.retirement;

-- name: lock
SELECT FROM migrator.retirement FOR UPDATE;

-- name: begin
INSERT INTO migrator.retirement (body) VALUES (%(body)s::jsonb) ON CONFLICT (only_one) DO NOTHING;

-- name: extend
-- Merges values, and appends what happened: at most the newest 200 events are kept.
UPDATE migrator.retirement
   SET body = body || %(values)s::jsonb || jsonb_build_object('events', (
           SELECT coalesce(jsonb_agg(e.event ORDER BY e.n), '[]')
             FROM (SELECT event, n FROM jsonb_array_elements(coalesce(body -> 'events', '[]') || jsonb_build_array(
                              jsonb_build_object('at', clock_timestamp(), 'who', %(who)s::text, 'what', %(what)s::text)))
                          WITH ORDINALITY AS l (event, n) ORDER BY n DESC LIMIT 200) e));

-- name: stamp
-- The first time counts.
UPDATE migrator.retirement SET body = body || jsonb_build_object(%(name)s::text, clock_timestamp())
 WHERE NOT body ? %(name)s;

-- name: forget
UPDATE migrator.retirement SET body = body - %(names)s::text[];

-- name: tables
SELECT name, rows, digest FROM migrator.final_table ORDER BY name;

-- name: put_table
INSERT INTO migrator.final_table (name, rows, digest) VALUES (%(name)s, %(rows)s, %(digest)s)
ON CONFLICT (name) DO NOTHING;

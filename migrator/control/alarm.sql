-- Statements of alarm.py: what the webhook was sent.

-- name: handled
-- What came of a message that was handled to its end: when, and the outcome.
SELECT at, outcome
  FROM migrator.alarm
 WHERE source = %(source)s AND message = %(message)s AND message <> '' AND handled
 ORDER BY id DESC
 LIMIT 1;

-- name: reported
-- Whether an alarm was reported as an incident since it began to fire.
SELECT EXISTS (SELECT FROM migrator.alarm
                WHERE source = %(source)s AND episode = %(episode)s AND episode <> ''
                  AND action = 'report' AND handled);

-- name: add
-- One row for each alarm; those before the newest %(kept)s go.
WITH added AS (
    INSERT INTO migrator.alarm
           (source, message, episode, name, state, rule, action, target, outcome, note, handled)
    SELECT %(source)s, %(message)s, *, %(handled)s
      FROM unnest(%(episodes)s::text[], %(names)s::text[], %(states)s::text[], %(rules)s::int[], %(actions)s::text[],
                  %(targets)s::text[], %(outcomes)s::text[], %(notes)s::text[])
    RETURNING id)
DELETE FROM migrator.alarm
 WHERE id = ANY (ARRAY(SELECT id FROM migrator.alarm
                        WHERE id <= (SELECT max(id) FROM added) - %(kept)s
                        ORDER BY id LIMIT 200));

-- name: newest
SELECT at, source, name, state, rule, action, target, outcome, note
  FROM migrator.alarm
 ORDER BY id DESC
 LIMIT %(limit)s;

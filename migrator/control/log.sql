-- Statements of log.py.

-- name: decide
INSERT INTO migrator.decision (who, kind, subject, reason, before, after)
VALUES (%(who)s, %(kind)s, %(subject)s, %(reason)s, %(before)s, %(after)s);

-- name: decide_each
-- One act about many subjects, at one moment: readers tell it from others by that.
INSERT INTO migrator.decision (at, who, kind, subject, reason, before, after)
SELECT (SELECT clock_timestamp()), %(who)s, %(kind)s, e.subject, %(reason)s, e.before::jsonb, %(after)s::jsonb
  FROM unnest(%(subjects)s::text[], %(before)s::text[]) WITH ORDINALITY AS e (subject, before, n)
 ORDER BY e.n;

-- name: detached_partitions
-- The DDL guard records them.
SELECT (after ->> 'oid')::bigint FROM migrator.decision WHERE kind = 'partition.detached';

-- name: a_minute_ago
-- The last decision and the last incident that are older; one that comes later with a lower number is told all the same.
SELECT coalesce((SELECT max(id) FROM migrator.decision
                  WHERE id > (SELECT max(id) FROM migrator.decision) - 100000
                    AND at < clock_timestamp() - interval '1 minute'), 0),
       coalesce((SELECT max(id) FROM migrator.incident WHERE at < clock_timestamp() - interval '1 minute'), 0);

-- name: decided
SELECT id, at, who, kind, subject, reason FROM migrator.decision
 WHERE id > %(newest)s OR id = ANY (%(missing)s::bigint[]) ORDER BY id LIMIT %(n)s;

-- name: reported
SELECT id, reported_by, kind, reason, times FROM migrator.incident
 WHERE id > %(newest)s OR id = ANY (%(missing)s::bigint[]) ORDER BY id LIMIT %(n)s;

-- name: stood
SELECT phase, state, blockers FROM migrator.phase ORDER BY phase;

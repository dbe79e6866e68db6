-- Statements of drill.py: what was practised.

-- name: add
INSERT INTO migrator.drill (kind, who, subject, passed, seconds, body)
VALUES (%(kind)s, %(who)s, %(subject)s, %(passed)s, %(seconds)s, %(body)s) RETURNING id;

-- name: forget
DELETE FROM migrator.drill WHERE id <= (SELECT id FROM migrator.drill ORDER BY id DESC OFFSET %(most)s LIMIT 1);

-- name: newest
-- Of each kind the newest, and when it last passed.
SELECT DISTINCT ON (kind) kind, at, who, subject, passed, seconds, body,
       (SELECT extract(epoch FROM clock_timestamp() - max(p.at)) FROM migrator.drill p
         WHERE p.kind = d.kind AND p.passed)::float8 AS passed_s
  FROM migrator.drill d ORDER BY kind, id DESC;

-- name: all
SELECT kind, at, who, subject, passed, seconds, body FROM migrator.drill ORDER BY id DESC LIMIT %(limit)s;

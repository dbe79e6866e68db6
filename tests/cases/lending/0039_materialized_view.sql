-- expected: refused: LIM-
CREATE MATERIALIZED VIEW busy AS SELECT title_id, count(*) AS times FROM loan GROUP BY title_id;

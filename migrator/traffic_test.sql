-- Statements of traffic_test.py.

-- name: shape
-- A digest of the application's tables as statements see them. No partitions: one more each month changes nothing.
SELECT md5(coalesce(string_agg(concat_ws(' ', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                                         a.attnotnull::text), E'\n'
                               ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C", a.attname COLLATE "C"), ''))
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE n.nspname = ANY (%(schemas)s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND a.attnum > 0 AND NOT a.attisdropped;

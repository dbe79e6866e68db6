-- Statements of compact.py.

-- name: bloated
-- Small tables that are many times larger than their rows, once nothing of that is needed any more. How many versions
-- are still needed is what the last vacuum counted.
SELECT c.relname
  FROM pg_class c
  JOIN pg_stat_user_tables t ON t.relid = c.oid
 WHERE c.relnamespace = 'migrator'::regnamespace AND c.relname = ANY (%(tables)s)
   AND pg_relation_size(c.oid) > %(bytes)s AND t.n_dead_tup < %(dead)s
   AND greatest(t.last_vacuum, t.last_autovacuum) > clock_timestamp() - interval '1 hour'
 ORDER BY 1;

-- Statements of known.py: names that people give.

-- name: met
-- Those with a row in migrator.tenant or migrator.route, or that are held.
SELECT u.id
  FROM unnest(%(wanted)s::text[]) AS u (id)
 WHERE EXISTS (SELECT FROM migrator.tenant t WHERE t.tenant_id = u.id)
    OR EXISTS (SELECT FROM migrator.route r WHERE r.tenant_id = u.id)
    OR EXISTS (SELECT FROM migrator.tenant_hold h WHERE h.tenant_id = u.id);

-- name: nothing_begun
SELECT write_mode = 'classic_only'
       AND NOT EXISTS (SELECT FROM migrator.captured_table)
       AND NOT EXISTS (SELECT FROM migrator.tenant)
       AND NOT EXISTS (SELECT FROM migrator.route)
  FROM migrator.switch;

-- name: parts
SELECT part FROM migrator.position ORDER BY part;

-- name: bound
-- A row that a policy hides must be an error.
SELECT set_config('statement_timeout', %(left)s, true), set_config('lock_timeout', %(left)s, true),
       set_config('row_security', 'off', true);

-- name: tables_of_plan
-- Tables that the stored plan would shard by a column of their own: schema, name, tenant column, its type.
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
  FROM migrator.plan p
  JOIN pg_namespace n ON p.body -> 'tables' -> 'schemas' ? n.nspname::text
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
   AND a.attname = p.body -> 'tables' ->> 'tenant_key';

-- name: indexed
-- Columns that a whole index begins with: schema, table, column.
SELECT DISTINCT n.nspname, c.relname, a.attname
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
 WHERE i.indisvalid AND i.indpred IS NULL AND n.nspname = ANY (%(schemas)s);

-- name: similar
SELECT tenant_id
  FROM migrator.tenant
 ORDER BY lower(left(tenant_id, 1)) <> ALL (%(prefixes)s), tenant_id
 LIMIT %(limit)s;

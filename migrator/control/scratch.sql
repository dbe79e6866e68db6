-- Statements of scratch.py.

-- name: put_tenant
INSERT INTO migrator.tenant (tenant_id, part, state) VALUES (%(tenant)s, %(part)s, 'mirrored') ON CONFLICT DO NOTHING;

-- name: publish
INSERT INTO migrator.position (part, epoch, snapshot, fresh_at) VALUES (%(part)s, 1, %(snapshot)s, %(at)s)
ON CONFLICT (part) DO UPDATE SET snapshot = EXCLUDED.snapshot, fresh_at = EXCLUDED.fresh_at
 WHERE migrator.position.fresh_at <= EXCLUDED.fresh_at;

-- name: fallbacks
SELECT f.scope || ' ' || f.scope_key FROM migrator.fallback f ORDER BY 1;

-- name: in_use
-- A schema that a run would drop; else a table, view or sequence that no extension brought, and no service that runs the
-- server.
SELECT what
  FROM (SELECT 0 AS at, 'a schema ' || n.nspname AS what FROM pg_namespace n WHERE n.nspname IN ('migrator', 'app')
        UNION ALL
        SELECT 1, format('%I.%I', n.nspname, c.relname)
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
           AND n.nspname !~ '^(pg_|information_schema$|rds_|aurora|aws_|apg_)'
           AND NOT EXISTS (SELECT FROM pg_depend d
                            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')) found
 ORDER BY at, what DESC
 LIMIT 1;

-- name: where
SELECT current_database(), inet_server_addr()::text, inet_server_port();

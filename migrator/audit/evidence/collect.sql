-- Evidence for the audit: one JSON object per row, told apart by its field "kind".
-- The same statements run over a connection (live.py) and in the gather script (script.py, for psql), so that an audit
-- with and without connectivity sees the same facts. All are read-only. PostgreSQL 12 and later unless a name says
-- otherwise.
-- "user_relation" keeps system schemas, the tool's own schema and objects of extensions out.

-- name: server
SELECT jsonb_build_object('kind', 'server',
         'version_num', current_setting('server_version_num')::int,
         'version', version(),
         'database', current_database(),
         'is_replica', pg_is_in_recovery(),
         'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
         'search_path', to_jsonb(ARRAY(SELECT n FROM unnest(current_schemas(false)) AS s(n))),
         'settings', (SELECT jsonb_object_agg(name, setting) FROM pg_settings
                       WHERE name IN ('default_transaction_isolation', 'plan_cache_mode', 'max_connections',
                                      'wal_level', 'max_replication_slots', 'session_replication_role', 'lc_collate',
                                      'server_encoding', 'shared_preload_libraries', 'max_prepared_transactions',
                                      'rds.logical_replication', 'track_io_timing', 'block_size')),
         'database_bytes', pg_database_size(current_database()),
         'uptime_s', extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()),
         'now', clock_timestamp()) /* migrator:audit */;

-- name: relations
SELECT jsonb_build_object('kind', 'relation', 'oid', c.oid::bigint, 'schema', n.nspname, 'name', c.relname,
         'relkind', c.relkind, 'persistence', c.relpersistence, 'owner', pg_get_userbyid(c.relowner),
         'options', to_jsonb(c.reloptions),
         'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace),
         'row_security', c.relrowsecurity, 'force_row_security', c.relforcerowsecurity,
         'partition_of', CASE WHEN c.relispartition THEN
            (SELECT pn.nspname || '.' || p.relname FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
                JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE i.inhrelid = c.oid) END,
         'inherits', CASE WHEN NOT c.relispartition THEN
            (SELECT jsonb_agg(pn.nspname || '.' || p.relname) FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
                JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE i.inhrelid = c.oid) END,
         'partition_key', CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
         'view', CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
         'commented', EXISTS (SELECT 1 FROM pg_description d WHERE d.objoid = c.oid AND d.classoid = 'pg_class'::regclass),
         'public_all', EXISTS (SELECT 1 FROM aclexplode(c.relacl) a WHERE a.grantee = 0
                                GROUP BY a.grantee HAVING count(*) >= 7),
         'rows', CASE WHEN c.relkind IN ('r', 'm') THEN
                   GREATEST(c.reltuples::bigint, COALESCE(s.n_live_tup, 0)) END,
         'bytes', CASE WHEN c.relkind IN ('r', 'm') THEN pg_total_relation_size(c.oid) END,
         'inserts', COALESCE(s.n_tup_ins, 0), 'updates', COALESCE(s.n_tup_upd, 0), 'deletes', COALESCE(s.n_tup_del, 0),
         'reads', COALESCE(s.seq_scan, 0) + COALESCE(s.idx_scan, 0))
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'migrator')
   AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 1 /* migrator:audit */;

-- name: columns
SELECT jsonb_build_object('kind', 'column', 'relation', n.nspname || '.' || c.relname, 'name', a.attname,
         'position', a.attnum, 'type', format_type(a.atttypid, a.atttypmod),
         'type_kind', CASE WHEN t.typcategory = 'A' AND t.typtype <> 'd' THEN 'a' ELSE t.typtype::text END,
         'not_null', a.attnotnull AND NOT EXISTS (
            SELECT 1 FROM pg_constraint k
             WHERE k.conrelid = c.oid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated),
         'default', pg_get_expr(d.adbin, d.adrelid),
         'identity', a.attidentity, 'generated', a.attgenerated,
         'sequence', (SELECT sn.nspname || '.' || s.relname FROM pg_class s JOIN pg_namespace sn ON sn.oid = s.relnamespace
                       WHERE s.oid = pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname),
                                                            a.attname)::regclass),
         -- Newer servers keep options of their own there for every column: only those that ALTER COLUMN SET takes count.
         'settings', concat_ws(' ', (SELECT string_agg(o, ',') FROM unnest(a.attoptions) o
                                      WHERE o ~ '^n_distinct(_inherited)?='),
                        CASE WHEN a.attstattarget >= 0 THEN 'statistics ' || a.attstattarget END,
                        CASE to_jsonb(a) ->> 'attcompression' WHEN 'p' THEN 'compression pglz'
                                                              WHEN 'l' THEN 'compression lz4' END))
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'migrator')
 ORDER BY a.attrelid, a.attnum /* migrator:audit */;

-- name: indexes
SELECT jsonb_build_object('kind', 'index', 'relation', n.nspname || '.' || c.relname, 'name', ic.relname,
         'unique', i.indisunique, 'primary', i.indisprimary, 'exclusion', i.indisexclusion AND NOT i.indisunique,
         'valid', i.indisvalid AND i.indisready AND i.indislive, 'method', am.amname,
         'columns', (SELECT jsonb_agg(CASE WHEN k.attnum = 0 THEN NULL ELSE a.attname END ORDER BY k.n)
                       FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n)
                       LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum <> 0),
         'key_columns', i.indnkeyatts, 'predicate', pg_get_expr(i.indpred, i.indrelid),
         'constraint', EXISTS (SELECT 1 FROM pg_constraint x WHERE x.conindid = i.indexrelid AND x.contype IN ('p', 'u', 'x')),
         'custom_opclass', EXISTS (SELECT 1 FROM unnest(i.indclass::oid[]) AS o(oid) JOIN pg_opclass oc ON oc.oid = o.oid
                                    WHERE NOT oc.opcdefault),
         'nulls_not_distinct', COALESCE((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false),
         'definition', pg_get_indexdef(i.indexrelid))
  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class ic ON ic.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am am ON am.oid = ic.relam
 WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'migrator')
 ORDER BY 1 /* migrator:audit */;

-- name: constraints
SELECT jsonb_build_object('kind', 'constraint', 'relation', n.nspname || '.' || c.relname, 'name', k.conname,
         'type', k.contype, 'definition', pg_get_constraintdef(k.oid),
         'columns', (SELECT jsonb_agg(a.attname ORDER BY x.n) FROM unnest(k.conkey) WITH ORDINALITY AS x(attnum, n)
                       JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = x.attnum),
         'parent', (SELECT pn.nspname || '.' || p.relname FROM pg_class p JOIN pg_namespace pn ON pn.oid = p.relnamespace
                     WHERE p.oid = k.confrelid),
         'parent_columns', (SELECT jsonb_agg(a.attname ORDER BY x.n) FROM unnest(k.confkey) WITH ORDINALITY AS x(attnum, n)
                       JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = x.attnum),
         'on_delete', k.confdeltype, 'on_update', k.confupdtype, 'match', k.confmatchtype,
         'deferrable', k.condeferrable, 'validated', k.convalidated)
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE k.contype IN ('f', 'c', 'x') AND k.conparentid = 0
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'migrator')
 ORDER BY 1 /* migrator:audit */;

-- name: triggers
SELECT jsonb_build_object('kind', 'trigger', 'relation', n.nspname || '.' || c.relname, 'name', t.tgname,
         'definition', pg_get_triggerdef(t.oid), 'function', fn.nspname || '.' || f.proname)
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_proc f ON f.oid = t.tgfoid JOIN pg_namespace fn ON fn.oid = f.pronamespace
 WHERE NOT t.tgisinternal AND fn.nspname <> 'migrator'
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'migrator')
 ORDER BY 1 /* migrator:audit */;

-- name: rules
SELECT jsonb_build_object('kind', 'rule', 'relation', schemaname || '.' || tablename, 'name', rulename,
         'definition', definition)
  FROM pg_rules
 WHERE rulename <> '_RETURN' AND schemaname !~ '^pg_' AND schemaname NOT IN ('information_schema', 'migrator')
 ORDER BY 1 /* migrator:audit */;

-- name: policies
SELECT jsonb_build_object('kind', 'policy', 'relation', schemaname || '.' || tablename, 'name', policyname,
         'permissive', permissive = 'PERMISSIVE',
         'command', CASE cmd WHEN 'ALL' THEN '*' WHEN 'SELECT' THEN 'r' WHEN 'INSERT' THEN 'a' WHEN 'UPDATE' THEN 'w'
                             ELSE 'd' END,
         'everybody', 'public' = ANY (roles::text[]), 'using', qual, 'check', with_check)
  FROM pg_policies
 WHERE schemaname !~ '^pg_' AND schemaname NOT IN ('information_schema', 'migrator')
 ORDER BY 1 /* migrator:audit */;

-- name: functions
SELECT jsonb_build_object('kind', 'function', 'schema', n.nspname, 'name', p.proname, 'prokind', p.prokind,
         'arguments', to_jsonb(p.proargnames), 'modes', to_jsonb(p.proargmodes::text[]),
         'types', (SELECT jsonb_agg(format_type(x.oid, NULL) ORDER BY x.n)
                     FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS x(oid, n)),
         'language', l.lanname, 'volatility', p.provolatile, 'security_definer', p.prosecdef,
         'returns', CASE WHEN p.proretset THEN 'SETOF ' ELSE '' END || format_type(p.prorettype, NULL), 'body', p.prosrc,
         'definition', CASE WHEN p.prokind IN ('f', 'p') AND l.lanname IN ('sql', 'plpgsql')
                            THEN pg_get_functiondef(p.oid) END,
         'calls', s.calls, 'total_ms', s.total_time)
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
  LEFT JOIN pg_stat_user_functions s ON s.funcid = p.oid
 WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'migrator')
   AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
 ORDER BY 1 /* migrator:audit */;

-- name: extension_functions
SELECT jsonb_build_object('kind', 'volatility', 'schema', n.nspname, 'name', p.proname,
         'volatility', max(p.provolatile::text))
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
 GROUP BY n.nspname, p.proname ORDER BY 1 /* migrator:audit */;

-- name: sequences
SELECT jsonb_build_object('kind', 'sequence', 'schema', n.nspname, 'name', c.relname,
         'type', format_type(s.seqtypid, NULL), 'cycle', s.seqcycle, 'cache', s.seqcache, 'increment', s.seqincrement,
         'minimum', s.seqmin, 'maximum', s.seqmax, 'unlogged', c.relpersistence = 'u',
         'last_value', CASE WHEN has_sequence_privilege(c.oid, 'USAGE') OR has_sequence_privilege(c.oid, 'SELECT')
                            THEN pg_sequence_last_value(c.oid) END,
         'owned_by', (SELECT dn.nspname || '.' || dc.relname || '.' || a.attname FROM pg_depend d
                        JOIN pg_class dc ON dc.oid = d.refobjid JOIN pg_namespace dn ON dn.oid = dc.relnamespace
                        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                       WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                         AND d.refobjsubid > 0 LIMIT 1))
  FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'migrator') AND c.relpersistence <> 't'
   AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 1 /* migrator:audit */;

-- name: types
SELECT jsonb_build_object('kind', 'type', 'schema', n.nspname, 'name', t.typname, 'type_kind', t.typtype)
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
 WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'migrator')
   AND t.typtype IN ('d', 'e', 'r', 'c', 'b') AND t.typelem = 0 AND (t.typrelid = 0 OR c.relkind = 'c')
   AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
 ORDER BY 1 /* migrator:audit */;

-- name: things
SELECT jsonb_build_object('kind', 'thing', 'sort', sort, 'name', name, 'detail', detail) FROM (
    SELECT 'extension' AS sort, extname::text AS name, extversion::text AS detail FROM pg_extension
    UNION ALL
    SELECT 'event trigger', evtname, evtevent FROM pg_event_trigger e JOIN pg_proc f ON f.oid = e.evtfoid
     WHERE f.pronamespace <> ALL (SELECT oid FROM pg_namespace WHERE nspname = 'migrator')
    UNION ALL SELECT 'publication', pubname, '' FROM pg_publication WHERE pubname NOT LIKE 'migrator%'
    UNION ALL SELECT 'foreign server', srvname, '' FROM pg_foreign_server
    UNION ALL SELECT 'text search configuration', n.nspname || '.' || cfgname, '' FROM pg_ts_config t
                JOIN pg_namespace n ON n.oid = t.cfgnamespace WHERE n.nspname <> 'pg_catalog'
    UNION ALL SELECT 'extended statistics', n.nspname || '.' || stxname, stxrelid::regclass::text FROM pg_statistic_ext s
                JOIN pg_namespace n ON n.oid = s.stxnamespace
    UNION ALL SELECT 'default privileges', pg_get_userbyid(defaclrole), defaclobjtype::text FROM pg_default_acl
    UNION ALL SELECT 'database setting', s, CASE WHEN setrole = 0 THEN '' ELSE pg_get_userbyid(setrole) END
                FROM pg_db_role_setting, unnest(setconfig) AS u(s)
               WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL SELECT 'role setting', s, pg_get_userbyid(setrole) FROM pg_db_role_setting, unnest(setconfig) AS u(s)
               WHERE setdatabase = 0
    UNION ALL SELECT 'language', lanname, '' FROM pg_language WHERE lanname NOT IN ('internal', 'c', 'sql', 'plpgsql')
    UNION ALL SELECT 'large objects', count(*)::text, '' FROM pg_largeobject_metadata HAVING count(*) > 0
    UNION ALL SELECT 'prepared transaction', gid, database FROM pg_prepared_xacts WHERE database = current_database()
    UNION ALL SELECT 'comments', count(*)::text, '' FROM pg_description d
               WHERE d.classoid = 'pg_class'::regclass AND EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n
                     ON n.oid = c.relnamespace WHERE c.oid = d.objoid AND n.nspname !~ '^pg_'
                     AND n.nspname NOT IN ('information_schema', 'migrator')) HAVING count(*) > 0
    UNION ALL SELECT 'transform', trftype::regtype::text, '' FROM pg_transform
) AS t ORDER BY sort, name /* migrator:audit */;

-- name: subscriptions
-- needs superuser rights or a grant; a refusal is reported, not fatal
SELECT jsonb_build_object('kind', 'thing', 'sort', 'subscription', 'name', subname,
         'detail', array_to_string(subpublications, ',')) FROM pg_subscription /* migrator:audit */;

-- name: replication
SELECT jsonb_build_object('kind', 'thing', 'sort', 'replication slot', 'name', slot_name, 'detail', COALESCE(plugin, slot_type))
  FROM pg_replication_slots WHERE slot_name NOT LIKE 'migrator%' /* migrator:audit */;

-- name: distincts
SELECT jsonb_build_object('kind', 'distinct', 'relation', schemaname || '.' || tablename, 'column', attname,
         'n_distinct', n_distinct)
  FROM pg_stats WHERE schemaname !~ '^pg_' AND schemaname NOT IN ('information_schema', 'migrator')
 ORDER BY 1 /* migrator:audit */;

-- name: load
SELECT jsonb_build_object('kind', 'load', 'commits', xact_commit, 'rollbacks', xact_rollback, 'inserted', tup_inserted,
         'updated', tup_updated, 'deleted', tup_deleted, 'fetched', tup_fetched,
         'since', COALESCE(stats_reset, pg_postmaster_start_time()), 'now', clock_timestamp(),
         'sessions', (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()),
         'active', (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'),
         'wal_bytes', (SELECT to_jsonb(w) ->> 'wal_bytes' FROM pg_stat_wal w))
  FROM pg_stat_database WHERE datname = current_database() /* migrator:audit */;

-- name: activity
-- sessions of others, the ages that end in wraparound, and how many connections there may be
SELECT jsonb_build_object('kind', 'activity',
         'max_connections', current_setting('max_connections')::int
                            - current_setting('superuser_reserved_connections')::int
                            - COALESCE(current_setting('reserved_connections', true)::int, 0),
         'connections', (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
         'role', current_user, 'role_limit', (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
         'role_connections', (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user),
         'hidden', (SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND query = '<insufficient privilege>'),
         'open', (SELECT COALESCE(jsonb_agg(jsonb_build_object(
                            'pid', a.pid, 'role', a.usename, 'application', a.application_name, 'state', a.state,
                            'open_s', extract(epoch FROM clock_timestamp() - a.xact_start),
                            'idle_s', CASE WHEN a.state LIKE 'idle in transaction%'
                                           THEN extract(epoch FROM clock_timestamp() - a.state_change) END)
                          ORDER BY a.xact_start), '[]')
                    FROM pg_stat_activity a
                   WHERE a.datname = current_database() AND a.xact_start IS NOT NULL AND a.pid <> pg_backend_pid()
                     AND a.backend_type = 'client backend'),
         'xid_age', (SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()),
         'mxid_age', (SELECT mxid_age(datminmxid) FROM pg_database WHERE datname = current_database()),
         'freeze_at', current_setting('autovacuum_freeze_max_age')::bigint,
         'oldest', (SELECT COALESCE(jsonb_agg(jsonb_build_array(o.name, o.xids)), '[]')
                      FROM (SELECT n.nspname || '.' || c.relname AS name, age(c.relfrozenxid) AS xids
                              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                             WHERE c.relkind IN ('r', 'm') ORDER BY 2 DESC LIMIT 3) o)) /* migrator:audit */;

-- name: statements
-- pg_stat_statements, PostgreSQL 13 and later; this tool's own statements are left out by their comment
SELECT jsonb_build_object('kind', 'statement', 'id', queryid::text, 'sql', query, 'calls', sum(calls),
         'total_ms', sum(total_exec_time), 'rows', sum(rows),
         'blocks', sum(shared_blks_hit + shared_blks_read), 'user', min(pg_get_userbyid(userid)))
  FROM pg_stat_statements
 WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND query NOT LIKE '%/* migrator%' AND query <> '<insufficient privilege>'
 GROUP BY queryid, query
 ORDER BY sum(total_exec_time) DESC /* migrator:audit */;

-- name: statements_hidden
SELECT jsonb_build_object('kind', 'hidden', 'count', count(*), 'calls', COALESCE(sum(calls), 0),
         'total_ms', COALESCE(sum(total_exec_time), 0))
  FROM pg_stat_statements
 WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND query = '<insufficient privilege>' HAVING count(*) > 0 /* migrator:audit */;

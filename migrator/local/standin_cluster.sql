-- The Limitless stand-in, part 3: what is true for a cluster of routers and shards, and not for one server.
-- Routers (migrator.local.router) send statements here in a changed form: what names something of the router's own calls
-- the functions of this file. rds_aurora.router is the number of the session's router.

-- For DO UPDATE clauses: refuse a function of which no form is immutable. Declared immutable so that the planner calls
-- it, whether a row is in conflict or not. A name that is not found is the server's to refuse.
CREATE FUNCTION rds_aurora.standin_pushdown_safe(name text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    parts pg_catalog.text[] := pg_catalog.parse_ident(name);
    unsafe pg_catalog.bool;
BEGIN
    SELECT pg_catalog.bool_and(p.provolatile OPERATOR(pg_catalog.<>) 'i') INTO unsafe
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
    WHERE p.proname OPERATOR(pg_catalog.=) parts[pg_catalog.cardinality(parts)]
      AND CASE pg_catalog.cardinality(parts) WHEN 1 THEN pg_catalog.pg_function_is_visible(p.oid)
               ELSE n.nspname OPERATOR(pg_catalog.=) parts[1] END;
    IF unsafe THEN
        PERFORM rds_aurora.standin_refuse(
            '@pushdown@');
    END IF;
    RETURN true;
END
$$;

-- The number an object has on the session's router. A regclass reads as a name, the same everywhere.
CREATE FUNCTION rds_aurora.standin_oid(bigint) RETURNS bigint LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT CASE WHEN $1 < 16384 THEN $1
                ELSE $1 + 16777216 * coalesce(nullif(current_setting('rds_aurora.router', true), ''), '0')::bigint END
$$;
CREATE FUNCTION rds_aurora.standin_oid(oid) RETURNS oid LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT rds_aurora.standin_oid($1::bigint)::oid
$$;
CREATE FUNCTION rds_aurora.standin_oid(regclass) RETURNS regclass LANGUAGE sql IMMUTABLE AS 'SELECT $1';

-- Whether relations of a schema are users', so that their rows are on shards.
CREATE FUNCTION rds_aurora.standin_on_shards(schema oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'rds_aurora', 'standin_work')
    FROM pg_namespace n WHERE n.oid = $1
$$;

-- pg_class as a router has it: slices, standard and reference tables are foreign tables there. The columns of pg_class
-- are this server's, whatever its version.
DO $$
BEGIN
    EXECUTE (
        SELECT 'CREATE VIEW rds_aurora.router_pg_class AS SELECT ' || string_agg(
            CASE attname WHEN 'relkind' THEN
                'CASE WHEN relkind = ''r'' AND rds_aurora.standin_on_shards(relnamespace) THEN ''f'' ELSE relkind END AS relkind'
            ELSE quote_ident(attname) END, ', ' ORDER BY attnum) || ' FROM pg_catalog.pg_class'
        FROM pg_attribute WHERE attrelid = 'pg_class'::regclass AND attnum > 0);
END
$$;

-- pg_index as a router may have it: foreign tables have no indexes. Only where the stand-in is told to lack them.
CREATE VIEW rds_aurora.router_pg_index AS
SELECT i.* FROM pg_catalog.pg_index i JOIN rds_aurora.router_pg_class c ON c.oid = i.indrelid WHERE c.relkind <> 'f';

-- A router's disk holds its catalogs and no rows of users.
CREATE FUNCTION rds_aurora.standin_has_rows(relation regclass) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT NOT rds_aurora.standin_on_shards(relnamespace) FROM pg_class WHERE oid = $1
$$;
CREATE FUNCTION rds_aurora.router_pg_database_size(name) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 8388608::bigint';
CREATE FUNCTION rds_aurora.router_pg_database_size(oid) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 8388608::bigint';
CREATE FUNCTION rds_aurora.router_pg_relation_size(regclass, text DEFAULT 'main') RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT CASE WHEN rds_aurora.standin_has_rows($1) THEN pg_relation_size($1, $2) ELSE 0 END
$$;
CREATE FUNCTION rds_aurora.router_pg_table_size(regclass) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT CASE WHEN rds_aurora.standin_has_rows($1) THEN pg_table_size($1) ELSE 0 END
$$;
CREATE FUNCTION rds_aurora.router_pg_indexes_size(regclass) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT CASE WHEN rds_aurora.standin_has_rows($1) THEN pg_indexes_size($1) ELSE 0 END
$$;
CREATE FUNCTION rds_aurora.router_pg_total_relation_size(regclass) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT CASE WHEN rds_aurora.standin_has_rows($1) THEN pg_total_relation_size($1) ELSE 0 END
$$;

-- Where the rows of a table are: each slice on its shard, a reference table on all, standard tables on the first.
CREATE VIEW rds_aurora.standin_placement AS
SELECT schema_name, table_name, slice_oid AS relation, subcluster_id FROM rds_aurora.standin_slices
UNION ALL
SELECT l.schema_name, l.table_name, l.local_oid, s.subcluster_id
FROM rds_aurora.limitless_tables l
JOIN rds_aurora.standin_subcluster s ON s.subcluster_type = 'shard'
WHERE l.table_type = 'reference' OR (l.table_type = 'standard' AND s.subcluster_id = '1');

CREATE FUNCTION rds_aurora.limitless_stat_relation_sizes(schema_name text, relation_name text)
RETURNS TABLE (subcluster_id text, subcluster_type text, main_size bigint, fsm_size bigint, vm_size bigint,
               init_size bigint, toast_size bigint, table_size bigint, index_size bigint, total_size bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT s.subcluster_id, 'shard'::text,
           sum(pg_relation_size(s.relation, 'main'))::bigint, sum(pg_relation_size(s.relation, 'fsm'))::bigint,
           sum(pg_relation_size(s.relation, 'vm'))::bigint, sum(pg_relation_size(s.relation, 'init'))::bigint,
           sum(pg_table_size(s.relation) - pg_relation_size(s.relation))::bigint,
           sum(pg_table_size(s.relation))::bigint, sum(pg_indexes_size(s.relation))::bigint,
           sum(pg_total_relation_size(s.relation))::bigint
    FROM rds_aurora.standin_placement s
    WHERE s.schema_name = $1 AND s.table_name = $2
    GROUP BY s.subcluster_id
$$;

CREATE FUNCTION rds_aurora.limitless_stat_database_size(database text)
RETURNS TABLE (subcluster_id text, subcluster_type text, db_size bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT n.subcluster_id, n.subcluster_type,
           8388608 + coalesce((SELECT sum(pg_total_relation_size(p.relation)) FROM rds_aurora.standin_placement p
                               WHERE p.subcluster_id = n.subcluster_id AND $1 = current_database()), 0)::bigint
    FROM rds_aurora.standin_subcluster n
    WHERE EXISTS (SELECT FROM pg_database WHERE datname = $1)
$$;

-- The next number of a sequence that no connection has a chunk around.
CREATE FUNCTION rds_aurora.standin_next_value(sequence regclass) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    following bigint;
BEGIN
    EXECUTE format('SELECT s.last_value + CASE WHEN s.is_called THEN q.seqincrement ELSE 0 END'
                   ' FROM %s s, pg_sequence q WHERE q.seqrelid = $1', sequence) INTO following USING sequence;
    RETURN following;
END
$$;

-- The state of sequences, router by router: what each would hand out next. None has a chunk in reserve here.
CREATE VIEW rds_aurora.limitless_sequence_metadata AS
SELECT r.subcluster_id, c.relname::text AS sequence_name, n.nspname::text AS schema_name,
       s.next AS active_minvalue, s.next + q.chunk * p.seqincrement - 1 AS active_maxvalue,
       NULL::bigint AS reserved_minvalue, NULL::bigint AS reserved_maxvalue, q.chunk AS chunk_size,
       'active'::text AS chunk_state, s.next - p.seqincrement AS local_last_value
FROM rds_aurora.standin_sequence q
JOIN pg_class c ON c.oid = q.local_oid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_sequence p ON p.seqrelid = c.oid
CROSS JOIN LATERAL (SELECT rds_aurora.standin_next_value(c.oid)) AS s (next)
JOIN rds_aurora.standin_subcluster r ON r.subcluster_type = 'router';

-- What Limitless gathers from all nodes; the one server counts as one router.
DO $$
DECLARE
    source text;
BEGIN
    FOREACH source IN ARRAY ARRAY['database', 'locks', 'stat_activity', 'stat_database', 'stat_all_tables',
                                  'stat_all_indexes', 'statio_all_tables', 'statio_all_indexes',
                                  'stat_progress_vacuum'] LOOP
        EXECUTE format(
            'CREATE VIEW rds_aurora.limitless_%s AS SELECT n.subcluster_id, n.subcluster_type, s.* FROM pg_catalog.pg_%s s'
            ' CROSS JOIN (SELECT subcluster_id, subcluster_type FROM rds_aurora.standin_subcluster'
            ' WHERE subcluster_type = ''router'' ORDER BY 1 LIMIT 1) n', source, source);
    END LOOP;
END
$$;

CREATE FUNCTION pg_catalog.aurora_limitless_router_endpoints() RETURNS TABLE (router_endpoint text, load real)
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT coalesce(host(inet_server_addr()), '127.0.0.1'), 0.0::real
    FROM rds_aurora.standin_subcluster WHERE subcluster_type = 'router'
$$;

GRANT USAGE ON SCHEMA rds_aurora TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA rds_aurora TO PUBLIC;

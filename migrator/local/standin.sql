-- The Limitless stand-in, part 1: its catalog, and tables that are sharded as Limitless shards them.
-- Sharded tables are hash-partitioned, two slices per simulated shard: pruning to one slice is the mechanism AWS
-- documents for single-shard execution. Applied by migrator.local.standin with search_path = pg_catalog.

CREATE SCHEMA rds_aurora;
CREATE SCHEMA standin_work;   -- where a table waits while its sharded form is filled

CREATE TABLE rds_aurora.standin_subcluster (
    subcluster_id   text PRIMARY KEY,
    subcluster_type text NOT NULL CHECK (subcluster_type IN ('router', 'shard'))
);

-- Tables that are not standard. Rows of dropped tables leave with rds_aurora.standin_forget().
CREATE TABLE rds_aurora.standin_table (
    local_oid      oid PRIMARY KEY,
    table_type     text NOT NULL CHECK (table_type IN ('sharded', 'reference')),
    shard_key      text[] NOT NULL DEFAULT '{}',
    collocation_id int
);
CREATE SEQUENCE rds_aurora.standin_collocation AS int;

CREATE VIEW rds_aurora.limitless_subclusters AS
SELECT subcluster_id, subcluster_type FROM rds_aurora.standin_subcluster;

CREATE VIEW rds_aurora.limitless_tables AS
SELECT c.oid::bigint AS table_gid,
       c.oid AS local_oid,
       n.nspname::text AS schema_name,
       c.relname::text AS table_name,
       'active'::text AS table_status,
       coalesce(t.table_type, 'standard') AS table_type,
       CASE t.table_type WHEN 'sharded' THEN 'HASH (' || (
           SELECT string_agg(quote_ident(k), ', ' ORDER BY i) FROM unnest(t.shard_key) WITH ORDINALITY AS u (k, i)
       ) || ')' END AS distribution_key
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN rds_aurora.standin_table t ON t.local_oid = c.oid
WHERE c.relkind IN ('r', 'p')
  AND NOT c.relispartition
  AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'rds_aurora', 'standin_work');

CREATE VIEW rds_aurora.limitless_table_collocations AS
SELECT t.collocation_id, l.schema_name, l.table_name
FROM rds_aurora.standin_table t
JOIN rds_aurora.limitless_tables l USING (local_oid)
WHERE t.table_type = 'sharded';

CREATE VIEW rds_aurora.limitless_table_collocation_distributions AS
WITH shard AS (
    SELECT subcluster_id, row_number() OVER (ORDER BY subcluster_id::int) - 1 AS i, count(*) OVER () AS n
    FROM rds_aurora.standin_subcluster WHERE subcluster_type = 'shard'
)
SELECT g.collocation_id, s.subcluster_id,
       (-9223372036854775808 + s.i * (18446744073709551616 / s.n))::bigint AS lower_bound,
       (-9223372036854775808 + (s.i + 1) * (18446744073709551616 / s.n) - 1)::bigint AS upper_bound
FROM (SELECT DISTINCT collocation_id FROM rds_aurora.standin_table WHERE table_type = 'sharded') g
CROSS JOIN shard s;

-- What sequences were declared with. Their CACHE here is the size of a chunk: each connection takes chunks of its own, as
-- each router does, so that numbers of two connections do not follow each other.
CREATE TABLE rds_aurora.standin_sequence (
    local_oid oid PRIMARY KEY,
    cache     bigint NOT NULL,
    chunk     bigint NOT NULL
);

CREATE TABLE rds_aurora.standin_function (local_oid oid PRIMARY KEY, volatility "char" NOT NULL);

CREATE VIEW rds_aurora.limitless_distributed_sequence AS
SELECT s.schemaname::text AS schema_name, s.sequencename::text AS sequence_name, s.last_value AS lastval,
       s.min_value AS minvalue, s.max_value AS maxvalue, s.start_value AS start, s.increment_by AS inc,
       coalesce(q.cache, s.cache_size) AS cache
FROM pg_sequences s
LEFT JOIN rds_aurora.standin_sequence q ON q.local_oid = to_regclass(format('%I.%I', s.schemaname, s.sequencename))
WHERE s.schemaname <> 'rds_aurora';

-- Which shard holds which slice; only here, for tests and for showing the skew.
CREATE VIEW rds_aurora.standin_slices AS
SELECT l.schema_name, l.table_name, c.relname::text AS slice, c.oid AS slice_oid,
       s.subcluster_id
FROM rds_aurora.limitless_tables l
JOIN rds_aurora.standin_table t USING (local_oid)
JOIN pg_inherits i ON i.inhparent = l.local_oid
JOIN pg_class c ON c.oid = i.inhrelid
CROSS JOIN LATERAL (SELECT substring(pg_get_expr(c.relpartbound, c.oid) FROM 'remainder (\d+)')::int) AS b (remainder)
JOIN (SELECT subcluster_id, row_number() OVER (ORDER BY subcluster_id::int) - 1 AS i, count(*) OVER () AS n
      FROM rds_aurora.standin_subcluster WHERE subcluster_type = 'shard') s ON s.i = b.remainder % s.n
WHERE t.table_type = 'sharded';

CREATE FUNCTION rds_aurora.standin_refuse(what text, hint text DEFAULT '') RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF hint = '' THEN
        RAISE EXCEPTION USING MESSAGE = what, ERRCODE = 'feature_not_supported';
    END IF;
    RAISE EXCEPTION USING MESSAGE = what, ERRCODE = 'feature_not_supported', HINT = hint;
END
$$;

CREATE FUNCTION rds_aurora.standin_type(relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT coalesce((SELECT table_type FROM rds_aurora.standin_table WHERE local_oid = relation), 'standard')
$$;

-- Names of an index's or constraint's columns, given their numbers.
CREATE FUNCTION rds_aurora.standin_names(relation oid, numbers smallint[]) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT coalesce(array_agg(a.attname::text ORDER BY u.i), '{}')
    FROM unnest(numbers) WITH ORDINALITY AS u (n, i)
    JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = u.n
$$;

-- The shard key may be named in no UPDATE, whatever the value: Limitless refuses the statement, not the change.
-- Inserting with ON CONFLICT DO UPDATE SET <shard key> is such a statement too. Costs nothing otherwise.
CREATE FUNCTION rds_aurora.standin_keep_shard_key() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = 'Shard key column update is not supported', ERRCODE = 'feature_not_supported';
END
$$;

-- Refuse what a sharded table may not be, with everything that does not depend on other tables.
CREATE FUNCTION rds_aurora.standin_check_shardable(relation regclass, keys text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    name text := (SELECT relname FROM pg_class WHERE oid = relation);
    missing text;
    bad record;
BEGIN
    IF coalesce(cardinality(keys), 0) = 0 THEN
        RAISE EXCEPTION 'shard key of table % is not set', relation USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Set rds_aurora.limitless_create_table_shard_key.';
    END IF;
    IF octet_length(name) > @max_sharded_name@ THEN
        PERFORM rds_aurora.standin_refuse(format('name of sharded table %s is longer than @max_sharded_name@ bytes', relation));
    END IF;
    SELECT k INTO missing FROM unnest(keys) AS k
    WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = k AND a.attnum > 0
                      AND NOT a.attisdropped);
    IF FOUND THEN
        RAISE EXCEPTION 'shard key column "%" of table % does not exist', missing, relation
            USING ERRCODE = 'undefined_column';
    END IF;
    IF EXISTS (SELECT FROM pg_constraint WHERE conrelid = relation AND contype = 'x') THEN
        PERFORM rds_aurora.standin_refuse('EXCLUSION CONSTRAINT is not supported');
    END IF;
    FOR bad IN
        SELECT i.indexrelid::regclass AS index
        FROM pg_index i
        WHERE i.indrelid = relation AND i.indisunique
          AND NOT keys <@ rds_aurora.standin_names(relation, (i.indkey::smallint[])[0:i.indnkeyatts - 1])
    LOOP
        PERFORM rds_aurora.standin_refuse(
            format('unique index %s of sharded table %s lacks a shard key column', bad.index, relation),
            'Every primary key, unique constraint and unique index must contain the whole shard key.');
    END LOOP;
END
$$;

-- The collocation group a new sharded table belongs to.
CREATE FUNCTION rds_aurora.standin_group(relation regclass, keys text[], collocate_with text) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    other rds_aurora.standin_table;
    mine text[];
    theirs text[];
BEGIN
    IF coalesce(collocate_with, '') = '' THEN
        RETURN nextval('rds_aurora.standin_collocation');
    END IF;
    SELECT t.* INTO other FROM rds_aurora.standin_table t
    WHERE t.local_oid = rds_aurora.standin_find(collocate_with) AND t.table_type = 'sharded';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'table % cannot be collocated with "%", which is not a sharded table', relation, collocate_with
            USING ERRCODE = 'wrong_object_type';
    END IF;
    SELECT array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY u.i) INTO mine
    FROM unnest(keys) WITH ORDINALITY AS u (k, i)
    JOIN pg_attribute a ON a.attrelid = relation AND a.attname = u.k;
    SELECT array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY u.i) INTO theirs
    FROM unnest(other.shard_key) WITH ORDINALITY AS u (k, i)
    JOIN pg_attribute a ON a.attrelid = other.local_oid AND a.attname = u.k;
    IF keys <> other.shard_key OR mine <> theirs THEN
        RAISE EXCEPTION 'table % cannot be collocated with "%": shard keys differ', relation, collocate_with
            USING ERRCODE = 'datatype_mismatch',
                  DETAIL = format('%s %s against %s %s', keys, mine, other.shard_key, theirs);
    END IF;
    RETURN other.collocation_id;
END
$$;

-- A table by the name an operator wrote; without a schema, as the session's own search_path finds it.
CREATE FUNCTION rds_aurora.standin_find(name text) RETURNS oid
LANGUAGE plpgsql STABLE AS $$
DECLARE
    found oid := pg_catalog.to_regclass(name);
BEGIN
    IF found IS NULL THEN  -- a tool's session may search nothing but pg_catalog
        found := pg_catalog.to_regclass('public.' OPERATOR(pg_catalog.||) name);
    END IF;
    IF found IS NULL THEN
        RAISE EXCEPTION 'relation "%" does not exist', name USING ERRCODE = 'undefined_table';
    END IF;
    RETURN found;
END
$$;

-- Replace an ordinary table by a hash-partitioned one with the same name, rows, keys, indexes, owner and rights.
-- The layer's own event triggers do nothing while this runs.
CREATE FUNCTION rds_aurora.standin_shard(relation regclass, keys text[], collocate_with text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET rds_aurora.standin_inside = 'on' AS $$
DECLARE
    old pg_class;
    schema text;
    slices int := 2 * (SELECT count(*) FROM rds_aurora.standin_subcluster WHERE subcluster_type = 'shard');
    collocation int;
    target text;
    waiting text;
    columns text;
    slice text;
    step text;
    constraints text[];
    indexes text[];
    sequences text[];
    grants text[];
    policies text[];
BEGIN
    SELECT * INTO old FROM pg_class WHERE oid = relation;
    schema := (SELECT nspname FROM pg_namespace WHERE oid = old.relnamespace);
    target := format('%I.%I', schema, old.relname);
    waiting := format('standin_work.%I', 't' || relation::oid);
    PERFORM rds_aurora.standin_check_shardable(relation, keys);
    collocation := rds_aurora.standin_group(relation, keys, collocate_with);

    SELECT array_agg(format('ALTER TABLE %s ADD CONSTRAINT %I %s', target, conname, pg_get_constraintdef(oid))
                     ORDER BY contype, conname)
      INTO constraints FROM pg_constraint WHERE conrelid = relation AND contype IN ('p', 'u');
    SELECT array_agg(pg_get_indexdef(i.indexrelid) ORDER BY i.indexrelid)
      INTO indexes FROM pg_index i
     WHERE i.indrelid = relation AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid);
    SELECT array_agg(format('ALTER SEQUENCE %s OWNED BY %s.%I', d.objid::regclass, target, a.attname))
      INTO sequences FROM pg_depend d
      JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
      JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
     WHERE d.refobjid = relation AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
       AND d.deptype = 'a';
    SELECT array_agg(format('GRANT %s ON %s TO %s%s', g.privilege_type, target,
                            CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
                            CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END))
      INTO grants FROM aclexplode(old.relacl) g WHERE g.grantee <> old.relowner;
    IF old.relrowsecurity THEN
        policies := ARRAY[format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target)];
        IF old.relforcerowsecurity THEN
            policies := policies || format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
        END IF;
    END IF;
    SELECT policies || array_agg(format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.policyname, target,
                p.permissive, p.cmd, (SELECT string_agg(CASE r WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(r) END, ', ')
                                      FROM unnest(p.roles) AS r),
                coalesce(' USING (' || p.qual || ')', ''), coalesce(' WITH CHECK (' || p.with_check || ')', '')))
      INTO policies FROM pg_policies p WHERE p.schemaname = schema AND p.tablename = old.relname
     HAVING count(*) > 0 OR policies IS NOT NULL;
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
      FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped AND attgenerated = '';

    FOR step IN SELECT d.objid::regclass::text FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
                WHERE d.refobjid = relation AND d.classid = 'pg_class'::regclass AND d.deptype = 'a' LOOP
        EXECUTE format('ALTER SEQUENCE %s OWNED BY NONE', step);
    END LOOP;
    EXECUTE format('ALTER TABLE %s RENAME TO %I', target, 't' || relation::oid);
    EXECUTE format('ALTER TABLE %I.%I SET SCHEMA standin_work', schema, 't' || relation::oid);
    EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED'
                   ' INCLUDING STORAGE) PARTITION BY HASH (%s)', target, waiting,
                   (SELECT string_agg(quote_ident(k), ', ' ORDER BY i) FROM unnest(keys) WITH ORDINALITY AS u (k, i)));
    EXECUTE format('ALTER TABLE %s OWNER TO %I', target, pg_get_userbyid(old.relowner));
    FOR n IN 0 .. slices - 1 LOOP
        slice := format('%I.%I', schema, old.relname || '_fs' || lpad((n + 1)::text, 5, '0'));
        EXECUTE format('CREATE TABLE %s PARTITION OF %s FOR VALUES WITH (MODULUS %s, REMAINDER %s)', slice, target, slices, n);
        EXECUTE format('ALTER TABLE %s OWNER TO %I', slice, pg_get_userbyid(old.relowner));
    END LOOP;
    EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM %s', target, columns, columns, waiting);
    EXECUTE format('DROP TABLE %s', waiting);
    FOREACH step IN ARRAY coalesce(constraints, '{}') || coalesce(indexes, '{}') || coalesce(sequences, '{}')
                          || coalesce(grants, '{}') || coalesce(policies, '{}') LOOP
        EXECUTE step;
    END LOOP;
    EXECUTE format('CREATE TRIGGER standin_keep_shard_key BEFORE UPDATE OF %s ON %s FOR EACH STATEMENT'
                   ' EXECUTE FUNCTION rds_aurora.standin_keep_shard_key()',
                   (SELECT string_agg(quote_ident(k), ', ' ORDER BY i) FROM unnest(keys) WITH ORDINALITY AS u (k, i)),
                   target);
    DELETE FROM rds_aurora.standin_table WHERE local_oid = relation;
    INSERT INTO rds_aurora.standin_table VALUES (target::regclass, 'sharded', keys, collocation);
END
$$;

CREATE FUNCTION rds_aurora.standin_make_reference(relation regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET rds_aurora.standin_inside = 'on' AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = relation AND contype = 'p') THEN
        PERFORM rds_aurora.standin_refuse(format('reference table %s has no primary key', relation),
                                          'A reference table needs a primary key.');
    END IF;
    INSERT INTO rds_aurora.standin_table VALUES (relation, 'reference') ON CONFLICT DO NOTHING;
END
$$;

-- What a conversion requires of the table and of the role that converts it.
CREATE FUNCTION rds_aurora.standin_check_convertible(relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    foreign_key text;
BEGIN
    IF NOT pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = relation), 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of table %', relation USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF rds_aurora.standin_type(relation) <> 'standard' THEN
        PERFORM rds_aurora.standin_refuse(format('table %s is %s already', relation, rds_aurora.standin_type(relation)));
    END IF;
    SELECT conname INTO foreign_key FROM pg_constraint
    WHERE contype = 'f' AND relation IN (conrelid, confrelid) LIMIT 1;
    IF FOUND THEN
        PERFORM rds_aurora.standin_refuse(
            format('table %s has foreign key %I and cannot be converted', relation, foreign_key),
            'Drop the foreign key, convert, add it again.');
    END IF;
END
$$;

CREATE FUNCTION rds_aurora.standin_convert_sharded(relation regclass, keys text[], collocate_with text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    PERFORM rds_aurora.standin_check_convertible(relation);
    PERFORM rds_aurora.standin_shard(relation, keys, collocate_with);
END
$$;

CREATE FUNCTION rds_aurora.standin_convert_reference(relation regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    PERFORM rds_aurora.standin_check_convertible(relation);
    PERFORM rds_aurora.standin_make_reference(relation);
END
$$;

CREATE PROCEDURE rds_aurora.limitless_alter_table_type_sharded(
    table_name text, shard_key text[], collocate_with text DEFAULT NULL)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rds_aurora.standin_convert_sharded(rds_aurora.standin_find(table_name), shard_key,
                                               rds_aurora.standin_qualified(collocate_with));
END
$$;

CREATE PROCEDURE rds_aurora.limitless_alter_table_type_reference(table_name text)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM rds_aurora.standin_convert_reference(rds_aurora.standin_find(table_name));
END
$$;

-- The same table name with its schema, so that functions with a fixed search_path find it; NULL stays NULL.
CREATE FUNCTION rds_aurora.standin_qualified(name text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE name OPERATOR(pg_catalog.<>) '' AND c.oid OPERATOR(pg_catalog.=) rds_aurora.standin_find(name)
$$;

-- Functions registered to run on one shard. Here there is one server, so registering is all it does.
CREATE TABLE rds_aurora.standin_distributed_function (
    prototype text PRIMARY KEY, shard_key_arguments text[] NOT NULL, sharded_table text NOT NULL
);
CREATE VIEW rds_aurora.limitless_distributed_functions AS TABLE rds_aurora.standin_distributed_function;
CREATE FUNCTION rds_aurora.limitless_distribute_function(prototype text, shard_key_arguments text[], sharded_table text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    PERFORM prototype::regprocedure;
    IF rds_aurora.standin_type(rds_aurora.standin_find(sharded_table)) <> 'sharded' THEN
        PERFORM rds_aurora.standin_refuse(format('table "%s" is not a sharded table', sharded_table));
    END IF;
    INSERT INTO rds_aurora.standin_distributed_function VALUES (prototype, shard_key_arguments, sharded_table)
    ON CONFLICT ON CONSTRAINT standin_distributed_function_pkey DO NOTHING;
    RETURN true;
END
$$;

-- The Limitless stand-in, part 2: refuse what Limitless refuses, and shard tables as they are created.
-- Texts are those of Limitless where they are known; every refusal has SQLSTATE 0A000, feature_not_supported.
-- What the command did is judged from the catalog when it ends. Only forms that leave no trace there are looked
-- for in the text of the statement.

CREATE FUNCTION rds_aurora.standin_looking_away() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT coalesce(current_setting('rds_aurora.standin_inside', true), '') = 'on'
$$;

CREATE FUNCTION rds_aurora.standin_before_ddl() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    statement text := current_query();
    extension_script boolean := statement ~* '\m(CREATE|ALTER)\s+EXTENSION\M';
BEGIN
    IF rds_aurora.standin_looking_away() THEN
        RETURN;
    END IF;
    IF TG_TAG = ANY (string_to_array('@refused_commands@', ',')) AND NOT extension_script THEN
        PERFORM rds_aurora.standin_refuse(TG_TAG || ' is not supported');
    END IF;
    IF TG_TAG = 'ALTER TABLE' THEN
        IF statement ~* '\mALTER\s+TABLE\s+(IF\s+EXISTS\s+)?ONLY\M' THEN
            PERFORM rds_aurora.standin_refuse('ALTER TABLE ONLY is not supported');
        ELSIF statement ~* '\mALTER\s+TABLE\s+[^;]*\mRENAME\s+CONSTRAINT\M' THEN
            PERFORM rds_aurora.standin_refuse('ALTER TABLE RENAME CONSTRAINT is not supported');
        ELSIF statement ~* '\mALTER\s+TABLE\s+[^;]*\m(ATTACH|DETACH)\s+PARTITION\M' THEN
            PERFORM rds_aurora.standin_refuse('ALTER TABLE ATTACH or DETACH PARTITION is not supported');
        ELSIF statement ~* '\mALTER\s+TABLE\s+[^;]*\mTYPE\M[^;,]*\mUSING\M' THEN
            PERFORM rds_aurora.standin_refuse('USING in ALTER COLUMN TYPE is not supported');
        ELSIF statement ~* '\mALTER\s+TABLE\s+[^;]*\mSET\s+(STATISTICS|COMPRESSION)\M' THEN
            PERFORM rds_aurora.standin_refuse('ALTER COLUMN SET STATISTICS or COMPRESSION is not supported');
        ELSIF statement ~* '\mALTER\s+TABLE\s+[^;]*\mDROP\s+EXPRESSION\M' THEN
            PERFORM rds_aurora.standin_refuse('ALTER COLUMN DROP EXPRESSION is not supported');
        END IF;
    ELSIF TG_TAG = 'CREATE INDEX' AND statement ~* '\mCREATE\s+UNIQUE\s+INDEX\s+CONCURRENTLY\M' THEN
        PERFORM rds_aurora.standin_refuse('CREATE UNIQUE INDEX CONCURRENTLY is not supported');
    ELSIF TG_TAG = 'ALTER EXTENSION' AND statement ~* '\mALTER\s+EXTENSION\s+\S+\s+(ADD|DROP)\M' THEN
        PERFORM rds_aurora.standin_refuse('ALTER EXTENSION ADD or DROP is not supported');
    END IF;
END
$$;

-- Foreign keys: which pairs of table types, with which options (AWS, "DDL limitations", foreign keys).
CREATE FUNCTION rds_aurora.standin_check_foreign_keys(relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    found record;
    child rds_aurora.standin_table;
    parent rds_aurora.standin_table;
    child_type text;
    parent_type text;
BEGIN
    FOR found IN
        SELECT f.*, rds_aurora.standin_names(f.conrelid, f.conkey) AS columns,
               rds_aurora.standin_names(f.confrelid, f.confkey) AS parent_columns
        FROM pg_constraint f WHERE f.contype = 'f' AND f.conrelid = relation AND f.conparentid = 0
    LOOP
        SELECT * INTO child FROM rds_aurora.standin_table WHERE local_oid = found.conrelid;
        SELECT * INTO parent FROM rds_aurora.standin_table WHERE local_oid = found.confrelid;
        child_type := coalesce(child.table_type, 'standard');
        parent_type := coalesce(parent.table_type, 'standard');
        IF NOT (child_type = parent_type OR (child_type = 'sharded' AND parent_type = 'reference')) THEN
            PERFORM rds_aurora.standin_refuse(format(
                'foreign key %I from %s table %s to %s table %s is not supported', found.conname, child_type, relation,
                parent_type, found.confrelid::regclass));
        END IF;
        IF child_type = 'sharded' AND parent_type = 'sharded' THEN
            IF child.collocation_id <> parent.collocation_id THEN
                PERFORM rds_aurora.standin_refuse(format(
                    'foreign key %I between sharded tables that are not collocated is not supported', found.conname));
            END IF;
            -- Key columns must refer to key columns, one to one.
            IF (SELECT count(*) FROM unnest(found.columns, found.parent_columns) AS u (mine, theirs)
                JOIN unnest(child.shard_key, parent.shard_key) AS k (mine, theirs) USING (mine, theirs))
               < cardinality(child.shard_key) THEN
                PERFORM rds_aurora.standin_refuse(format('foreign key %I does not include the whole shard key', found.conname));
            END IF;
        END IF;
        IF found.confdeltype = 'd' OR (child_type = 'sharded' AND found.confdeltype = 'n') THEN
            PERFORM rds_aurora.standin_refuse(format('foreign key %I: ON DELETE %s is not supported', found.conname,
                CASE found.confdeltype WHEN 'd' THEN 'SET DEFAULT' ELSE 'SET NULL' END));
        END IF;
        IF found.confupdtype = 'd' OR (child_type = 'sharded' AND found.confupdtype = 'n')
           OR (child_type <> 'standard' AND found.confupdtype = 'c') THEN
            PERFORM rds_aurora.standin_refuse(format('foreign key %I: ON UPDATE %s is not supported', found.conname,
                CASE found.confupdtype WHEN 'd' THEN 'SET DEFAULT' WHEN 'n' THEN 'SET NULL' ELSE 'CASCADE' END));
        END IF;
        IF child_type = 'sharded' AND NOT found.convalidated THEN
            PERFORM rds_aurora.standin_refuse(format('foreign key %I: NOT VALID is not supported', found.conname));
        END IF;
    END LOOP;
END
$$;

-- What no table may have, of any type.
CREATE FUNCTION rds_aurora.standin_check_table(relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    t pg_class;
    bad text;
BEGIN
    SELECT * INTO t FROM pg_class WHERE oid = relation;
    bad := CASE
        WHEN t.relpersistence = 't' THEN 'TEMPORARY TABLE'
        WHEN t.relispartition THEN 'PARTITION OF'
        WHEN t.relkind = 'p' AND rds_aurora.standin_type(relation) <> 'sharded' THEN 'PARTITION BY'
        WHEN EXISTS (SELECT FROM pg_inherits WHERE inhrelid = relation) THEN 'INHERITS'
        WHEN t.reloptions IS NOT NULL THEN 'STORAGE PARAMETER'
        WHEN t.reltablespace <> 0 THEN 'TABLESPACE'
        WHEN EXISTS (SELECT FROM pg_constraint WHERE conrelid = relation AND contype = 'x') THEN 'EXCLUSION CONSTRAINT'
    END;
    IF bad IS NOT NULL THEN
        PERFORM rds_aurora.standin_refuse(bad || ' is not supported');
    END IF;
    -- Newer servers keep options of their own there for every column: only those that ALTER COLUMN SET takes count.
    SELECT CASE WHEN a.attidentity <> '' THEN 'IDENTITY COLUMN' ELSE 'ALTER COLUMN SET or RESET options' END INTO bad
    FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
      AND (a.attidentity <> ''
           OR EXISTS (SELECT FROM unnest(a.attoptions) o WHERE o ~ '^n_distinct(_inherited)?=')) LIMIT 1;
    IF bad IS NOT NULL THEN
        PERFORM rds_aurora.standin_refuse(bad || ' is not supported');
    END IF;
    IF rds_aurora.standin_type(relation) = 'reference'
       AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = relation AND contype = 'p') THEN
        PERFORM rds_aurora.standin_refuse(format('dropping the primary key of reference table %s is not supported', relation));
    END IF;
END
$$;

-- Give a sequence chunks, whatever CACHE it was declared with; a later ALTER SEQUENCE keeps them.
CREATE FUNCTION rds_aurora.standin_chunk(sequence regclass, declared bigint, size bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET rds_aurora.standin_inside = 'on' AS $$
BEGIN
    INSERT INTO rds_aurora.standin_sequence VALUES (sequence, declared, size)
    ON CONFLICT (local_oid) DO UPDATE SET cache = EXCLUDED.cache, chunk = EXCLUDED.chunk;
    EXECUTE format('ALTER SEQUENCE %s CACHE %s', sequence, size);
END
$$;

CREATE FUNCTION rds_aurora.standin_check_sequence(sequence regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    s pg_sequence;
    given rds_aurora.standin_sequence;
    chunk bigint := coalesce(nullif(current_setting('rds_aurora.limitless_sequence_chunk_size', true), ''), '250000')::bigint;
    routers bigint := (SELECT count(*) FROM rds_aurora.standin_subcluster WHERE subcluster_type = 'router');
BEGIN
    SELECT * INTO s FROM pg_sequence WHERE seqrelid = sequence;
    SELECT * INTO given FROM rds_aurora.standin_sequence WHERE local_oid = sequence;
    IF s.seqcache = given.chunk THEN  -- set here: no other CACHE was declared since
        s.seqcache := given.cache;
    END IF;
    IF s.seqcycle THEN
        PERFORM rds_aurora.standin_refuse('CYCLE is not supported');
    ELSIF (SELECT relpersistence FROM pg_class WHERE oid = sequence) <> 'p' THEN
        PERFORM rds_aurora.standin_refuse('TEMPORARY or UNLOGGED SEQUENCE is not supported');
    ELSIF s.seqcache >= chunk THEN
        PERFORM rds_aurora.standin_refuse(format('CACHE of sequence %s must be smaller than the chunk size %s', sequence, chunk));
    ELSIF (s.seqmax::numeric - s.seqmin) / abs(s.seqincrement) < 2 * chunk * routers THEN
        RAISE EXCEPTION 'not enough values to create distributed sequence' USING ERRCODE = 'feature_not_supported';
    END IF;
    PERFORM rds_aurora.standin_chunk(sequence, s.seqcache, coalesce(given.chunk, chunk));
END
$$;

-- A table has just been created: shard it, make it a reference table, or leave it standard, as the session asked.
CREATE FUNCTION rds_aurora.standin_place(relation regclass, tag text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    mode text := coalesce(nullif(current_setting('rds_aurora.limitless_create_table_mode', true), ''), 'standard');
    keys text := coalesce(nullif(current_setting('rds_aurora.limitless_create_table_shard_key', true), ''), '{}');
    collocate_with text := current_setting('rds_aurora.limitless_create_table_collocate_with', true);
    schema text := (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation);
BEGIN
    IF mode NOT IN ('standard', 'sharded', 'reference') THEN
        RAISE EXCEPTION 'invalid value for parameter "rds_aurora.limitless_create_table_mode": "%"', mode
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF mode <> 'standard' AND EXISTS (SELECT FROM pg_constraint WHERE conrelid = relation AND contype = 'f') THEN
        PERFORM rds_aurora.standin_refuse(format('FOREIGN KEY in CREATE TABLE of a %s table is not supported', mode),
                                          'Add it afterwards with ALTER TABLE ... ADD CONSTRAINT.');
    END IF;
    IF mode = 'reference' THEN
        IF tag <> 'CREATE TABLE' THEN
            PERFORM rds_aurora.standin_refuse(tag || ' of a reference table is not supported');
        END IF;
        PERFORM rds_aurora.standin_make_reference(relation);
    ELSIF mode = 'sharded' THEN
        -- The neighbour's name counts in the schema of the new table when it has no schema of its own.
        IF coalesce(collocate_with, '') <> '' AND cardinality(parse_ident(collocate_with)) = 1
           AND to_regclass(format('%I.', schema) || collocate_with) IS NOT NULL THEN
            collocate_with := format('%I.', schema) || collocate_with;
        END IF;
        PERFORM rds_aurora.standin_shard(relation, keys::text[], collocate_with);
    END IF;
END
$$;

-- The volatility a function was created with stays its own.
CREATE FUNCTION rds_aurora.standin_check_function(function oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    now "char" := (SELECT provolatile FROM pg_proc WHERE oid = function);
BEGIN
    INSERT INTO rds_aurora.standin_function VALUES (function, now) ON CONFLICT DO NOTHING;
    IF EXISTS (SELECT FROM rds_aurora.standin_function f WHERE f.local_oid = function AND f.volatility <> now) THEN
        PERFORM rds_aurora.standin_refuse('changing the volatility of a function is not supported', 'Drop and create it.');
    END IF;
END
$$;

-- Slices belong to the owner of their table.
CREATE FUNCTION rds_aurora.standin_own_slices(relation regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET rds_aurora.standin_inside = 'on' AS $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT s.oid::regclass AS slice, pg_get_userbyid(t.relowner) AS owner
                   FROM pg_inherits i JOIN pg_class s ON s.oid = i.inhrelid JOIN pg_class t ON t.oid = i.inhparent
                  WHERE i.inhparent = relation AND s.relowner <> t.relowner LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO %I', found.slice, found.owner);
    END LOOP;
END
$$;

CREATE FUNCTION rds_aurora.standin_after_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    done record;
    supported text[] := string_to_array('@supported_extensions@', ',');
BEGIN
    IF rds_aurora.standin_looking_away() THEN
        RETURN;
    END IF;
    FOR done IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
        IF done.in_extension THEN
            CONTINUE;
        ELSIF TG_TAG = 'CREATE SCHEMA' AND done.object_type <> 'schema' THEN
            PERFORM rds_aurora.standin_refuse('CREATE SCHEMA with schema elements is not supported');
        ELSIF done.command_tag = 'CREATE EXTENSION' AND NOT done.object_identity = ANY (supported)
              AND NOT trim('"' FROM done.object_identity) = ANY (supported) THEN
            PERFORM rds_aurora.standin_refuse(format('extension %s is not supported', done.object_identity));
        ELSIF done.object_type = 'table' AND done.command_tag IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO') THEN
            PERFORM rds_aurora.standin_check_table(done.objid);
            PERFORM rds_aurora.standin_place(done.objid, done.command_tag);
            -- A sharded table is another relation now; it has no foreign keys yet.
            PERFORM rds_aurora.standin_check_foreign_keys(c.oid::regclass) FROM pg_class c WHERE c.oid = done.objid;
        ELSIF done.object_type = 'table' AND done.command_tag = 'ALTER TABLE'
              AND EXISTS (SELECT FROM pg_class WHERE oid = done.objid) THEN
            PERFORM rds_aurora.standin_check_table(done.objid);
            PERFORM rds_aurora.standin_check_foreign_keys(done.objid);
            PERFORM rds_aurora.standin_own_slices(done.objid);
        ELSIF done.object_type = 'sequence' AND done.command_tag IN ('CREATE SEQUENCE', 'ALTER SEQUENCE') THEN
            PERFORM rds_aurora.standin_check_sequence(done.objid);
        ELSIF done.command_tag IN ('CREATE FUNCTION', 'ALTER FUNCTION') THEN
            PERFORM rds_aurora.standin_check_function(done.objid);
        END IF;
    END LOOP;
END
$$;

CREATE FUNCTION rds_aurora.standin_forget() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    DELETE FROM rds_aurora.standin_table t USING pg_event_trigger_dropped_objects() d
    WHERE d.classid = 'pg_class'::regclass AND d.objid = t.local_oid AND d.objsubid = 0;  -- not for one column
    DELETE FROM rds_aurora.standin_sequence s USING pg_event_trigger_dropped_objects() d
    WHERE d.classid = 'pg_class'::regclass AND d.objid = s.local_oid;
    DELETE FROM rds_aurora.standin_function f USING pg_event_trigger_dropped_objects() d
    WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.local_oid;
END
$$;

CREATE EVENT TRIGGER standin_before_ddl ON ddl_command_start EXECUTE FUNCTION rds_aurora.standin_before_ddl();
CREATE EVENT TRIGGER standin_after_ddl ON ddl_command_end EXECUTE FUNCTION rds_aurora.standin_after_ddl();
CREATE EVENT TRIGGER standin_forget ON sql_drop EXECUTE FUNCTION rds_aurora.standin_forget();

-- Not supported, and plain functions here: a call that no router has seen has no right to them.
DO $$
DECLARE
    refused regprocedure;
BEGIN
    FOR refused IN SELECT oid FROM pg_catalog.pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY (string_to_array('@refused_functions@', ','))
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', refused);
    END LOOP;
END
$$;

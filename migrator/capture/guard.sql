-- Refuses what would slip past the journal while capture is on. Created once, with the first captured table.

CREATE OR REPLACE FUNCTION migrator.refuse_truncate() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'TRUNCATE of %.% is refused while it is being migrated', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'MG002',
              HINT = 'Use DELETE (it is journalled), or undo the dual write first: migrator undo dual-write.';
END $$;

-- The captured table an object belongs to: itself, or the root of its partition tree.
CREATE OR REPLACE FUNCTION migrator.captured_root(relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.qualified
      FROM (SELECT coalesce(pg_partition_root(relation), relation) AS oid) r
      JOIN pg_class c ON c.oid = r.oid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN migrator.captured_table t ON t.descriptor ->> 'schema' = n.nspname AND t.descriptor ->> 'name' = c.relname
$$;

-- Bring the capture triggers of the leaves of *root* in line with its partition tree; returns how many leaves came
-- or went. A table that holds our triggers and left the tree is a leaf that was detached. Every key in such a leaf is
-- journalled: its rows come or go without one of them being written.
CREATE OR REPLACE FUNCTION migrator.follow_leaves(root text) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
DECLARE
    captured record;
    leaf record;
    changed int := 0;
    before text := current_setting('migrator.ddl', true);
BEGIN
    SELECT t.table_id, c.oid INTO captured
      FROM migrator.captured_table t
      JOIN pg_namespace n ON n.nspname = t.descriptor ->> 'schema'
      JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.descriptor ->> 'name'
     WHERE t.qualified = root;
    FOR leaf IN
        SELECT p.relid, p.isleaf FROM pg_partition_tree(captured.oid) p
         WHERE NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = p.relid AND g.tgname = 'migrator_capture_insert')
    LOOP
        PERFORM migrator.capture_leaf(root, leaf.relid);
        IF leaf.isleaf THEN
            EXECUTE format('SELECT migrator.capture_%s_leaf(%L::regclass)', captured.table_id, leaf.relid);
        END IF;
        changed := changed + 1;
    END LOOP;
    FOR leaf IN
        SELECT g.tgrelid::regclass AS relid, NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = g.tgrelid) AS isleaf
          FROM pg_trigger g
         WHERE g.tgname = 'migrator_capture_insert'
           AND g.tgfoid = format('migrator.capture_%s_insert()', captured.table_id)::regprocedure
           AND g.tgrelid <> captured.oid AND g.tgrelid NOT IN (SELECT relid FROM pg_partition_tree(captured.oid))
    LOOP
        IF leaf.isleaf THEN
            EXECUTE format('SELECT migrator.capture_%s_leaf(%L::regclass)', captured.table_id, leaf.relid);
        END IF;
        PERFORM set_config('migrator.ddl', 'allowed', true);
        EXECUTE format('DROP TRIGGER migrator_capture_insert ON %s', leaf.relid);
        EXECUTE format('DROP TRIGGER migrator_capture_update ON %s', leaf.relid);
        EXECUTE format('DROP TRIGGER migrator_capture_delete ON %s', leaf.relid);
        EXECUTE format('DROP TRIGGER IF EXISTS migrator_guard ON %s', leaf.relid);
        PERFORM set_config('migrator.ddl', coalesce(before, ''), true);
        changed := changed + 1;
    END LOOP;
    RETURN changed;
END $$;

-- A trigger that fires before an update may change a key that the statement does not name: then our row trigger must
-- look at every update of *relation*. Whether it is enabled does not matter, as that changes without a look back.
CREATE OR REPLACE FUNCTION migrator.widen_rekey(relation regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ours regprocedure;
    before text := current_setting('migrator.ddl', true);
BEGIN
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation);  -- as CREATE TRIGGER does
    SELECT tgfoid INTO ours FROM pg_trigger
     WHERE tgrelid = relation AND tgname = 'migrator_capture_rekey' AND tgattr <> ''
       AND EXISTS (SELECT FROM pg_trigger
                    WHERE tgrelid = relation AND NOT tgisinternal AND tgtype & 19 = 19);  -- row, before, update
    IF ours IS NULL THEN
        RETURN;
    END IF;
    PERFORM set_config('migrator.ddl', 'allowed', true);
    EXECUTE format('CREATE OR REPLACE TRIGGER migrator_capture_rekey AFTER UPDATE ON %s FOR EACH ROW'
                   ' EXECUTE FUNCTION %s', relation, ours);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER migrator_capture_rekey', relation);
    PERFORM set_config('migrator.ddl', coalesce(before, ''), true);
END $$;

CREATE OR REPLACE FUNCTION migrator.guard_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    command record;
    root text;
BEGIN
    IF current_setting('migrator.ddl', true) = 'allowed' THEN
        RETURN;  -- the tool's own statements
    END IF;
    FOR command IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
        IF command.object_type = 'trigger' THEN
            SELECT migrator.captured_root(t.tgrelid) INTO root
              FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
             WHERE t.oid = command.objid
               AND (t.tgname LIKE 'migrator\_%' OR p.pronamespace = 'migrator'::regnamespace);
            IF root IS NOT NULL THEN
                RAISE EXCEPTION '% of capture''s own trigger on % is refused', command.command_tag, root
                    USING ERRCODE = 'MG003', HINT = 'Undo the dual write first: migrator undo dual-write.';
            END IF;
            PERFORM migrator.widen_rekey(tgrelid) FROM pg_trigger t
              WHERE t.oid = command.objid AND EXISTS (SELECT FROM pg_trigger o
                                                       WHERE o.tgrelid = t.tgrelid AND o.tgname = 'migrator_capture_rekey');
            CONTINUE;
        END IF;
        IF command.object_type NOT IN ('table', 'table column', 'table constraint') THEN
            CONTINUE;
        END IF;
        root := migrator.captured_root(command.objid);
        IF root IS NULL THEN
            -- A statement aimed at the parent would fire no trigger of the child.
            SELECT i.inhrelid::regclass::text INTO root
              FROM pg_inherits i
              JOIN pg_class c ON c.oid = i.inhrelid
              JOIN pg_namespace n ON n.oid = c.relnamespace
              JOIN migrator.captured_table t
                ON t.descriptor ->> 'schema' = n.nspname AND t.descriptor ->> 'name' = c.relname
             WHERE i.inhparent = command.objid;
            IF root IS NOT NULL THEN
                RAISE EXCEPTION 'making % a part of another table is refused while it is being migrated', root
                    USING ERRCODE = 'MG003', HINT = 'Undo the dual write first: migrator undo dual-write.';
            END IF;
            -- Rows of an heir show in the table, and are written without its triggers.
            SELECT migrator.captured_root(i.inhparent) INTO root FROM pg_inherits i WHERE i.inhrelid = command.objid;
            IF root IS NOT NULL THEN
                RAISE EXCEPTION 'a table that inherits from % is refused while that is being migrated', root
                    USING ERRCODE = 'MG003', HINT = 'Undo the dual write first: migrator undo dual-write.';
            END IF;
            CONTINUE;
        END IF;
        IF command.command_tag IN ('CREATE TABLE', 'ALTER TABLE') AND migrator.follow_leaves(root) > 0 THEN
            CONTINUE;  -- a partition was made, attached or detached: such a command does nothing else
        END IF;
        IF command.command_tag <> 'CREATE TABLE' THEN
            RAISE EXCEPTION '% on % is refused while it is being migrated', command.command_tag, root
                USING ERRCODE = 'MG003',
                      HINT = 'A column or an index may come or go on both sides: migrator schema apply FILE. Everything'
                             ' else before dual write begins or after it ends, or undo it first: migrator undo dual-write.';
        END IF;
    END LOOP;
END $$;

-- DETACH PARTITION ... CONCURRENTLY commits in between: until the second transaction the leaf's rows are in Limitless and
-- not in classic's table any more, for as long as the oldest reader runs. No search_path is set, so that the name means
-- what it means to the session; hence every name and operator here says where it comes from.
CREATE OR REPLACE FUNCTION migrator.guard_detach() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    named text[] := pg_catalog.regexp_match(
        pg_catalog.current_query(),
        'alter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?(.*?)\s+detach\s+partition\s.*\sconcurrently', 'i');
    root text;
BEGIN
    IF named IS NULL THEN
        RETURN;
    END IF;
    BEGIN
        root := migrator.captured_root(pg_catalog.to_regclass(named[1])::pg_catalog.oid);
    EXCEPTION WHEN OTHERS THEN
        root := named[1];  -- a name we cannot read may be one of ours
    END;
    IF root IS NOT NULL THEN
        RAISE EXCEPTION 'DETACH PARTITION ... CONCURRENTLY of % is refused while it is being migrated', root
            USING ERRCODE = 'MG003',
                  HINT = 'Detach it without CONCURRENTLY, with a lock_timeout: its rows leave both sides at once.';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION migrator.guard_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    dropped record;
BEGIN
    IF current_setting('migrator.ddl', true) = 'allowed' THEN
        RETURN;
    END IF;
    FOR dropped IN SELECT * FROM pg_event_trigger_dropped_objects() LOOP
        IF dropped.object_type = 'table'
           AND EXISTS (SELECT FROM migrator.captured_table
                        WHERE descriptor ->> 'schema' = dropped.schema_name
                          AND descriptor ->> 'name' = dropped.object_name) THEN
            RAISE EXCEPTION 'dropping % is refused while it is being migrated', dropped.object_identity
                USING ERRCODE = 'MG003', HINT = 'Undo the dual write first: migrator undo dual-write.';
        END IF;
        IF dropped.object_type = 'trigger' AND dropped.address_names[3] LIKE 'migrator\_%' THEN
            RAISE EXCEPTION 'dropping % is refused while it is being migrated', dropped.object_identity
                USING ERRCODE = 'MG003',
                      HINT = 'A partition: detach it first, its rows are journalled then. Everything else: undo the dual'
                             ' write first: migrator undo dual-write.';
        END IF;
    END LOOP;
END $$;

-- Put the capture triggers of a partition root on one of its leaves, in the transaction that makes the leaf.
CREATE OR REPLACE FUNCTION migrator.capture_leaf(root text, leaf regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    definition record;
    before text := current_setting('migrator.ddl', true);
BEGIN
    PERFORM set_config('migrator.ddl', 'allowed', true);
    FOR definition IN
        SELECT t.tgname, pg_get_triggerdef(t.oid) AS text, t.tgrelid::regclass::text AS owner
          FROM pg_trigger t
          JOIN pg_class c ON c.oid = t.tgrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN migrator.captured_table k ON k.descriptor ->> 'schema' = n.nspname AND k.descriptor ->> 'name' = c.relname
         WHERE k.qualified = root AND t.tgname LIKE 'migrator\_%' AND NOT t.tgisinternal
    LOOP
        EXECUTE replace(definition.text, ' ON ' || definition.owner || ' ', ' ON ' || leaf::text || ' ');
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', leaf, definition.tgname);
    END LOOP;
    PERFORM set_config('migrator.ddl', coalesce(before, ''), true);
END $$;

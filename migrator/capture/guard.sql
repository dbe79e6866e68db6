-- Refuses what would slip past the journal while capture is on. Created once, with the first captured table.

CREATE OR REPLACE FUNCTION migrator.refuse_truncate() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'TRUNCATE of %.% is refused while it is being migrated', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'MG002',
              HINT = 'Use DELETE (it is journalled), or undo the dual write first: migrator undo dual-write.';
END $$;

-- The captured table an object belongs to: itself, the root of its partition tree, or its index's table.
CREATE OR REPLACE FUNCTION migrator.captured_root(relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.qualified
      FROM (SELECT coalesce(pg_partition_root(relation), relation) AS oid) r
      JOIN pg_class c ON c.oid = r.oid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN migrator.captured_table t ON t.qualified = n.nspname || '.' || c.relname
$$;

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
        IF command.object_type = 'trigger' AND command.command_tag <> 'CREATE TRIGGER' THEN
            CONTINUE;
        END IF;
        IF command.object_type NOT IN ('table', 'table column', 'table constraint') THEN
            CONTINUE;
        END IF;
        root := migrator.captured_root(command.objid);
        IF root IS NULL THEN
            CONTINUE;
        END IF;
        IF command.command_tag = 'CREATE TABLE' THEN
            PERFORM migrator.capture_leaf(root, command.objid::regclass);  -- a new, empty partition
        ELSE
            RAISE EXCEPTION '% on % is refused while it is being migrated', command.command_tag, root
                USING ERRCODE = 'MG003',
                      HINT = 'Change both sides through the tool, or undo the dual write first: migrator undo dual-write.';
        END IF;
    END LOOP;
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
        IF (dropped.object_type = 'table'
            AND EXISTS (SELECT FROM migrator.captured_table
                         WHERE qualified = dropped.schema_name || '.' || dropped.object_name))
           OR (dropped.object_type = 'trigger' AND dropped.object_name LIKE 'migrator\_%') THEN
            RAISE EXCEPTION 'dropping % is refused while it is being migrated', dropped.object_identity
                USING ERRCODE = 'MG003', HINT = 'Undo the dual write first: migrator undo dual-write.';
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
         WHERE n.nspname || '.' || c.relname = root AND t.tgname LIKE 'migrator\_%' AND NOT t.tgisinternal
    LOOP
        EXECUTE replace(definition.text, ' ON ' || definition.owner || ' ', ' ON ' || leaf::text || ' ');
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', leaf, definition.tgname);
    END LOOP;
    PERFORM set_config('migrator.ddl', coalesce(before, ''), true);
END $$;

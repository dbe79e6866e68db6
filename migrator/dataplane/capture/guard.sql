-- The DDL guard. Refuses what would pass the journal, or change what a journalled row means, while capture is on. Needs shape.sql.
--
-- One rule instead of a list of commands: whatever leaves the captured shape (shape.sql) as it was may pass, everything
-- else is refused. So these pass, as they change neither rows nor what they mean: OWNER TO, GRANT, COMMENT, SECURITY LABEL,
-- ANALYZE, VACUUM, CLUSTER, SET STATISTICS, STORAGE, COMPRESSION, storage parameters, TABLESPACE, VALIDATE CONSTRAINT,
-- CREATE and ALTER INDEX, CREATE STATISTICS, policies, views, publications, ALTER COLLATION ... REFRESH VERSION, triggers of
-- the application made or dropped. Partitions may come and go, their rows are journalled.

-- A partition may be emptied: its keys are journalled as if it were dropped, under the lock that TRUNCATE holds.
CREATE OR REPLACE FUNCTION migrator.refuse_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
DECLARE
    number int := (SELECT t.table_id FROM migrator.captured_table t WHERE t.relid = pg_partition_root(TG_RELID) AND t.relid <> TG_RELID);
BEGIN
    IF number IS NOT NULL THEN
        IF (SELECT c.relkind = 'r' FROM pg_class c WHERE c.oid = TG_RELID) THEN
            PERFORM migrator.guard_isolation(TG_RELID);
            EXECUTE format('SELECT migrator.capture_%s_leaf(%L::regclass)', number, TG_RELID::regclass);
        END IF;
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'TRUNCATE of %.% is refused while it is being migrated', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'MG002',
              HINT = 'Use DELETE (it is journalled), or undo the dual write first: migrator undo dual-write.';
END $$;

-- Who runs this command: 'capture' itself, the tool ('allowed'), or any other session (''). A setting alone is no proof:
-- every session can set it. What the guard runs in an application's session it says in a table that only the tool writes.
CREATE OR REPLACE FUNCTION migrator.guard_mode() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM migrator.dropped_leaf l WHERE l.relid = 0 AND l.xid = pg_current_xact_id_if_assigned())
                THEN 'capture'
                WHEN current_setting('migrator.ddl', true) IN ('allowed', 'capture') AND pg_has_role(session_user, n.nspowner, 'MEMBER')
                THEN current_setting('migrator.ddl', true) ELSE '' END
      FROM pg_namespace n WHERE n.nspname = 'migrator'
$$;

-- Let the guard's own commands pass until guard_end gets what this returns. Called by functions with the tool's rights only.
CREATE OR REPLACE FUNCTION migrator.guard_begin() RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO migrator.dropped_leaf
    SELECT 0, pg_current_xact_id()
     WHERE NOT EXISTS (SELECT FROM migrator.dropped_leaf l WHERE l.relid = 0 AND l.xid = pg_current_xact_id());
    RETURN FOUND;
END $$;

CREATE OR REPLACE FUNCTION migrator.guard_end(begun boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF begun THEN
        DELETE FROM migrator.dropped_leaf l WHERE l.relid = 0 AND l.xid = pg_current_xact_id();
    END IF;
END $$;

-- The captured table a relation belongs to: itself, or the root of its partition tree.
CREATE OR REPLACE FUNCTION migrator.captured_root(relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.qualified FROM migrator.captured_table t
     WHERE t.relid IN (relation, pg_partition_root(relation)) ORDER BY t.relid <> relation LIMIT 1
$$;

-- What comes or leaves with a table is read with the transaction's snapshot: an old one does not see every row.
CREATE OR REPLACE FUNCTION migrator.guard_isolation(leaf regclass) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' AND pg_relation_size(leaf) > 0 THEN
        RAISE EXCEPTION 'a partition with rows (%) is not attached, detached, emptied or dropped at isolation level %', leaf,
                        current_setting('transaction_isolation')
            USING ERRCODE = 'MG003', HINT = 'Its rows are journalled, and all of them must be seen: use READ COMMITTED.';
    END IF;
END $$;

-- What is captured is read, and gets triggers, with the tool's rights: it has to be a member of the owner.
CREATE OR REPLACE FUNCTION migrator.guard_owner(relation regclass) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    owner name := (SELECT pg_get_userbyid(c.relowner) FROM pg_class c
                    WHERE c.oid = relation AND NOT pg_has_role(current_user, c.relowner, 'USAGE'));
BEGIN
    IF owner IS NOT NULL THEN
        RAISE EXCEPTION '% may not belong to % while it is being migrated', relation, owner
            USING ERRCODE = 'MG003', DETAIL = format('Role %s of the tool is no member of %s, so it could not follow the table.',
                                                     current_user, owner),
                  HINT = format('GRANT %I TO %I first, or keep the owner that it has.', owner, current_user);
    END IF;
END $$;

-- Bring the capture triggers of the leaves of *root* in line with its partition tree; returns how many leaves came
-- or went. A table that holds our triggers and left the tree is a leaf that was detached. Every key in such a leaf is
-- journalled: its rows come or go without one of them being written.
CREATE OR REPLACE FUNCTION migrator.follow_leaves(root text) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
DECLARE
    captured record;
    leaf record;
    came oid[] := '{}';
    changed int := 0;
    begun boolean;
BEGIN
    SELECT t.table_id, t.relid AS oid INTO captured FROM migrator.captured_table t WHERE t.qualified = root;
    FOR leaf IN
        SELECT p.relid, p.isleaf FROM pg_partition_tree(captured.oid) p
         WHERE NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = p.relid AND g.tgname = 'migrator_capture_insert')
    LOOP
        PERFORM migrator.guard_owner(leaf.relid);
        PERFORM migrator.capture_leaf(root, leaf.relid);
        IF leaf.isleaf THEN
            PERFORM migrator.guard_isolation(leaf.relid);
            EXECUTE format('SELECT migrator.capture_%s_leaf(%L::regclass)', captured.table_id, leaf.relid);
        END IF;
        came := came || leaf.relid::oid;
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
            PERFORM migrator.guard_isolation(leaf.relid);
            EXECUTE format('SELECT migrator.capture_%s_leaf(%L::regclass)', captured.table_id, leaf.relid);
        END IF;
        begun := migrator.guard_begin();
        EXECUTE format('DROP TRIGGER migrator_capture_insert ON %s', leaf.relid);
        EXECUTE format('DROP TRIGGER migrator_capture_update ON %s', leaf.relid);
        EXECUTE format('DROP TRIGGER migrator_capture_delete ON %s', leaf.relid);
        EXECUTE format('DROP TRIGGER IF EXISTS migrator_guard ON %s', leaf.relid);
        PERFORM migrator.guard_end(begun);
        DELETE FROM migrator.captured_shape s WHERE s.kind = 'table' AND s.object = leaf.relid;
        -- The inventory knows by it what is not a new table.
        INSERT INTO migrator.decision (who, kind, subject, after, reason)
        VALUES (session_user, 'partition.detached', leaf.relid, jsonb_build_object('oid', leaf.relid::oid::bigint), 'from ' || root);
        changed := changed + 1;
    END LOOP;
    IF came <> '{}' THEN
        PERFORM migrator.note_shape(came);
    END IF;
    RETURN changed;
END $$;

-- A trigger that fires before an update may change a key that the statement does not name: then our row trigger must
-- look at every update of *relation*. Whether it is enabled does not matter, as that changes without a look back.
CREATE OR REPLACE FUNCTION migrator.widen_rekey(relation regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ours regprocedure;
    begun boolean;
BEGIN
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation);  -- as CREATE TRIGGER does
    SELECT tgfoid INTO ours FROM pg_trigger
     WHERE tgrelid = relation AND tgname = 'migrator_capture_rekey' AND tgattr <> ''
       AND EXISTS (SELECT FROM pg_trigger
                    WHERE tgrelid = relation AND NOT tgisinternal AND tgtype & 19 = 19);  -- row, before, update
    IF ours IS NULL THEN
        RETURN;
    END IF;
    begun := migrator.guard_begin();
    EXECUTE format('CREATE OR REPLACE TRIGGER migrator_capture_rekey AFTER UPDATE ON %s FOR EACH ROW'
                   ' EXECUTE FUNCTION %s', relation, ours);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER migrator_capture_rekey', relation);
    PERFORM migrator.guard_end(begun);
    PERFORM migrator.note_facets(relation, '{capture}');
END $$;

-- Refuse *tag* if something is not as capture was built for it. What no longer exists is for guard_drop and the capture
-- watch: a database made from a dump has none of the oids that capture knows, and is not guarded.
CREATE OR REPLACE FUNCTION migrator.guard_shape(tag text, subject oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    change record;
BEGIN
    SELECT d.code, d.kind, split_part(d.name, ' (now ', 1) AS name, array_to_string(d.facets, ', ') AS facets INTO change
      FROM migrator.shape_differences() d
     WHERE (d.code = 'changed' OR (d.code = 'new' AND d.kind = 'table') OR d.code IN ('subscribed', 'key', 'narrow'))
       AND d.kind <> 'event trigger' AND (d.kind <> 'capture function' OR d.object = subject)
     ORDER BY d.object <> subject, d.kind <> 'table', d.code, d.name LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF change.code = 'subscribed' THEN
        RAISE EXCEPTION 'a subscription that feeds % is refused while it is being migrated', change.name
            USING ERRCODE = 'MG003', DETAIL = 'What a subscription writes fires no statement trigger, so it is not journalled.',
                  HINT = 'Let the application write here, or undo the dual write first: migrator undo dual-write.';
    ELSIF change.kind = 'table' THEN
        RAISE EXCEPTION '% on % is refused while it is being migrated', tag, change.name
            USING ERRCODE = 'MG003', DETAIL = 'It changes: ' || coalesce(nullif(change.facets, ''), change.code) || '.',
                  HINT = 'To change it on both sides: migrator schema apply FILE. Everything else before dual write begins or'
                         ' after it ends, or undo it first: migrator undo dual-write. If an earlier command changed it past'
                         ' the guard: migrator schema adopt.';
    ELSIF change.kind = 'capture function' THEN
        RAISE EXCEPTION '% of capture''s own function % is refused', tag, change.name
            USING ERRCODE = 'MG003', HINT = 'Undo the dual write first: migrator undo dual-write.';
    ELSE
        RAISE EXCEPTION '% is refused while tables that use the % % are being migrated', tag, change.kind, change.name
            USING ERRCODE = 'MG003', DETAIL = 'It changes: ' || change.facets || '.',
                  HINT = 'Limitless has it as it was, so values would mean something else there, or be refused. An enum gets a'
                         ' value on both sides: migrator schema apply FILE. Everything else before dual write begins or after it'
                         ' ends, or undo it first: migrator undo dual-write.';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION migrator.guard_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    command record;
    root text;
    mode text := migrator.guard_mode();
    subject oid;
BEGIN
    IF mode = 'capture' OR EXISTS (SELECT FROM migrator.capture_loss) THEN
        RETURN;  -- once capture is lost everything is copied again, and reinstalling it takes commands
    END IF;
    FOR command IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
        CONTINUE WHEN command.schema_name = 'pg_temp';  -- made by applications all day long
        subject := coalesce(subject, command.objid);
        IF command.object_type = 'trigger' THEN
            IF mode = '' THEN
                SELECT migrator.captured_root(t.tgrelid) INTO root
                  FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                 WHERE t.oid = command.objid
                   AND (t.tgname LIKE 'migrator\_%' OR p.pronamespace = 'migrator'::regnamespace);
                IF root IS NOT NULL THEN
                    RAISE EXCEPTION '% of capture''s own trigger on % is refused', command.command_tag, root
                        USING ERRCODE = 'MG003', HINT = 'Undo the dual write first: migrator undo dual-write.';
                END IF;
            END IF;
            IF mode = '' THEN
                SELECT migrator.captured_root(t.tgrelid) INTO root
                  FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                 WHERE t.oid = command.objid AND p.proname = 'repack_trigger';
                IF root IS NOT NULL THEN
                    RAISE EXCEPTION 'pg_repack of % is refused while it is being migrated', root
                        USING ERRCODE = 'MG003',
                              DETAIL = 'It gives the table another file, which to older snapshots looks empty: rows would be taken for deleted.',
                              HINT = 'Repack its indexes alone: pg_repack --only-indexes. For the table itself VACUUM FULL or CLUSTER,'
                                     ' which keep to snapshots and lock it, or wait until the migration is over.';
                END IF;
            END IF;
            PERFORM migrator.widen_rekey(tgrelid) FROM pg_trigger t
              WHERE t.oid = command.objid AND EXISTS (SELECT FROM pg_trigger o
                                                       WHERE o.tgrelid = t.tgrelid AND o.tgname = 'migrator_capture_rekey');
        ELSIF command.object_type IN ('table', 'table column', 'table constraint') THEN
            root := migrator.captured_root(command.objid);
            IF root IS NULL THEN
                CONTINUE;
            END IF;
            PERFORM migrator.guard_owner(command.objid::regclass);
            IF mode = 'allowed' THEN
                -- What the tool changes: never the name, the partitions, or whether capture is there.
                -- Partitions take part in what is said about their root, and are not among the commands.
                PERFORM migrator.note_facets(c.oid, '{columns,constraints}')
                   FROM pg_class c
                  WHERE c.oid = command.objid OR c.oid IN (SELECT t.relid FROM pg_partition_tree(command.objid) t);
            ELSIF command.command_tag IN ('CREATE TABLE', 'ALTER TABLE') THEN
                PERFORM migrator.follow_leaves(root);
            END IF;
        END IF;
    END LOOP;
    IF mode = '' AND subject IS NOT NULL THEN
        PERFORM migrator.guard_shape(TG_TAG, subject);
    END IF;
END $$;

-- A table that is written anew looks empty to every snapshot of before: a mirror would take its rows for deleted.
CREATE OR REPLACE FUNCTION migrator.guard_rewrite() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    root text := migrator.captured_root(pg_event_trigger_table_rewrite_oid());
BEGIN
    IF root IS NOT NULL AND migrator.guard_mode() = '' AND NOT EXISTS (SELECT FROM migrator.capture_loss) THEN
        RAISE EXCEPTION '% on % is refused while it is being migrated: it rewrites the whole table', TG_TAG, root
            USING ERRCODE = 'MG003',
                  HINT = 'Before dual write begins or after it ends, or undo it first: migrator undo dual-write.';
    END IF;
END $$;

-- DETACH PARTITION ... CONCURRENTLY commits in between: until the second transaction the leaf's rows are in Limitless and
-- not in classic's table any more, for as long as the oldest reader runs. No search_path is set, so that the name means
-- what it means to the session; hence every name and operator here says where it comes from, and literals with
-- backslashes begin with E: whether they are escapes elsewhere is the session's standard_conforming_strings.
CREATE OR REPLACE FUNCTION migrator.guard_detach() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    named pg_catalog.text[] := pg_catalog.regexp_match(
        pg_catalog.current_query(),
        E'alter\\s+table\\s+(?:if\\s+exists\\s+)?(?:only\\s+)?(.*?)\\s+detach\\s+partition\\s.*\\sconcurrently', 'i');
    root pg_catalog.text;
BEGIN
    IF named IS NULL THEN
        RETURN;
    END IF;
    BEGIN
        root := migrator.captured_root(pg_catalog.to_regclass(named[1])::pg_catalog.oid);
    EXCEPTION WHEN insufficient_privilege THEN
        RETURN;  -- a schema that the tool's role may not use, so it holds nothing that is captured
    WHEN OTHERS THEN
        root := named[1];  -- a name we cannot read may be one of ours
    END;
    IF root IS NOT NULL THEN
        RAISE EXCEPTION 'DETACH PARTITION ... CONCURRENTLY of % is refused while it is being migrated', root
            USING ERRCODE = 'MG003',
                  HINT = 'Detach it without CONCURRENTLY, with a lock_timeout: its rows leave both sides at once.';
    END IF;
END $$;

-- Journal every key of the leaves among *dropped* and below, before they go. They and their parents are locked as DROP
-- locks them, in its order, so nothing is written in between.
CREATE OR REPLACE FUNCTION migrator.note_leaves(dropped oid[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
DECLARE
    named record;
    leaf record;
BEGIN
    FOR named IN
        SELECT DISTINCT i.inhparent::regclass AS parent, i.inhrelid::regclass AS relid
          FROM pg_inherits i JOIN migrator.captured_shape s ON s.kind = 'table' AND s.object = i.inhrelid
         WHERE i.inhrelid = ANY (dropped)
           AND NOT EXISTS (SELECT FROM migrator.dropped_leaf l
                            WHERE l.relid = i.inhrelid AND l.xid = pg_current_xact_id_if_assigned())
         ORDER BY 1, 2
    LOOP
        EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', named.parent);
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', named.relid);
        FOR leaf IN
            SELECT p.relid, p.isleaf, t.table_id
              FROM pg_partition_tree(named.relid) p
              JOIN migrator.captured_table t ON t.relid = pg_partition_root(named.relid)
        LOOP
            IF leaf.isleaf THEN
                PERFORM migrator.guard_isolation(leaf.relid);
                EXECUTE format('SELECT migrator.capture_%s_leaf(%L::regclass)', leaf.table_id, leaf.relid);
            END IF;
            INSERT INTO migrator.dropped_leaf VALUES (leaf.relid, pg_current_xact_id());
        END LOOP;
    END LOOP;
END $$;

-- DROP TABLE of partitions, as retention does it. Their rows can be read only before, and what will be dropped says the
-- statement alone: the application's, or the one that a function runs, which the call stack quotes. More names than that
-- do no harm, as a key is journalled to be looked at; a leaf whose name is not found is refused by guard_drop. No
-- search_path is set, so that a name means what it means to the session. Only who may drop a leaf makes it locked here.
CREATE OR REPLACE FUNCTION migrator.guard_leaf() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    stack pg_catalog.text;
    part pg_catalog.text;
    item pg_catalog.text;
    relation pg_catalog.oid;
    found pg_catalog.oid[] := '{}';
    word CONSTANT pg_catalog.text := E'(?:"(?:[^"]|"")+"|[^\\s",.;()]+)';
    name CONSTANT pg_catalog.text := pg_catalog.concat(word, E'(?:\\s*\\.\\s*', word, ')*');
BEGIN
    IF migrator.guard_mode() OPERATOR(pg_catalog.<>) '' THEN
        RETURN;
    END IF;
    GET DIAGNOSTICS stack = PG_CONTEXT;
    -- The stack puts a statement between quotes: the last one of a line may be its own.
    stack := pg_catalog.concat_ws(E'\n;', stack, pg_catalog.regexp_replace(stack, '"$', '', 'ng'), pg_catalog.current_query());
    stack := pg_catalog.regexp_replace(pg_catalog.regexp_replace(stack, E'/\\*.*?\\*/', ' ', 'g'), E'--[^\\n]*', ' ', 'g');
    FOR part IN
        SELECT m[1] FROM pg_catalog.regexp_matches(stack, pg_catalog.concat(E'\\mdrop\\s+table\\s+(?:if\\s+exists\\s+)?(',
                                                               name, E'(?:\\s*,\\s*', name, ')*)'), 'gi') m
    LOOP
        FOR item IN SELECT m[1] FROM pg_catalog.regexp_matches(part, pg_catalog.concat('(', name, ')'), 'g') m LOOP
            BEGIN
                relation := pg_catalog.to_regclass(item);
                IF relation IS NULL THEN  -- quoted by another language than English
                    relation := pg_catalog.to_regclass(pg_catalog.rtrim(item, '«»„“”‘’'));
                END IF;
                IF EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
                            WHERE c.oid OPERATOR(pg_catalog.=) relation
                              AND (pg_catalog.pg_has_role(session_user, c.relowner, 'USAGE')
                                   OR pg_catalog.pg_has_role(session_user, n.nspowner, 'USAGE'))) THEN
                    found := pg_catalog.array_append(found, relation);
                END IF;
            EXCEPTION WHEN invalid_name OR syntax_error OR undefined_object OR feature_not_supported THEN
                NULL;  -- no name after all
            WHEN insufficient_privilege THEN
                NULL;  -- a schema that the tool's role may not use, so it holds nothing that is captured
            END;
        END LOOP;
    END LOOP;
    PERFORM migrator.note_leaves(found);
END $$;

CREATE OR REPLACE FUNCTION migrator.guard_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    dropped record;
    gone text[] := '{}';  -- leaves whose rows are journalled
    subject oid;
    named text;
BEGIN
    IF migrator.guard_mode() <> '' OR EXISTS (SELECT FROM migrator.capture_loss) THEN
        RETURN;
    END IF;
    FOR dropped IN
        SELECT d.*, s.kind, s.name,
               EXISTS (SELECT FROM migrator.dropped_leaf l WHERE l.relid = d.objid AND l.xid = pg_current_xact_id_if_assigned())
                   AS journalled
          FROM pg_event_trigger_dropped_objects() d
          LEFT JOIN migrator.captured_shape s
            ON s.object = d.objid
           AND d.classid = CASE s.kind WHEN 'table' THEN 'pg_class' WHEN 'type' THEN 'pg_type' WHEN 'schema' THEN 'pg_namespace'
                                       WHEN 'collation' THEN 'pg_collation' WHEN 'extension' THEN 'pg_extension'
                                       WHEN 'event trigger' THEN 'pg_event_trigger' ELSE 'pg_proc' END::regclass
         WHERE NOT d.is_temporary
         ORDER BY d.object_type <> 'table'
    LOOP
        subject := coalesce(subject, dropped.objid);
        named := format('%s.%s', dropped.address_names[1], dropped.address_names[2]);
        IF dropped.kind = 'table' AND dropped.objsubid = 0 AND dropped.journalled THEN
            gone := gone || named;
            DELETE FROM migrator.captured_shape s WHERE s.kind = 'table' AND s.object = dropped.objid;
            DELETE FROM migrator.dropped_leaf l WHERE l.relid = dropped.objid;
        ELSIF dropped.kind = 'table' AND dropped.objsubid = 0 THEN
            RAISE EXCEPTION 'dropping % is refused while it is being migrated', dropped.object_identity
                USING ERRCODE = 'MG003',
                      HINT = CASE WHEN EXISTS (SELECT FROM migrator.captured_table t WHERE t.relid = dropped.objid)
                                  THEN 'To drop it on both sides: migrator schema apply FILE; or undo the dual write first:'
                                       ' migrator undo dual-write.'
                                  ELSE 'A partition: drop it by DROP TABLE and its name, or detach it first; its rows are'
                                       ' journalled then.' END;
        ELSIF dropped.kind IS NOT NULL THEN
            RAISE EXCEPTION 'dropping % is refused while % is being migrated', dropped.object_identity,
                            CASE WHEN dropped.kind = 'table' THEN dropped.name ELSE 'a table that needs it' END
                USING ERRCODE = 'MG003',
                      HINT = 'To drop a column on both sides: migrator schema apply FILE. Everything else before dual write'
                             ' begins or after it ends, or undo it first: migrator undo dual-write.';
        ELSIF dropped.object_type = 'trigger' AND dropped.address_names[3] LIKE 'migrator\_%' AND named <> ALL (gone) THEN
            RAISE EXCEPTION 'dropping % is refused while it is being migrated', dropped.object_identity
                USING ERRCODE = 'MG003', HINT = 'Undo the dual write first: migrator undo dual-write.';
        ELSIF dropped.object_type = 'trigger' THEN  -- one of the application's, which may have been disabled
            PERFORM migrator.note_facets(to_regclass(format('%I.%I', dropped.address_names[1], dropped.address_names[2])),
                                         '{triggers}')
              WHERE EXISTS (SELECT FROM migrator.captured_shape s WHERE s.kind = 'table' AND s.name = named
                                                                    AND s.facets ->> 'triggers' IS NOT NULL);
        ELSIF dropped.object_type = 'index' THEN
            PERFORM migrator.guard_index(dropped.object_identity);
        END IF;
    END LOOP;
    IF subject IS NOT NULL THEN
        PERFORM migrator.guard_shape(TG_TAG, subject);
    END IF;
END $$;

-- A unique index that mirrors and Limitless count on stays.
CREATE OR REPLACE FUNCTION migrator.guard_index(dropped text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    missing text;
BEGIN
    SELECT t.qualified INTO missing
      FROM migrator.captured_table t
     CROSS JOIN LATERAL jsonb_array_elements(t.descriptor -> 'unique_keys' || jsonb_build_array(t.descriptor -> 'key')) k (columns)
     WHERE EXISTS (SELECT FROM pg_class c WHERE c.oid = t.relid)
       AND NOT EXISTS (
           SELECT FROM pg_index i
            WHERE i.indrelid = t.relid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
              AND (SELECT jsonb_agg(a.attname ORDER BY o.n) FROM generate_series(0, i.indnkeyatts - 1) o (n)
                     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[o.n]) = k.columns)
     ORDER BY 1 LIMIT 1;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'dropping the unique index % is refused while % is being migrated', dropped, missing
            USING ERRCODE = 'MG003', DETAIL = 'Limitless keeps its own, and would refuse rows that classic accepts.',
                  HINT = 'To drop it on both sides: migrator schema apply FILE.';
    END IF;
END $$;

-- Put the capture triggers of a partition root on one of its leaves, in the transaction that makes the leaf.
CREATE OR REPLACE FUNCTION migrator.capture_leaf(root text, leaf regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    definition record;
    begun boolean := migrator.guard_begin();
BEGIN
    FOR definition IN
        SELECT t.tgname, pg_get_triggerdef(t.oid) AS text, t.tgrelid::regclass::text AS owner
          FROM migrator.captured_table k JOIN pg_trigger t ON t.tgrelid = k.relid
         WHERE k.qualified = root AND t.tgname LIKE 'migrator\_%' AND NOT t.tgisinternal
    LOOP
        EXECUTE replace(definition.text, ' ON ' || definition.owner || ' ', ' ON ' || leaf::text || ' ');
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', leaf, definition.tgname);
    END LOOP;
    PERFORM migrator.guard_end(begun);
END $$;

-- They take locks with the tool's rights; triggers and guards need no right to call them.
REVOKE ALL ON FUNCTION migrator.follow_leaves(text), migrator.capture_leaf(text, regclass), migrator.widen_rekey(regclass)
  FROM PUBLIC;

-- What decides which rows captured tables hold and what their values mean, object by object, as capture was built for it.
-- The guard compares with it after every command, the capture watch in the mirrors' cycles and in every gate. Objects are
-- known by oid. Only catalogs are read, no function that ignores the snapshot: a mirror compares inside its own.

-- Of all captured tables and of capture itself; or of the tables *wanted* (roots or partitions) alone, of none: of itself.
CREATE OR REPLACE FUNCTION migrator.shape_now(wanted oid[] DEFAULT NULL)
RETURNS TABLE (kind text, object oid, name text, facets jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_hashjoin = on SET enable_mergejoin = on
SET enable_seqscan = on SET jit = off AS $$
WITH RECURSIVE relation (oid, relkind) AS (
    SELECT c.oid, c.relkind FROM pg_class c
     WHERE c.oid = ANY (coalesce(wanted, ARRAY(SELECT t.relid FROM migrator.captured_table t)))
     UNION
    SELECT c.oid, c.relkind FROM relation r JOIN pg_inherits i ON i.inhparent = r.oid JOIN pg_class c ON c.oid = i.inhrelid
     WHERE r.relkind = 'p'
), used (oid) AS (  -- types that columns are made of, through arrays, domains, ranges and composites; built-in ones stay
    SELECT a.atttypid FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid
     WHERE a.attnum > 0 AND a.atttypid >= 16384
     UNION
    SELECT part.oid FROM used u JOIN pg_type t ON t.oid = u.oid CROSS JOIN LATERAL (
           SELECT t.typelem UNION ALL SELECT t.typbasetype
            UNION ALL SELECT g.rngsubtype FROM pg_range g WHERE g.rngtypid = t.oid
            UNION ALL SELECT g.rngtypid FROM pg_range g WHERE t.typtype = 'm' AND g.rngmultitypid = t.oid
            UNION ALL SELECT a.atttypid FROM pg_attribute a
                       WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0) part (oid)
     WHERE part.oid >= 16384
), type AS MATERIALIZED (
    SELECT t.* FROM used u JOIN pg_type t ON t.oid = u.oid
), called (oid) AS (  -- functions that compute or check values; defaults only propose them, and classic carries the result
    SELECT e.oid FROM (
        SELECT d.refclassid, d.refobjid
          FROM relation r
          JOIN pg_attribute a ON a.attrelid = r.oid AND a.attgenerated <> ''
          JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
          JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
         UNION ALL
        SELECT d.refclassid, d.refobjid
          FROM (SELECT c.oid FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid AND c.contype = 'c'
                 UNION ALL SELECT c.oid FROM type t JOIN pg_constraint c ON c.contypid = t.oid WHERE t.typtype = 'd') c
          JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = c.oid
         UNION ALL
        SELECT 'pg_proc'::regclass, f.oid
          FROM type t CROSS JOIN LATERAL (VALUES (t.typinput::oid), (t.typoutput::oid)) f (oid)
        ) needed
      LEFT JOIN pg_operator o ON needed.refclassid = 'pg_operator'::regclass AND o.oid = needed.refobjid
     CROSS JOIN LATERAL (SELECT CASE WHEN needed.refclassid = 'pg_proc'::regclass THEN needed.refobjid
                                     ELSE o.oprcode::oid END) e (oid)
     WHERE e.oid >= 16384
     UNION
    SELECT d.refobjid FROM called f
      JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_proc'::regclass
     WHERE d.refobjid >= 16384
), collated (oid) AS (
    SELECT a.attcollation FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid WHERE a.attcollation >= 16384
     UNION SELECT t.typcollation FROM type t WHERE t.typcollation >= 16384
     UNION SELECT g.rngcollation FROM type t JOIN pg_range g ON g.rngtypid = t.oid WHERE g.rngcollation >= 16384
     UNION SELECT a.attcollation FROM type t JOIN pg_attribute a ON t.typtype = 'c' AND a.attrelid = t.typrelid
            WHERE a.attcollation >= 16384
), part (oid, attributes) AS (  -- columns of tables and of composite types
    SELECT a.attrelid, string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attcollation,
                                            a.attgenerated, a.attidentity, md5(f.adbin::text)), E'\n' ORDER BY a.attnum)
      FROM (SELECT oid FROM relation UNION SELECT typrelid FROM type WHERE typtype = 'c') o
      JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_attrdef f ON a.atthasdef AND f.adrelid = a.attrelid AND f.adnum = a.attnum
     GROUP BY a.attrelid
), checked (relation, type, constraints) AS (  -- NOT NULL is a column's; those that partitions inherit are their root's
    SELECT c.conrelid, c.contypid, string_agg(concat_ws(' ', c.conname, c.contype, c.condeferrable, c.condeferred, c.confrelid,
                                                  c.confupdtype, c.confdeltype, c.conkey, c.confkey, md5(c.conbin::text),
                                                  to_jsonb(c) ->> 'conenforced'), E'\n' ORDER BY c.oid)
      FROM pg_constraint c
     WHERE c.contype IN ('c', 'f', 'p', 'u', 'x') AND c.conparentid = 0
       AND (c.conrelid IN (SELECT oid FROM relation) OR c.contypid IN (SELECT oid FROM type))
     GROUP BY 1, 2
), fired (oid, ours, others) AS (  -- xmin: a trigger that was disabled and enabled again is not what it was
    SELECT t.tgrelid,
           string_agg(concat_ws(' ', t.tgname, t.oid, t.xmin, t.tgenabled, t.tgfoid, t.tgtype), E'\n' ORDER BY t.oid)
               FILTER (WHERE t.tgname LIKE 'migrator\_%'),
           string_agg(concat_ws(' ', t.oid, t.tgenabled), E'\n' ORDER BY t.oid)
               FILTER (WHERE t.tgname NOT LIKE 'migrator\_%' AND t.tgenabled <> 'O')
      FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND t.tgname <> 'migrator_closed'
     GROUP BY t.tgrelid
)
SELECT 'table', c.oid, concat(n.nspname, '.', c.relname), jsonb_build_object(
           'name', concat_ws(' ', c.relnamespace, c.relname),
           'storage', concat_ws(' ', c.relkind, c.relpersistence, c.relreplident, c.relispartition),
           'row security', concat_ws(' ', c.relrowsecurity, c.relforcerowsecurity),
           'columns', md5(p.attributes), 'constraints', md5(k.constraints), 'capture', f.ours, 'triggers', f.others,
           'rules', (SELECT md5(string_agg(concat_ws(' ', w.oid, w.ev_type, w.is_instead, w.ev_enabled,
                                                     md5(w.ev_qual::text), md5(w.ev_action::text)), E'\n' ORDER BY w.oid))
                       FROM pg_rewrite w WHERE c.relhasrules AND w.ev_class = c.oid),
           'inheritance', (SELECT string_agg(concat_ws(' ', i.inhparent, i.inhrelid), ',' ORDER BY i.inhparent, i.inhrelid)
                             FROM pg_inherits i
                            WHERE i.inhrelid = c.oid OR (c.relhassubclass AND c.relkind <> 'p' AND i.inhparent = c.oid)))
  FROM relation r JOIN pg_class c ON c.oid = r.oid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN part p ON p.oid = c.oid LEFT JOIN checked k ON k.relation = c.oid LEFT JOIN fired f ON f.oid = c.oid
 UNION ALL
SELECT 'type', t.oid, concat(n.nspname, '.', t.typname), jsonb_build_object(
           'name', concat_ws(' ', t.typnamespace, t.typname),
           'definition', concat_ws(' ', t.typtype, t.typbasetype, t.typtypmod, t.typnotnull, t.typcollation, t.typinput::oid,
                                   t.typoutput::oid, t.typreceive::oid, t.typsend::oid, t.typmodin::oid,
                                   md5(t.typdefaultbin::text), g.rngsubtype, g.rngcollation, g.rngsubopc,
                                   g.rngcanonical::oid),
           'labels', (SELECT string_agg(concat_ws(' ', e.oid, e.enumlabel), E'\n' ORDER BY e.enumsortorder)
                        FROM pg_enum e WHERE t.typtype = 'e' AND e.enumtypid = t.oid),
           'attributes', md5(p.attributes), 'constraints', md5(k.constraints))
  FROM type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_range g ON g.rngtypid = t.oid
  LEFT JOIN part p ON t.typtype = 'c' AND p.oid = t.typrelid
  LEFT JOIN checked k ON t.typtype = 'd' AND k.type = t.oid
 UNION ALL
SELECT 'function', f.oid, concat(n.nspname, '.', f.proname), jsonb_build_object(
           'name', concat_ws(' ', f.pronamespace, f.proname, f.proargtypes),
           'definition', md5(concat_ws(' ', f.prolang, f.prosrc, f.probin, f.prosqlbody, f.prorettype, f.provolatile,
                                       f.proisstrict, f.prosecdef, f.proconfig)))
  FROM called u JOIN pg_proc f ON f.oid = u.oid JOIN pg_namespace n ON n.oid = f.pronamespace
 UNION ALL
SELECT 'collation', c.oid, concat(n.nspname, '.', c.collname), jsonb_build_object(
           'name', concat_ws(' ', c.collnamespace, c.collname),
           'definition', to_jsonb(c) - '{oid,collname,collnamespace,collowner,collversion}'::text[])
  FROM collated u JOIN pg_collation c ON c.oid = u.oid JOIN pg_namespace n ON n.oid = c.collnamespace
 UNION ALL
SELECT 'schema', n.oid, n.nspname, jsonb_build_object('name', n.nspname)
  FROM pg_namespace n
 WHERE n.oid IN (SELECT c.relnamespace FROM relation r JOIN pg_class c ON c.oid = r.oid
                  UNION SELECT t.typnamespace FROM type t)
 UNION ALL
SELECT 'extension', x.oid, x.extname, jsonb_build_object('version', x.extversion)
  FROM pg_extension x
 WHERE x.oid IN (SELECT d.refobjid FROM type t JOIN pg_depend d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid
                  WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass)
 UNION ALL
SELECT 'capture function', f.oid, concat('migrator.', f.proname), jsonb_build_object(
           'definition', concat_ws(' ', hashtextextended(f.prosrc, 0), f.prosecdef, f.proowner, f.proconfig, f.provolatile))
  FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
 WHERE n.nspname = 'migrator' AND coalesce(wanted, '{}') = '{}'
   AND (f.proname LIKE 'capture\_%' OR f.proname LIKE 'guard\_%' OR f.proname LIKE 'shape\_%' OR f.proname LIKE 'note\_%'
        OR f.proname IN ('captured_root', 'follow_leaves', 'widen_rekey', 'refuse_truncate'))
 UNION ALL
SELECT 'event trigger', e.oid, e.evtname, jsonb_build_object(
           'definition', concat_ws(' ', e.xmin, e.evtevent, e.evtenabled, e.evtfoid, e.evttags))
  FROM pg_event_trigger e
 WHERE e.evtname LIKE 'migrator\_guard%' AND coalesce(wanted, '{}') = '{}'
$$;

-- What is not as capture was built for it: one row per object, with the facets that differ. Types, functions and the
-- like are looked at while a column needs them; that it does no longer, or does now, shows in its table.
CREATE OR REPLACE FUNCTION migrator.shape_differences() RETURNS TABLE (code text, kind text, object oid, name text, facets text[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_hashjoin = on SET enable_mergejoin = on
SET enable_seqscan = on SET jit = off AS $$
    SELECT CASE WHEN n.object IS NULL THEN 'gone' WHEN s.object IS NULL THEN 'new' ELSE 'changed' END,
           coalesce(s.kind, n.kind), coalesce(s.object, n.object),
           CASE WHEN s.name <> n.name THEN concat(s.name, ' (now ', n.name, ')') ELSE coalesce(s.name, n.name) END,
           ARRAY(SELECT f.key FROM jsonb_each(coalesce(s.facets, n.facets)) f
                  WHERE s.facets -> f.key IS DISTINCT FROM n.facets -> f.key ORDER BY f.key)
      FROM migrator.captured_shape s
      FULL JOIN migrator.shape_now() n ON n.kind = s.kind AND n.object = s.object
     WHERE s.facets IS DISTINCT FROM n.facets
       AND CASE WHEN n.object IS NULL THEN s.kind IN ('table', 'capture function', 'event trigger')
                WHEN s.object IS NOT NULL OR n.kind IN ('capture function', 'event trigger') THEN true
                ELSE n.kind = 'table' AND EXISTS (  -- a partition; a whole table is not captured yet, see below
                    SELECT FROM pg_inherits i JOIN migrator.captured_shape p ON p.kind = 'table' AND p.object = i.inhparent
                     WHERE i.inhrelid = n.object) END
     UNION ALL
    -- Whatever was noted: a trigger of ours that does not always fire lets writes pass.
    SELECT 'asleep', 'table', s.object, s.name, array_agg(t.tgname::text ORDER BY t.tgname)
      FROM migrator.captured_shape s
      JOIN pg_trigger t ON t.tgrelid = s.object AND t.tgname LIKE 'migrator\_%' AND t.tgenabled <> 'A'
     WHERE s.kind = 'table' AND t.tgname <> 'migrator_closed'
     GROUP BY s.object, s.name
     UNION ALL
    SELECT 'subscribed', 'table', s.object, s.name, '{}'
      FROM migrator.captured_shape s WHERE s.kind = 'table' AND s.object IN (SELECT srrelid FROM pg_subscription_rel)
     UNION ALL
    SELECT 'narrow', 'table', s.object, s.name, '{}'
      FROM migrator.captured_shape s
      JOIN pg_trigger t ON t.tgrelid = s.object AND t.tgname = 'migrator_capture_rekey' AND t.tgattr <> ''
     WHERE s.kind = 'table'
       AND EXISTS (SELECT FROM pg_trigger b WHERE b.tgrelid = s.object AND NOT b.tgisinternal AND b.tgtype & 19 = 19)
     UNION ALL
    SELECT 'key', 'table', t.relid, t.qualified, '{}'
      FROM migrator.captured_table t
     WHERE EXISTS (SELECT FROM migrator.captured_shape s WHERE s.kind = 'table' AND s.object = t.relid)
       AND NOT EXISTS (
           SELECT FROM pg_index i
            WHERE i.indrelid = t.relid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
              AND i.indnkeyatts = jsonb_array_length(t.descriptor -> 'key')
              AND NOT EXISTS (
                  SELECT FROM generate_series(0, i.indnkeyatts - 1) k
                    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]
                   WHERE NOT t.descriptor -> 'key' ? a.attname::text))
     UNION ALL
    SELECT 'uncaptured', 'table', t.relid, t.qualified, '{}'
      FROM migrator.captured_table t
     WHERE NOT EXISTS (SELECT FROM migrator.captured_shape s WHERE s.kind = 'table' AND s.object = t.relid)
     UNION ALL
    SELECT 'unguarded', 'event trigger', 0, e.name, '{}'
      FROM (VALUES ('migrator_guard_ddl'), ('migrator_guard_detach'), ('migrator_guard_drop'), ('migrator_guard_leaf'),
                   ('migrator_guard_rewrite')) e (name)
     WHERE NOT EXISTS (SELECT FROM migrator.captured_shape s WHERE s.kind = 'event trigger' AND s.name = e.name)
     UNION ALL
    SELECT 'setting', 'event trigger', 0, where_set, '{}'
      FROM (SELECT 'the server''s configuration' WHERE current_setting('event_triggers', true) = 'off'
             UNION ALL
            SELECT concat_ws(' of ', 'ALTER ' || CASE WHEN s.setrole <> 0 THEN 'ROLE ' || r.rolname ELSE 'DATABASE' END || ' SET')
              FROM pg_db_role_setting s
              LEFT JOIN pg_roles r ON r.oid = s.setrole
             WHERE s.setdatabase IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
               AND EXISTS (SELECT FROM unnest(s.setconfig) c
                            WHERE c ~ '^event_triggers=(off|false|no|0|f|n)')) x (where_set)
$$;

-- The tables among *relations* are as capture needs them now, and so is what their columns need that was not looked at
-- yet; what was looked at before keeps what was noted then. Called where triggers are made, in the same transaction.
CREATE OR REPLACE FUNCTION migrator.note_shape(relations oid[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM migrator.captured_shape s WHERE s.kind = 'table' AND s.object = ANY (relations);
    INSERT INTO migrator.captured_shape (kind, object, name, facets)
    SELECT n.kind, n.object, n.name, n.facets FROM migrator.shape_now(relations) n
     WHERE n.kind <> 'table' OR n.object = ANY (relations)
    ON CONFLICT DO NOTHING;
END $$;

-- Some facets of one table are as they were meant to be: a trigger was renewed, or a column came.
CREATE OR REPLACE FUNCTION migrator.note_facets(relation oid, which text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    WITH now AS MATERIALIZED (
        SELECT n.* FROM migrator.shape_now(ARRAY[relation]) n
    ), updated AS (
        UPDATE migrator.captured_shape s
           SET facets = s.facets || (SELECT jsonb_object_agg(f.key, f.value) FROM jsonb_each(n.facets) f
                                      WHERE f.key = ANY (which))
          FROM now n
         WHERE s.kind = 'table' AND n.kind = 'table' AND s.object = relation AND n.object = relation
    )
    INSERT INTO migrator.captured_shape (kind, object, name, facets)
    SELECT n.kind, n.object, n.name, n.facets FROM now n WHERE n.kind <> 'table'
    ON CONFLICT DO NOTHING;
END $$;

-- Capture's own functions and event triggers are as they should be.
CREATE OR REPLACE FUNCTION migrator.note_own() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM migrator.captured_shape s WHERE s.kind IN ('capture function', 'event trigger');
    INSERT INTO migrator.captured_shape (kind, object, name, facets)
    SELECT n.kind, n.object, n.name, n.facets FROM migrator.shape_now('{}') n
     WHERE n.kind IN ('capture function', 'event trigger');
END $$;

-- Run by an administrator, in classic's database: a superuser, or on RDS and Aurora the main user of the cluster, since
-- only they make event triggers. The tool's role may then make and drop its own five through these functions, and no
-- others. They guard captured tables against commands past the tool. A role that may make event triggers runs code in
-- the sessions of all who change the schema: keep the tool's password as you keep an administrator's. Safe to run twice.
-- To take it back, after the dual write is undone or the migration over: DROP SCHEMA migrator_guards CASCADE;
CREATE SCHEMA IF NOT EXISTS migrator_guards;
CREATE OR REPLACE FUNCTION migrator_guards.make(name text, event text, tag text, function text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $make$
BEGIN
    IF name !~ '^migrator_guard_[a-z_]+$' OR function !~ '^guard_[a-z_]+$' OR tag !~ '^[A-Z ]*$'
       OR event NOT IN ('ddl_command_start', 'ddl_command_end', 'sql_drop', 'table_rewrite')
       OR NOT coalesce((SELECT p.prosecdef AND pg_has_role(session_user, p.proowner, 'MEMBER') FROM pg_proc p
                         WHERE p.oid = to_regprocedure(format('migrator.%I()', function))), false) THEN
        RAISE EXCEPTION 'not an event trigger of the tool: %', name USING ERRCODE = 'insufficient_privilege';
    END IF;
    EXECUTE format('DROP EVENT TRIGGER IF EXISTS %I', name);
    EXECUTE format('CREATE EVENT TRIGGER %I ON %s%s EXECUTE FUNCTION migrator.%I()', name, event,
                   CASE WHEN tag = '' THEN '' ELSE format(' WHEN TAG IN (%L)', tag) END, function);
    EXECUTE format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', name);
END $make$;
CREATE OR REPLACE FUNCTION migrator_guards.drop(name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $drop$
BEGIN
    IF name !~ '^migrator_guard_[a-z_]+$' THEN
        RAISE EXCEPTION 'not an event trigger of the tool: %', name USING ERRCODE = 'insufficient_privilege';
    END IF;
    EXECUTE format('DROP EVENT TRIGGER IF EXISTS %I', name);
END $drop$;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA migrator_guards FROM PUBLIC;
REVOKE ALL ON SCHEMA migrator_guards FROM PUBLIC;

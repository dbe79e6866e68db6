-- The application of a conformance run, on classic: one table of all tenants. The triggers do what capture's do for a
-- write: they note the mirror partitions that the transaction touched.
CREATE SCHEMA app;
CREATE TABLE app.note (tenant_id text, id int, body text, PRIMARY KEY (tenant_id, id));

CREATE FUNCTION app.mark() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    bits bigint;
BEGIN
    SELECT bit_or(CASE WHEN tenant_id LIKE 't%' THEN 2 ELSE 4 END) INTO bits FROM changed;
    PERFORM set_config('migrator.parts',
        (coalesce(nullif(current_setting('migrator.parts', true), ''), '0')::bigint | coalesce(bits, 0))::text, true);
    RETURN NULL;
END $$;
CREATE TRIGGER mark_insert AFTER INSERT ON app.note REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION app.mark();
CREATE TRIGGER mark_update AFTER UPDATE ON app.note REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION app.mark();

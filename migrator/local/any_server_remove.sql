-- Make a stand-in an ordinary database again, in the caller's transaction. Sharded tables stay hash-partitioned.

DROP EVENT TRIGGER standin_before_ddl;
DROP EVENT TRIGGER standin_after_ddl;
DROP EVENT TRIGGER standin_forget;

-- A later ALTER SEQUENCE may have declared another CACHE: that one stays.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT q.local_oid::regclass AS sequence, q.cache
                 FROM rds_aurora.standin_sequence q JOIN pg_catalog.pg_sequence s ON s.seqrelid = q.local_oid
                 WHERE s.seqcache = q.chunk LOOP
        EXECUTE pg_catalog.format('ALTER SEQUENCE %s CACHE %s', found.sequence, found.cache);
    END LOOP;
END
$$;

DROP FUNCTION pg_catalog.aurora_limitless_router_endpoints();
DROP SCHEMA rds_aurora CASCADE;
DROP SCHEMA standin_work CASCADE;

-- PUBLIC may call again what it may call in a new database; what initdb kept from it stays so.
DO $$
DECLARE
    refused regprocedure;
BEGIN
    FOR refused IN SELECT p.oid FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
          AND p.proname = ANY (pg_catalog.string_to_array('@refused_functions@', ','))
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_init_privs i
                          WHERE i.classoid = 'pg_proc'::regclass AND i.objoid = p.oid)
    LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', refused);
    END LOOP;
END
$$;

-- One of everything that Limitless refuses or that costs there. The plan: tenants, events, ledger, bookings, wide,
-- names sharded by tenant_id; lookups, codes reference; archive standard; the rest as it comes.
CREATE EXTENSION pg_cron;
CREATE EXTENSION hstore;
CREATE EXTENSION pg_trgm;
CREATE TYPE tier AS ENUM ('free', 'paid');
CREATE DOMAIN positive AS numeric CHECK (VALUE > 0);

CREATE TABLE tenants (tenant_id uuid PRIMARY KEY, name text);
CREATE TABLE events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,                         -- KEY-01, COL-01
    tenant_id uuid,                                                            -- KEY-08
    parent_id bigint REFERENCES events (id),                                   -- FK-01, FK-11
    code text UNIQUE,                                                          -- KEY-02
    amount positive,                                                           -- COL-04
    doubled numeric GENERATED ALWAYS AS (amount * 2) STORED,                   -- COL-02
    token uuid DEFAULT gen_random_uuid(),                                      -- COL-07
    picture oid,                                                               -- COL-06
    tags text[],                                                               -- COL-08
    sizes positive[],                                                          -- COL-09
    CHECK (length(code) > 3),                                                  -- CHK-01
    CHECK (id > 0 AND current_date > date '2020-01-01'),                       -- CHK-02
    CHECK (((id > 0) AND (amount > 0)) OR (code IS NULL))                      -- CHK-03
) WITH (fillfactor = 70);                                                      -- TBL-03
ALTER TABLE events ALTER COLUMN code SET STATISTICS 500;                       -- COL-05
CREATE UNIQUE INDEX events_lower ON events (tenant_id, lower(code));           -- KEY-03
CREATE UNIQUE INDEX events_include ON events (tenant_id, id) INCLUDE (code);   -- IDX-04
CREATE UNIQUE INDEX events_opclass ON events (tenant_id, code text_pattern_ops); -- IDX-05
COMMENT ON TABLE events IS 'x';                                                -- OBJ-08

CREATE TABLE ledger (tenant_id text NOT NULL, id bigint, event_id bigint, PRIMARY KEY (tenant_id, id));  -- KEY-06
ALTER TABLE ledger ADD CONSTRAINT ledger_event FOREIGN KEY (event_id) REFERENCES events (id)
    MATCH FULL ON DELETE SET NULL ON UPDATE CASCADE NOT VALID;                 -- FK-03, FK-04, FK-06, FK-08
ALTER TABLE ledger ADD CONSTRAINT ledger_default FOREIGN KEY (event_id) REFERENCES events (id) ON DELETE SET DEFAULT; -- FK-05
ALTER TABLE ledger ADD CONSTRAINT ledger_null FOREIGN KEY (event_id) REFERENCES events (id)
    ON UPDATE SET NULL DEFERRABLE;                                             -- FK-07
CREATE TABLE bookings (tenant_id tier NOT NULL, room int, during tsrange, EXCLUDE USING gist (room WITH =, during WITH &&)); -- KEY-07, KEY-11, KEY-12
CREATE TABLE a_table_whose_name_is_longer_than_what_limitless_allows_for_it (tenant_id uuid NOT NULL, id int, PRIMARY KEY (tenant_id, id)); -- TBL-07
CREATE TABLE parts (tenant_id uuid NOT NULL, id int, at date) PARTITION BY RANGE (at);  -- TBL-01
CREATE TABLE parts_2024 PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE base (tenant_id uuid NOT NULL, id int, PRIMARY KEY (tenant_id, id));
CREATE TABLE heir (extra text) INHERITS (base);                                -- TBL-02
CREATE UNLOGGED TABLE scratch (tenant_id uuid NOT NULL, id int, PRIMARY KEY (tenant_id, id));  -- TBL-05
CREATE TABLE spaced (tenant_id uuid NOT NULL, id int, PRIMARY KEY (tenant_id, id)) TABLESPACE fast;  -- TBL-06
CREATE TABLE lookups (code text, tenant uuid);                                 -- TBL-08
CREATE TABLE codes (code text PRIMARY KEY, event_id bigint REFERENCES events (id));  -- FK-02
CREATE TABLE archive (id bigint PRIMARY KEY);
CREATE TABLE lines (id bigint PRIMARY KEY, event_id bigint NOT NULL REFERENCES events (id));  -- KEY-09
GRANT ALL ON TABLE codes TO PUBLIC;                                            -- SEC-02
ALTER TABLE base ENABLE ROW LEVEL SECURITY;                                    -- SEC-01

CREATE SEQUENCE looping CYCLE;                                                 -- SEQ-01, SEQ-06
CREATE SEQUENCE narrow AS smallint;                                            -- SEQ-04
CREATE SEQUENCE hoarding CACHE 300000;                                         -- SEQ-05

CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$                 -- FN-01
BEGIN NEW.token := gen_random_uuid(); INSERT INTO ledger (tenant_id) VALUES ('x'); PERFORM pg_notify('a', 'b'); RETURN NEW; END $$;
CREATE TRIGGER touch_events BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION touch();  -- OBJ-01
CREATE RULE no_delete AS ON DELETE TO events DO INSTEAD NOTHING;               -- OBJ-03
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION touch();        -- OBJ-02
CREATE MATERIALIZED VIEW sums AS SELECT tenant_id, sum(amount) FROM events GROUP BY 1;  -- OBJ-04
CREATE PUBLICATION feed FOR ALL TABLES;                                        -- OBJ-05
CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw;                     -- OBJ-06
CREATE STATISTICS stats ON id, code FROM events;                               -- OBJ-07
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;                     -- OBJ-09
CREATE VIEW guarded WITH (security_barrier) AS SELECT * FROM events;           -- OBJ-11

CREATE FUNCTION of_event(p_tenant uuid, p_id bigint) RETURNS text LANGUAGE plpgsql AS $$  -- FN-04, QRY-04
DECLARE v text;
BEGIN
    SELECT code INTO v FROM events WHERE tenant_id = p_tenant AND id = p_id;
    RETURN v;
END $$;
CREATE FUNCTION all_events() RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT count(*) FROM events $$;  -- FN-05, FN-06
CREATE PROCEDURE rebuild(p text) LANGUAGE plpgsql AS $$                        -- FN-02, FN-03, FN-08
BEGIN
    CREATE TEMPORARY TABLE work AS SELECT * FROM events;
    EXECUTE 'DROP TABLE ' || p;
    PERFORM setval('narrow', 1);
END $$;
CREATE FUNCTION secret(p uuid) RETURNS uuid LANGUAGE sql IMMUTABLE SECURITY DEFINER AS $$ SELECT p $$;
CREATE AGGREGATE product (numeric) (sfunc = numeric_mul, stype = numeric);

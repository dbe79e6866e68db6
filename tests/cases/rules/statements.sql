-- One statement per rule about statements; "rules" must be among those found.
-- name: key_04
-- rules: LIM-KEY-04
UPDATE tenants SET tenant_id = $1 WHERE tenant_id = $2;
-- name: key_04_inside
-- rules: LIM-KEY-04
WITH moved AS (UPDATE tenants SET tenant_id = $1 WHERE tenant_id = $2 RETURNING 1) SELECT count(*) FROM moved;
-- name: key_05
-- rules: LIM-KEY-05
ALTER TABLE events DROP COLUMN tenant_id;
-- name: tbl_04
-- rules: LIM-TBL-04
CREATE TEMP TABLE x AS SELECT 1;
-- name: tbl_11
-- rules: LIM-TBL-11
SELECT * INTO y FROM codes;
-- name: tbl_12
-- rules: LIM-TBL-12
CREATE SCHEMA s CREATE TABLE t (id int);
-- name: tbl_13_only
-- rules: LIM-TBL-13
ALTER TABLE ONLY events ADD COLUMN z int;
-- name: tbl_13_rename
-- rules: LIM-TBL-13
ALTER TABLE events RENAME CONSTRAINT a TO b;
-- name: tbl_13_attach
-- rules: LIM-TBL-13
ALTER TABLE parts DETACH PARTITION parts_2024;
-- name: fk_08
-- rules: LIM-FK-08
ALTER TABLE ledger ADD CONSTRAINT f FOREIGN KEY (tenant_id) REFERENCES tenants NOT VALID;
-- name: col_03
-- rules: LIM-COL-03
ALTER TABLE events ALTER COLUMN code TYPE int USING code::int;
-- name: seq_01
-- rules: LIM-SEQ-01
CREATE TEMP SEQUENCE q;
-- name: seq_02
-- rules: LIM-SEQ-02
SELECT setval('narrow', 5);
-- name: seq_03
-- rules: LIM-SEQ-03
SELECT * FROM events WHERE tenant_id = $1 ORDER BY id;
-- name: idx_01
-- rules: LIM-IDX-01
CREATE UNIQUE INDEX CONCURRENTLY i ON events (tenant_id, code);
-- name: idx_02
-- rules: LIM-IDX-02
CREATE INDEX CONCURRENTLY i ON codes (code);
-- name: idx_03
-- rules: LIM-IDX-03
REINDEX TABLE events;
-- name: idx_06
-- rules: LIM-IDX-06
CREATE INDEX IF NOT EXISTS i ON events (code);
-- name: obj_10
-- rules: LIM-OBJ-10
CREATE DATABASE d TEMPLATE template0;
-- name: ext_02
-- rules: LIM-EXT-02
ALTER EXTENSION hstore ADD FUNCTION f(int);
-- name: fn_07
-- rules: LIM-FN-07
SELECT * FROM events WHERE tenant_id = $1 AND token = secret(token);
-- name: dml_01
-- rules: LIM-DML-01
MERGE INTO events e USING ledger l ON e.id = l.id WHEN MATCHED THEN DELETE;
-- name: dml_02
-- rules: LIM-DML-02 LIM-DML-03
INSERT INTO events (tenant_id, code) VALUES ($1, $2) ON CONFLICT (code) DO UPDATE SET token = gen_random_uuid();
-- name: dml_04
-- rules: LIM-DML-04
DELETE FROM events WHERE CURRENT OF c;
-- name: dml_05
-- rules: LIM-DML-05
SELECT pg_notify('a', 'b');
-- name: dml_06
-- rules: LIM-DML-06
COPY events FROM '/tmp/x.csv';
-- name: dml_07
-- rules: LIM-DML-07
DELETE FROM events WHERE tenant_id = $1 RETURNING id;
-- name: dml_08
-- rules: LIM-DML-08
SELECT ctid, xmin FROM events WHERE tenant_id = $1;
-- name: txn_01
-- rules: LIM-TXN-01
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;
-- name: txn_01_session
-- rules: LIM-TXN-01
SET default_transaction_isolation = 'serializable';
-- name: txn_02
-- rules: LIM-TXN-02
ROLLBACK PREPARED 'x';
-- name: txn_03
-- rules: LIM-TXN-03
INSERT INTO tenants (tenant_id) VALUES ($1), ($2);
-- name: txn_05
-- rules: LIM-TXN-05
SELECT pg_try_advisory_lock(1);
-- name: txn_06
-- rules: LIM-TXN-06
SET CONSTRAINTS ALL IMMEDIATE;
-- name: qry_01
-- rules: LIM-QRY-01
SELECT * FROM events WHERE code = $1;
-- name: qry_02
-- rules: LIM-QRY-02
SELECT * FROM events e JOIN ledger l ON l.event_id = e.id WHERE e.tenant_id = $1;
-- name: qry_03
-- rules: LIM-QRY-03
SELECT * FROM events WHERE tenant_id = $1 AND token > now();
-- name: qry_05
-- rules: LIM-QRY-05
SET plan_cache_mode = force_generic_plan;
-- name: qry_06
-- rules: LIM-QRY-06
SELECT * FROM codes c LEFT JOIN events e ON e.code = c.code AND e.tenant_id = $1;
-- name: qry_07
-- rules: LIM-QRY-07
SELECT * FROM archive a JOIN codes c ON c.event_id = a.id;
-- name: qry_08
-- rules: LIM-QRY-08
SELECT * FROM events WHERE tenant_id IN ($1, $2);
-- name: qry_09
-- rules: LIM-QRY-09
SELECT count(*) FROM events;
-- name: qry_10
-- rules: LIM-QRY-10
SELECT id, code, count(*) FROM events WHERE tenant_id = $1 GROUP BY id;
-- name: ses_04
-- rules: LIM-SES-04
SET search_path = app;
-- name: ses_04_function
-- rules: LIM-SES-04
SELECT set_config('app.tenant', 'x', false);
-- name: ses_05
-- rules: LIM-SES-05
PREPARE p AS SELECT 1;
-- name: large_object
-- rules: LIM-COL-06
SELECT lo_import('/tmp/x');
-- name: dblink
-- rules: LIM-OBJ-06
SELECT * FROM dblink('host=x', 'SELECT 1') AS t (i int);
-- name: obj_12
-- rules: LIM-OBJ-12
DROP ROUTINE IF EXISTS nobody();
-- name: fn_09
-- rules: LIM-FN-09
ALTER FUNCTION nobody() STABLE;

-- From version 1 (release 0.1.0) to version 2, on classic. Each statement is a step: one transaction, with a short lock
-- timeout, tried again while a lock is busy; its first comment line is what a dry run prints. A step may have been done
-- before, whole. Nothing here takes a lock that a statement of an application waits for. Steps with CONCURRENTLY run
-- outside a transaction, statement by statement. Views are not here: views.sql is put in place after the last script.

-- name: earlier_workers_are_refused
-- Refuse what workers of an earlier version would write from here on (heartbeat, copy_unit, validation, route)
CREATE OR REPLACE FUNCTION migrator.is_earlier() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT current_setting('application_name') ~ '^migrator (worker|mirror|copy|validate)'
       AND coalesce(nullif(current_setting('migrator.schema', true), '')::int, 1) < 2
$$;
CREATE OR REPLACE FUNCTION migrator.refuse_earlier() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'this worker is of an earlier version than the control schema'
        USING ERRCODE = 'MG006', HINT = 'Stop it, and start the workers of the version that upgraded the schema.';
END $$;
CREATE OR REPLACE TRIGGER refuse_earlier BEFORE INSERT OR UPDATE ON migrator.heartbeat
    FOR EACH STATEMENT WHEN (migrator.is_earlier()) EXECUTE FUNCTION migrator.refuse_earlier();
CREATE OR REPLACE TRIGGER refuse_earlier BEFORE INSERT OR UPDATE ON migrator.copy_unit
    FOR EACH STATEMENT WHEN (migrator.is_earlier()) EXECUTE FUNCTION migrator.refuse_earlier();
CREATE OR REPLACE TRIGGER refuse_earlier BEFORE INSERT ON migrator.validation
    FOR EACH STATEMENT WHEN (migrator.is_earlier()) EXECUTE FUNCTION migrator.refuse_earlier();
-- Never a rollback.
CREATE OR REPLACE TRIGGER refuse_earlier BEFORE INSERT OR UPDATE ON migrator.route
    FOR EACH ROW WHEN (NEW.level <> 'classic' AND migrator.is_earlier()) EXECUTE FUNCTION migrator.refuse_earlier();

-- name: plan_is_the_same
-- Let a plan be known by the digest that an earlier version gave it (plan)
ALTER TABLE migrator.plan ADD COLUMN IF NOT EXISTS earlier text[] NOT NULL DEFAULT '{}';

-- name: epoch_marks
-- Give every change of routes a mark that never comes again (epoch_mark)
CREATE TABLE IF NOT EXISTS migrator.epoch_mark (
    epoch      bigint PRIMARY KEY,
    mark       uuid NOT NULL
);
CREATE OR REPLACE FUNCTION migrator.mark_epoch() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO migrator.epoch_mark (epoch, mark) VALUES (NEW.epoch, gen_random_uuid())
    ON CONFLICT (epoch) DO UPDATE SET mark = EXCLUDED.mark;
    DELETE FROM migrator.epoch_mark WHERE epoch > NEW.epoch OR epoch <= NEW.epoch - 10000;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER mark_epoch AFTER UPDATE OF epoch ON migrator.switch
    FOR EACH ROW WHEN (OLD.epoch <> NEW.epoch) EXECUTE FUNCTION migrator.mark_epoch();
ALTER TABLE migrator.switch ENABLE ALWAYS TRIGGER mark_epoch;
-- The lock of CREATE TRIGGER keeps the epoch where it is until this commits.
INSERT INTO migrator.epoch_mark SELECT epoch, gen_random_uuid() FROM migrator.switch ON CONFLICT DO NOTHING;

-- name: holds
-- Allow holding tenants on classic by name (tenant_hold)
CREATE TABLE IF NOT EXISTS migrator.tenant_hold (
    tenant_id  text PRIMARY KEY,
    reason     text NOT NULL,
    held_by    text NOT NULL,
    held_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    wave       int,
    until      timestamptz
);

-- name: orders
-- Allow saying in which wave a tenant moves (tenant_order)
CREATE TABLE IF NOT EXISTS migrator.tenant_order (
    tenant_id  text PRIMARY KEY,
    wave       int NOT NULL,
    ordered_by text NOT NULL,
    reason     text NOT NULL,
    ordered_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- name: workers
-- List workers, and workflows that ended (worker, stopped)
CREATE TABLE IF NOT EXISTS migrator.worker (
    worker_id  text PRIMARY KEY,
    plan_id    text NOT NULL,
    digest     text NOT NULL,
    shim       jsonb NOT NULL,
    version    text NOT NULL,
    queues     text[] NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS migrator.stopped (
    workflow text PRIMARY KEY,
    state    text NOT NULL,
    reason   text NOT NULL DEFAULT '',
    at       timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- name: samples
-- Keep sums of samples by the minute and the hour, and what reads were like before they moved (read_minute, read_baseline)
CREATE TABLE IF NOT EXISTS migrator.read_minute (
    at         timestamptz NOT NULL,
    tenant_id  text,
    side       text NOT NULL,
    reads      bigint NOT NULL,
    errors     bigint NOT NULL,
    buckets    bigint[] NOT NULL,
    UNIQUE NULLS NOT DISTINCT (side, tenant_id, at)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX IF NOT EXISTS read_minute_at_idx ON migrator.read_minute (at);
CREATE TABLE IF NOT EXISTS migrator.read_hour (LIKE migrator.read_minute INCLUDING ALL);
CREATE TABLE IF NOT EXISTS migrator.shadow_hour (
    at           timestamptz PRIMARY KEY,
    compared     bigint NOT NULL,
    mismatched   bigint NOT NULL,
    classic_ms   double precision NOT NULL,
    limitless_ms double precision NOT NULL
);
CREATE TABLE IF NOT EXISTS migrator.read_baseline (
    tenant_id  text UNIQUE NULLS NOT DISTINCT,
    wave       int NOT NULL,
    reads      bigint NOT NULL,
    errors     bigint NOT NULL,
    p99_ms     double precision,
    at         timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE IF NOT EXISTS migrator.slo_breach (
    tenant_id   text UNIQUE NULLS NOT DISTINCT,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    reason      text NOT NULL,
    recorded_at timestamptz
);

-- name: sample_storage
-- Vacuum samples by their number, without pauses (read_sample, shadow_sample)
ALTER TABLE migrator.read_sample SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);
ALTER TABLE migrator.shadow_sample SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);

-- name: sample_indexes
-- Index samples by time while processes write them: version 1 deleted none, so there may be many
DROP INDEX CONCURRENTLY IF EXISTS migrator.read_sample_at_new;
CREATE INDEX CONCURRENTLY read_sample_at_new ON migrator.read_sample (at);
DROP INDEX CONCURRENTLY IF EXISTS migrator.shadow_sample_at_idx;
CREATE INDEX CONCURRENTLY shadow_sample_at_idx ON migrator.shadow_sample (at);

-- name: sample_index_takes_over
-- Put the new index of read samples in the place of the old one
DROP INDEX IF EXISTS migrator.read_sample_at_idx;
ALTER INDEX migrator.read_sample_at_new RENAME TO read_sample_at_idx;

-- name: capture_is_watched
-- Store what capture was built for, and capture loss (captured_shape, capture_loss, dropped_leaf, orphans)
ALTER TABLE migrator.captured_table ADD COLUMN IF NOT EXISTS relid oid;
CREATE TABLE IF NOT EXISTS migrator.captured_shape (
    kind   text NOT NULL,
    object oid NOT NULL,
    name   text NOT NULL,
    facets jsonb NOT NULL,
    PRIMARY KEY (kind, object)
);
CREATE TABLE IF NOT EXISTS migrator.capture_loss (
    only_one   boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    problems   text[] NOT NULL,
    noticed_by text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE IF NOT EXISTS migrator.dropped_leaf (
    relid oid NOT NULL,
    xid   xid8 NOT NULL
);
CREATE SEQUENCE IF NOT EXISTS migrator.orphans;
SELECT setval('migrator.orphans', 1) FROM migrator.orphans WHERE NOT is_called;
CREATE SEQUENCE IF NOT EXISTS migrator.orphans_checked MINVALUE 0 START 0;
SELECT setval('migrator.orphans_checked', 0) FROM migrator.orphans_checked WHERE NOT is_called;

-- name: changes_are_dated
-- Store when reference tables, and orphan rows, last changed (heartbeat)
ALTER TABLE migrator.heartbeat
    ADD COLUMN IF NOT EXISTS reference_at timestamptz,
    ADD COLUMN IF NOT EXISTS nobody_at timestamptz;
-- Version 1 did not store it: as if it were now, so that the decommission asks for a validation from after the upgrade.
UPDATE migrator.heartbeat SET reference_at = coalesce(reference_at, clock_timestamp()),
                              nobody_at = coalesce(nobody_at, clock_timestamp());

-- name: generations
-- Number every copy of a tenant, so that a verdict can name the one it saw (tenant, copy_unit)
CREATE SEQUENCE IF NOT EXISTS migrator.generation;
ALTER TABLE migrator.tenant
    ADD COLUMN IF NOT EXISTS writes bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS generation bigint NOT NULL DEFAULT nextval('migrator.generation');
ALTER TABLE migrator.copy_unit
    ADD COLUMN IF NOT EXISTS but_tables text[] NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS superseded boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS generation bigint NOT NULL DEFAULT nextval('migrator.generation');
UPDATE migrator.copy_unit SET superseded = true, problem = NULL WHERE problem = 'superseded';

-- name: verdicts
-- Tie verdicts to the copy they are about; the reference tables' tenant is NULL, no longer '' (tenant_verdict)
ALTER TABLE migrator.tenant_verdict
    ADD COLUMN IF NOT EXISTS id bigint GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN IF NOT EXISTS generation bigint,
    DROP CONSTRAINT IF EXISTS tenant_verdict_tenant_id_first_at_generation_key,
    DROP CONSTRAINT IF EXISTS tenant_verdict_pkey;
ALTER TABLE migrator.tenant_verdict ALTER COLUMN tenant_id DROP NOT NULL;
UPDATE migrator.tenant_verdict SET tenant_id = NULL WHERE tenant_id = '';
-- Those that gates of version 1 believed: of a tenant what it was last validated with, of the reference tables what came
-- after their last copy. All others are history.
UPDATE migrator.tenant_verdict v SET generation = t.generation
  FROM migrator.tenant t
 WHERE v.tenant_id = t.tenant_id AND v.generation IS NULL AND t.state = 'mirrored' AND v.last_at >= t.validated_at;
UPDATE migrator.tenant_verdict v SET generation = c.generation
  FROM (SELECT max(generation) FILTER (WHERE NOT superseded) AS generation,
               coalesce(max(finished_at), '-infinity') AS finished_at
          FROM migrator.copy_unit WHERE part = 0) c
 WHERE v.tenant_id IS NULL AND v.generation IS NULL AND v.last_at > c.finished_at;
ALTER TABLE migrator.tenant_verdict
    ADD PRIMARY KEY (id),
    ADD UNIQUE NULLS NOT DISTINCT (tenant_id, first_at, generation);

-- name: divergences
-- Tie divergent rows to the copy they were found in (divergence)
ALTER TABLE migrator.divergence
    ADD COLUMN IF NOT EXISTS generation bigint,
    ADD COLUMN IF NOT EXISTS rows bigint NOT NULL DEFAULT 1,
    ALTER COLUMN key DROP NOT NULL;
-- 0 is the number of no copy: what was found before a tenant was copied again stands no longer.
UPDATE migrator.divergence d
   SET generation = CASE WHEN EXISTS (SELECT FROM migrator.copy_unit u
                                       WHERE d.tenant_id = ANY (u.tenants) AND u.finished_at > d.found_at)
                         THEN 0 ELSE t.generation END
  FROM migrator.tenant t
 WHERE t.tenant_id = d.tenant_id AND d.generation IS NULL;
CREATE INDEX IF NOT EXISTS divergence_run_id_idx ON migrator.divergence (run_id);
CREATE INDEX IF NOT EXISTS divergence_table_name_tenant_id_id_idx ON migrator.divergence (table_name, tenant_id, id);

-- name: incidents
-- Count incidents that happen again in the place of the one before (incident)
ALTER TABLE migrator.incident
    ADD COLUMN IF NOT EXISTS times int NOT NULL DEFAULT 1,
    ADD COLUMN IF NOT EXISTS first_at timestamptz NOT NULL DEFAULT clock_timestamp();
UPDATE migrator.incident SET first_at = at WHERE times = 1 AND first_at <> at;
CREATE INDEX IF NOT EXISTS incident_kind_id_idx ON migrator.incident (kind, id);
CREATE OR REPLACE FUNCTION migrator.join_incidents() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    earlier record;
BEGIN
    SELECT n.id, n.times, n.first_at INTO earlier
      FROM (SELECT i.*, (i.reason, i.reported_by) = (NEW.reason, NEW.reported_by) AS same, count(*) OVER () AS many
              FROM (SELECT * FROM migrator.incident WHERE kind = NEW.kind ORDER BY id DESC LIMIT 20) i
             WHERE i.first_at BETWEEN NEW.at - interval '1 hour' AND NEW.at) n
     WHERE n.same OR (n.many >= 20 AND NEW.kind <> 'reported')
     ORDER BY n.same DESC, n.id DESC
     LIMIT 1;
    NEW.first_at := NEW.at;
    IF FOUND THEN
        DELETE FROM migrator.incident WHERE id = earlier.id;
        IF FOUND THEN  -- else somebody else has just joined it
            NEW.times := earlier.times + NEW.times;
            NEW.first_at := earlier.first_at;
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER join_incidents BEFORE INSERT ON migrator.incident
    FOR EACH ROW EXECUTE FUNCTION migrator.join_incidents();
ALTER TABLE migrator.incident ENABLE ALWAYS TRIGGER join_incidents;

-- name: rights
-- Keep what the last comparison of rights found (rights_check)
CREATE TABLE IF NOT EXISTS migrator.rights_check (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    blockers text[] NOT NULL,
    rights   text[] NOT NULL
);

-- name: indexes
-- Index what status and gates look up (decision, report, validation)
CREATE INDEX IF NOT EXISTS decision_kind_subject_at_idx ON migrator.decision (kind, subject, at);
CREATE INDEX IF NOT EXISTS report_kind_id_idx ON migrator.report (kind, id);
CREATE INDEX IF NOT EXISTS validation_started_at_idx ON migrator.validation (started_at);
CREATE INDEX IF NOT EXISTS validation_finished_at_idx ON migrator.validation (finished_at);

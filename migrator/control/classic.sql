-- The tool's own tables on classic. Applied in one transaction by migrator.control.install.
-- They live on classic because a route change or a journal entry must commit atomically with application
-- writes, and because they must survive an outage of Limitless and of Temporal.

CREATE SCHEMA migrator;

-- Version of this schema, one row per upgrade; written when all of it is done. See control/upgrade.py.
CREATE TABLE migrator.installed (
    version    int PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now()
);

-- The plan that runs here: one per classic cluster, because capture exists once per table.
CREATE TABLE migrator.plan (
    only_one   boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    plan_id    text NOT NULL,
    digest     text NOT NULL,        -- of the plan file's values; a second run must agree
    body       jsonb NOT NULL,       -- the plan as JSON: references to secrets, never secrets
    shim       jsonb NOT NULL,       -- what application processes need; see migrator.shim.settings
    created_at timestamptz NOT NULL DEFAULT now(),
    earlier    text[] NOT NULL DEFAULT '{}'  -- digests that earlier versions of the tool gave the same values
);

-- The global switch. Its row lock orders all route changes: epochs are handed out under it, so they commit
-- in order and "give me what changed after epoch e" misses nothing.
CREATE TABLE migrator.switch (
    only_one   boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    epoch      bigint NOT NULL DEFAULT 0,
    level      text NOT NULL DEFAULT 'limitless' CHECK (level IN ('classic', 'joining', 'limitless')),
    write_mode text NOT NULL DEFAULT 'classic_only'
               CHECK (write_mode IN ('classic_only', 'dual', 'closed', 'limitless_only')),
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL DEFAULT 'install',
    reason     text NOT NULL DEFAULT ''
);
INSERT INTO migrator.switch DEFAULT VALUES;

-- Which history an epoch belongs to. A classic that was restored hands out the same numbers again, with other marks:
-- a process, a token or a confirmation that names an epoch and another mark belongs to an earlier history.
-- Only the newest are kept; a process with an older one starts over, as with an unknown one.
CREATE TABLE migrator.epoch_mark (
    epoch      bigint PRIMARY KEY,
    mark       uuid NOT NULL
);

-- By trigger, so that no way to move the epoch can forget it, a hand-written UPDATE included.
CREATE FUNCTION migrator.mark_epoch() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO migrator.epoch_mark (epoch, mark) VALUES (NEW.epoch, gen_random_uuid())
    ON CONFLICT (epoch) DO UPDATE SET mark = EXCLUDED.mark;
    DELETE FROM migrator.epoch_mark WHERE epoch > NEW.epoch OR epoch <= NEW.epoch - 10000;
    RETURN NULL;
END $$;
CREATE TRIGGER mark_epoch AFTER UPDATE OF epoch ON migrator.switch
    FOR EACH ROW WHEN (OLD.epoch <> NEW.epoch) EXECUTE FUNCTION migrator.mark_epoch();
ALTER TABLE migrator.switch ENABLE ALWAYS TRIGGER mark_epoch;
INSERT INTO migrator.epoch_mark SELECT epoch, gen_random_uuid() FROM migrator.switch;

-- What a shim asks in the last message before its COMMIT (migrator.shim.marks): the transaction's number and marks, the
-- write mode and the epoch it sees. As a function, whose plans a session keeps: planned anew, the same costs the writer
-- three times as much. Every name is qualified and nothing set, since SET on a function costs as well. The commit is made
-- durable, as in migrator.model.session. The text is apart by spaces, and ends with a setting that may hold anything.
CREATE FUNCTION migrator.before_commit(mark text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    seen record;
BEGIN
    SELECT s.write_mode, m.epoch, m.mark INTO seen
      FROM migrator.switch s LEFT JOIN migrator.epoch_mark m ON m.epoch OPERATOR(pg_catalog.=) s.epoch;
    IF NOT pg_catalog.texteq(pg_catalog.current_setting('synchronous_commit'), 'remote_apply') THEN
        PERFORM pg_catalog.set_config('synchronous_commit', 'on', true);
    END IF;
    RETURN pg_catalog.concat_ws(' ',
        coalesce(pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text, '-'),
        CASE WHEN pg_catalog.texteq(pg_catalog.current_setting('migrator.begun', true), mark) THEN 'begun' ELSE '-' END,
        pg_catalog.current_setting('transaction_deferrable'),
        seen.write_mode, coalesce(seen.epoch, -1), coalesce(seen.mark::pg_catalog.text, '-'),
        pg_catalog.current_setting('migrator.parts', true));
END $$;

-- One row per tenant that has ever been moved; a tenant without a row reads classic.
CREATE TABLE migrator.route (
    tenant_id  text PRIMARY KEY,
    part       smallint NOT NULL,
    level      text NOT NULL DEFAULT 'classic' CHECK (level IN ('classic', 'joining', 'limitless')),
    reads_pct  smallint NOT NULL DEFAULT 100 CHECK (reads_pct BETWEEN 0 AND 100),
    wave       int,
    watched    boolean NOT NULL DEFAULT false,   -- shims report this tenant's latencies one by one
    epoch      bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL,
    reason     text NOT NULL
);
-- Each change of a route is found through its epoch, by every process: that is worth an entry here for each one, which keeps
-- updates of this table from being HOT.
CREATE INDEX ON migrator.route (epoch);
-- Clients that wait for a write ask again and again whether its partition has a tenant that is not on classic.
CREATE INDEX ON migrator.route (part) WHERE level <> 'classic';

-- Tenants that a person keeps on classic, by name, until they are released or a date has come: no wave, no ramp and no
-- command moves their reads up. Known to the application or not: a hold may be older than the tenant's first route.
-- Those that count now: migrator.held_tenant.
CREATE TABLE migrator.tenant_hold (
    tenant_id  text PRIMARY KEY,
    reason     text NOT NULL,
    held_by    text NOT NULL,
    held_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    wave       int,                  -- set when it was held by the rollback of this wave
    until      timestamptz           -- it ends then by itself; NULL: when a person releases the tenant
);

-- Tenants that a person wants to move in a certain wave. Kept until their reads have moved; see
-- migrator.traffic.cutover.choice.
CREATE TABLE migrator.tenant_order (
    tenant_id  text PRIMARY KEY,
    wave       int NOT NULL,
    ordered_by text NOT NULL,
    reason     text NOT NULL,
    ordered_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Automatic, temporary: reads of what it covers come from classic. Few rows; readers always take all of them.
CREATE TABLE migrator.fallback (
    scope      text NOT NULL CHECK (scope IN ('all', 'part', 'tenant')),
    scope_key  text NOT NULL,        -- '' for all, the partition number, or the tenant
    level      text NOT NULL CHECK (level IN ('classic', 'joining')),
    reason     text NOT NULL,
    raised_by  text NOT NULL,
    raised_at  timestamptz NOT NULL DEFAULT now(),
    epoch      bigint NOT NULL,
    held       boolean NOT NULL DEFAULT false,   -- manual: raised by a person, cleared only by a person
    PRIMARY KEY (scope, scope_key)
);

-- Every process that runs the shim.
CREATE TABLE migrator.process (
    process_id    text PRIMARY KEY,
    name          text NOT NULL,
    started_at    timestamptz NOT NULL DEFAULT now(),
    seen_at       timestamptz NOT NULL DEFAULT now(),
    applied_epoch bigint NOT NULL DEFAULT 0,
    staleness_s   double precision NOT NULL,  -- after seen_at + this, the process serves reads from classic by itself
    login         text NOT NULL DEFAULT session_user,
    behind_epoch  bigint,                     -- of clients (contract.sql): the newest epoch when they fell behind it
    behind_at     timestamptz                 -- and when that was; NULL: they are not behind
) WITH (fillfactor = 50);

-- Read replicas of classic, by the server instance that answers (migrator.shim.replica_sql.INSTANCE): one start of one
-- server. An acknowledged write waits for each that is joining or serving; reads go to those that serve. Changed under
-- the switch row, with an epoch, as routes are.
CREATE TABLE migrator.replica (
    instance   text PRIMARY KEY,
    name       text NOT NULL,        -- host and port, as the process that proposed it reaches it
    level      text NOT NULL CHECK (level IN ('out', 'joining', 'serving')),
    epoch      bigint NOT NULL,
    writer     text NOT NULL,        -- the instance of the writer it follows; another one means nothing
    reason     text NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    outs       int NOT NULL DEFAULT 0  -- how often it was taken out; it stays out for longer each time
) WITH (fillfactor = 50);

-- Which replicas a process can wait for. A process without a row knows no replicas (an earlier release, or one that is
-- given none): none is in service beside it.
CREATE TABLE migrator.replica_reach (
    process_id text PRIMARY KEY,
    instances  text[] NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION migrator.take_replicas_out() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now_at bigint;
BEGIN
    PERFORM FROM migrator.replica_reach WHERE process_id = NEW.process_id;
    IF FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM FROM migrator.replica WHERE level <> 'out';
    IF NOT FOUND THEN
        -- Who takes one into service holds this row: that is seen now, or this process is seen then.
        PERFORM FROM migrator.switch FOR KEY SHARE;
        PERFORM FROM migrator.replica WHERE level <> 'out';
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    UPDATE migrator.switch SET epoch = epoch + 1 RETURNING epoch INTO now_at;
    UPDATE migrator.replica
       SET level = 'out', epoch = now_at, changed_at = clock_timestamp(), changed_by = NEW.process_id,
           reason = format('process %s does not wait for replicas', NEW.name)
     WHERE level <> 'out';
    INSERT INTO migrator.decision (who, kind, subject, reason, after)
    VALUES (NEW.process_id, 'replica.out', 'replica/all', format('process %s does not wait for replicas', NEW.name),
            jsonb_build_object('level', 'out', 'epoch', now_at));
    PERFORM pg_notify('migrator', 'route');
    RETURN NULL;
END $$;
CREATE TRIGGER take_replicas_out AFTER INSERT ON migrator.process
    FOR EACH ROW EXECUTE FUNCTION migrator.take_replicas_out();
ALTER TABLE migrator.process ENABLE ALWAYS TRIGGER take_replicas_out;
-- One that was silent may have counted as gone meanwhile. Half its limit: a heartbeat takes a while to commit.
CREATE TRIGGER take_replicas_out_again AFTER UPDATE ON migrator.process
    FOR EACH ROW WHEN (NEW.seen_at > OLD.seen_at + make_interval(secs => OLD.staleness_s / 2))
    EXECUTE FUNCTION migrator.take_replicas_out();
ALTER TABLE migrator.process ENABLE ALWAYS TRIGGER take_replicas_out_again;

-- Every worker: the plan it loaded when it was started, and its version. One that was started before a change goes on
-- with what it knows, so its activities refuse and status names it.
CREATE TABLE migrator.worker (
    worker_id  text PRIMARY KEY,     -- host:pid
    plan_id    text NOT NULL,
    digest     text NOT NULL,        -- as migrator.plan.digest
    shim       jsonb NOT NULL,       -- as migrator.plan.shim: may change while a migration runs
    version    text NOT NULL,        -- of the tool
    queues     text[] NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- Workflows beside the phases (mirrors, backfill, breaker monitor) that ended while the migration goes on.
CREATE TABLE migrator.stopped (
    workflow text PRIMARY KEY,
    state    text NOT NULL,          -- Temporal's word: failed, terminated, canceled, timed out, completed, not found
    reason   text NOT NULL DEFAULT '',
    at       timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Scopes a process has opened its own breaker for.
CREATE TABLE migrator.breaker_trip (
    process_id text NOT NULL,
    scope      text NOT NULL,
    scope_key  text NOT NULL,
    reason     text NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (process_id, scope, scope_key)
);

-- What shims measured, flushed about once a second. Buckets: counts by latency, see migrator.model.latency.
CREATE TABLE migrator.read_sample (
    at         timestamptz NOT NULL DEFAULT now(),
    process_id text NOT NULL,
    tenant_id  text,                 -- NULL: all tenants together
    side       text NOT NULL,
    reads      int NOT NULL,
    errors     int NOT NULL,         -- what counts against this side: lost, overloaded; on limitless, what classic does not give too
    buckets    int[] NOT NULL
);
CREATE INDEX ON migrator.read_sample (at);

CREATE TABLE migrator.shadow_sample (
    at           timestamptz NOT NULL DEFAULT now(),
    process_id   text NOT NULL,
    compared     int NOT NULL,
    mismatched   int NOT NULL,
    classic_ms   double precision NOT NULL,
    limitless_ms double precision NOT NULL
);
CREATE INDEX ON migrator.shadow_sample (at);

-- Samples live for minutes: migrator.control.samples adds them up and deletes them in one statement, a bounded number at
-- a time. Deleted rows are what these two tables mostly consist of, so they are vacuumed by their number, not by a share
-- of the table, and without pauses.
ALTER TABLE migrator.read_sample SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);
ALTER TABLE migrator.shadow_sample SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);

-- Sums of samples by the minute, and by the hour once they are older. `at` is where the minute or hour begins.
CREATE TABLE migrator.read_minute (
    at         timestamptz NOT NULL,
    tenant_id  text,                 -- NULL: all tenants together
    side       text NOT NULL,
    reads      bigint NOT NULL,
    errors     bigint NOT NULL,
    buckets    bigint[] NOT NULL,
    UNIQUE NULLS NOT DISTINCT (side, tenant_id, at)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX ON migrator.read_minute (at);

CREATE TABLE migrator.read_hour (LIKE migrator.read_minute INCLUDING ALL);

CREATE TABLE migrator.shadow_hour (
    at           timestamptz PRIMARY KEY,
    compared     bigint NOT NULL,
    mismatched   bigint NOT NULL,
    classic_ms   double precision NOT NULL,      -- of all compared reads together, not their mean
    limitless_ms double precision NOT NULL
);

-- What shadow reads found, by statement (migrator.shim.shadow); tenant_id: '' for reads that did not differ. Samples live
-- for minutes, as those above.
CREATE TABLE migrator.shadow_read_sample (
    at          timestamptz NOT NULL DEFAULT now(),
    process_id  text NOT NULL,
    fingerprint text NOT NULL,
    tenant_id   text NOT NULL,
    statement   text NOT NULL,       -- without values
    note        text NOT NULL,       -- what was seen, without values of rows
    compared    int NOT NULL,        -- decided: the same, in another order, or different
    differing   int NOT NULL,
    reordered   int NOT NULL,        -- the same rows in another order
    undecided   int NOT NULL         -- rows changed meanwhile, or a side did not answer: nothing is known
);
CREATE INDEX ON migrator.shadow_read_sample (at);
ALTER TABLE migrator.shadow_read_sample SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);

-- Their sums by the minute.
CREATE TABLE migrator.shadow_read (
    at          timestamptz NOT NULL,
    fingerprint text NOT NULL,
    tenant_id   text NOT NULL,
    compared    bigint NOT NULL,
    differing   bigint NOT NULL,
    reordered   bigint NOT NULL,
    undecided   bigint NOT NULL,
    PRIMARY KEY (fingerprint, tenant_id, at)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX ON migrator.shadow_read (at);
CREATE INDEX shadow_read_differing ON migrator.shadow_read (at) WHERE differing > 0;

-- What the fingerprints stand for, and what was seen last that was not the same.
CREATE TABLE migrator.shadow_statement (
    fingerprint text PRIMARY KEY,
    statement   text NOT NULL,
    note        text NOT NULL DEFAULT '',
    seen_at     timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- Sums of samples since the tool was installed, for counters that never begin anew. A few dozen rows; samples that are not
-- added up yet come on top (migrator.control.measured).
CREATE TABLE migrator.read_total (
    side     text PRIMARY KEY,       -- classic, limitless: reads; ack/LEVEL: writes; error/SIDE/CLASS; fell_back; shadow
    reads    bigint NOT NULL,
    errors   bigint NOT NULL,
    buckets  bigint[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);

-- What reads were like on classic before they moved: the measure of the guard, and of what comes after the waves.
CREATE TABLE migrator.read_baseline (
    tenant_id  text UNIQUE NULLS NOT DISTINCT,   -- NULL: all tenants together, before the first wave
    wave       int NOT NULL,                     -- that measured it
    reads      bigint NOT NULL,
    errors     bigint NOT NULL,
    p99_ms     double precision,                 -- NULL: nothing was read
    at         timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Reads on Limitless that are slower, or fail more often, than the plan allows after the waves. One row per breach,
-- from the first check that finds it until the limit has been kept for long enough.
CREATE TABLE migrator.slo_breach (
    tenant_id   text UNIQUE NULLS NOT DISTINCT,  -- NULL: all tenants together
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    reason      text NOT NULL,
    recorded_at timestamptz                      -- when it became an incident; NULL while it has not lasted
);

-- The decision log, append-only: actor, kind, subject, reason and time. See docs/governance.md.
CREATE TABLE migrator.decision (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    who     text NOT NULL,
    kind    text NOT NULL,           -- route.moved, switch.moved, fallback.raised, gate.approved, ...
    subject text NOT NULL,
    before  jsonb,
    after   jsonb,
    reason  text NOT NULL,
    login   text                     -- the role that was logged in, whatever `who` says; NULL: before version 3
);
CREATE INDEX ON migrator.decision (kind, subject, at);

-- The hash chain over it: entries are sealed in the order they are found in, after their transactions have ended, so no
-- writer waits for another. hash: sha256 over seq, prev, content, repeated and note; content: sha256 over the entry. See
-- migrator/control/chain.py, which computes the same.
CREATE TABLE migrator.decision_seal (
    seq      bigint PRIMARY KEY,     -- from 1 on, without a gap
    entry    bigint NOT NULL UNIQUE, -- migrator.decision.id
    content  bytea NOT NULL,
    repeated boolean NOT NULL,       -- the entry may be deleted once it is old; this row stays
    note     text NOT NULL,          -- 'sealed at upgrade', or empty
    prev     bytea NOT NULL,         -- hash of the row before; empty for the first
    hash     bytea NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row: who holds it seals. Every entry up to `low` is sealed, or its transaction was rolled back.
CREATE TABLE migrator.decision_chain (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    low      bigint NOT NULL DEFAULT 0,
    next_low bigint,                 -- becomes `low` once every transaction before `next_xid` has ended
    next_xid xid8
) WITH (fillfactor = 50);
INSERT INTO migrator.decision_chain DEFAULT VALUES;

-- An application's role (it was granted the shim, and not the routes) tells what shims do, and when it does. As the
-- invoker, so that it sees who inserts; triggers of the tool itself insert as their owner.
CREATE FUNCTION migrator.stamp_decision() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.login := session_user;
    IF NOT pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER')
       AND has_table_privilege(current_user, 'migrator.process', 'INSERT')
       AND NOT has_table_privilege(current_user, 'migrator.route', 'UPDATE') THEN
        IF NEW.kind NOT IN ('fallback.raised', 'replica.out', 'replica.joining', 'replica.serving') THEN
            RAISE insufficient_privilege USING
                MESSAGE = format('role %s may not write %s to the decision log', quote_ident(current_user), NEW.kind);
        END IF;
        NEW.at := clock_timestamp();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stamp_decision BEFORE INSERT ON migrator.decision
    FOR EACH ROW EXECUTE FUNCTION migrator.stamp_decision();
ALTER TABLE migrator.decision ENABLE ALWAYS TRIGGER stamp_decision;

-- Numbers of entries are handed out here, not brought along: one that is taken already would keep the next decision of
-- the tool, a rollback's, from being written, and behind one far ahead no later incident is seen. Of sessions of the tool
-- itself the identity column's own counts. With the rights of the owner, who alone may use the sequence.
CREATE FUNCTION migrator.take_number() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER') THEN
        NEW.id := nextval(pg_get_serial_sequence(TG_RELID::regclass::text, 'id'));
    END IF;
    RETURN NEW;
END $$;
REVOKE EXECUTE ON FUNCTION migrator.take_number() FROM PUBLIC;
CREATE TRIGGER take_number BEFORE INSERT ON migrator.decision
    FOR EACH ROW EXECUTE FUNCTION migrator.take_number();
ALTER TABLE migrator.decision ENABLE ALWAYS TRIGGER take_number;

-- For everybody, the owner too. A superuser can switch triggers off: that is what the chain is for. Only what the tool
-- repeats at every check as long as its cause stays may be deleted, once it is sealed and two days old.
CREATE FUNCTION migrator.refuse_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'decision' THEN
        PERFORM FROM migrator.decision_seal s
          WHERE s.entry = OLD.id AND s.repeated AND OLD.at < clock_timestamp() - interval '2 days';
        IF FOUND THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE insufficient_privilege USING MESSAGE = format('migrator.%s is append-only: no %s', TG_TABLE_NAME, TG_OP),
        HINT = 'What was decided stays. Decide anew, and say why.';
END $$;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON migrator.decision
    FOR EACH ROW EXECUTE FUNCTION migrator.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON migrator.decision
    FOR EACH STATEMENT EXECUTE FUNCTION migrator.refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON migrator.decision_seal
    FOR EACH ROW EXECUTE FUNCTION migrator.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON migrator.decision_seal
    FOR EACH STATEMENT EXECUTE FUNCTION migrator.refuse_change();
ALTER TABLE migrator.decision ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE migrator.decision ENABLE ALWAYS TRIGGER refuse_truncate;
ALTER TABLE migrator.decision_seal ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE migrator.decision_seal ENABLE ALWAYS TRIGGER refuse_truncate;

-- One field of what is hashed: its length in bytes, the text in UTF-8; '-' for NULL.
CREATE FUNCTION migrator.hashed_field(value text) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(convert_to(octet_length(convert_to(value, 'UTF8')) || ':' || value || ',', 'UTF8'), '-,'::bytea)
$$;

-- Seals at most *most* entries; returns how many, or NULL while another session seals. In the order of ids, but what
-- commits late comes late. With *everything* also what would lie below `low`: the hourly check, and every verification.
CREATE FUNCTION migrator.seal_decisions(most int, everything boolean, note text) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    chain record;
    horizon record;
    entry record;
    seq bigint;
    prev bytea;
    content bytea;
    hash bytea;
    repeats boolean;
    done int := 0;
BEGIN
    SELECT c.low, c.next_low, c.next_xid INTO chain FROM migrator.decision_chain c FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT coalesce(max(d.id), 0) AS newest, pg_snapshot_xmin(pg_current_snapshot()) AS xmin,
           pg_snapshot_xmax(pg_current_snapshot()) AS xmax
      INTO horizon FROM migrator.decision d;
    SELECT s.seq, s.hash INTO seq, prev FROM migrator.decision_seal s ORDER BY s.seq DESC LIMIT 1;
    seq := coalesce(seq, 0);
    prev := coalesce(prev, '');
    FOR entry IN
        SELECT d.* FROM migrator.decision d
         WHERE d.id > CASE WHEN everything THEN '-9223372036854775808'::bigint ELSE chain.low END
           AND NOT EXISTS (SELECT FROM migrator.decision_seal s WHERE s.entry = d.id)
         ORDER BY d.id LIMIT most
    LOOP
        seq := seq + 1;
        done := done + 1;
        content := sha256(migrator.hashed_field(entry.id::text)
            || migrator.hashed_field(to_char(entry.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
            || migrator.hashed_field(entry.who) || migrator.hashed_field(entry.login)
            || migrator.hashed_field(entry.kind) || migrator.hashed_field(entry.subject)
            || migrator.hashed_field(entry.before::text) || migrator.hashed_field(entry.after::text)
            || migrator.hashed_field(entry.reason));
        repeats := entry.kind IN (
                'fallback.raised', 'fallback.eased', 'fallback.cleared', 'divergence.found', 'mirror.failed',
                'workflow.stopped', 'wave.chosen', 'wave.watched', 'wave.deferred')
            AND entry.who ~ '^(breaker monitor|slo monitor|guard|mirror|migration|cutover)$|^shim |^validation [(]';
        hash := sha256(migrator.hashed_field(seq::text) || migrator.hashed_field(encode(prev, 'hex'))
            || migrator.hashed_field(encode(content, 'hex')) || migrator.hashed_field(repeats::text)
            || migrator.hashed_field(note));
        INSERT INTO migrator.decision_seal (seq, entry, content, repeated, note, prev, hash)
        VALUES (seq, entry.id, content, repeats, note, prev, hash);
        prev := hash;
    END LOOP;
    IF done < most THEN
        IF chain.next_xid IS NULL OR chain.next_xid > horizon.xmax THEN  -- the numbers of another history
            UPDATE migrator.decision_chain SET next_low = horizon.newest, next_xid = horizon.xmax;
        ELSIF chain.next_xid <= horizon.xmin AND (chain.low, chain.next_low) <> (horizon.newest, horizon.newest) THEN
            UPDATE migrator.decision_chain
               SET low = chain.next_low, next_low = horizon.newest, next_xid = horizon.xmax;
        END IF;
    END IF;
    RETURN done;
END $$;
REVOKE EXECUTE ON FUNCTION migrator.seal_decisions(int, boolean, text) FROM PUBLIC;

-- Captured tables; the descriptor is migrator.model.table.Table.
CREATE TABLE migrator.captured_table (
    table_id   smallint PRIMARY KEY,
    relid      oid,                     -- which table it is, whatever it is called; names are for texts of statements
    qualified  text NOT NULL UNIQUE,
    descriptor jsonb NOT NULL,
    version    int NOT NULL DEFAULT 1   -- counts the changes of the descriptor; mirrors look at it in every cycle
);

-- Captured tables, their partitions and what their columns are made of, as capture was built for them. See
-- migrator.shape_now() in dataplane/capture/shape.sql.
CREATE TABLE migrator.captured_shape (
    kind   text NOT NULL,               -- table, type, schema, function, ...
    object oid NOT NULL,
    name   text NOT NULL,               -- when it was noted
    facets jsonb NOT NULL,              -- name, columns, triggers, ...: what must stay
    PRIMARY KEY (kind, object)
);

-- Capture loss: one row while writes may have passed the journal; no mirror goes on until all is copied again.
CREATE TABLE migrator.capture_loss (
    only_one   boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    problems   text[] NOT NULL,
    noticed_by text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Partitions whose keys a transaction has journalled because it is about to drop them.
CREATE TABLE migrator.dropped_leaf (
    relid oid NOT NULL,
    xid   xid8 NOT NULL
);

-- Changes of the schema that go to both sides: migrator schema apply. One row per change; `step` is the last one done.
CREATE TABLE migrator.schema_change (
    change_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL,
    table_name  text NOT NULL,
    name        text NOT NULL,           -- of the column or index
    words       text NOT NULL,
    body        jsonb NOT NULL,          -- migrator.dataplane.change.change.Change
    step        text NOT NULL DEFAULT '',
    seen_from   text,                    -- pg_snapshot: what reads in it, or a later one, uses the new shape
    at          timestamptz,             -- classic's clock at that moment
    filled_to   text[],                  -- key up to which existing rows were filled
    problem     text,
    changed_by  text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
);
CREATE INDEX ON migrator.schema_change (change_id) WHERE finished_at IS NULL;

-- The slot of the journal ring that writers use now. A sequence, because every capture trigger reads it: that takes no
-- query, and all see a change at once.
CREATE SEQUENCE migrator.ring MINVALUE 0 START 0 NO CYCLE;
SELECT FROM setval('migrator.ring', 0) AS migrator_set;

-- There may be orphan rows in spite of foreign keys, unless both are 1. See
-- migrator.dataplane.capture.orphans.
CREATE SEQUENCE migrator.orphans;
SELECT FROM setval('migrator.orphans', 1) AS migrator_set;
CREATE SEQUENCE migrator.orphans_checked MINVALUE 0 START 0;
SELECT FROM setval('migrator.orphans_checked', 0) AS migrator_set;

-- Mirror positions as published for shims and status. The checkpoint is migrator.mirror_position on Limitless.
CREATE TABLE migrator.position (
    part       smallint PRIMARY KEY,
    epoch      bigint NOT NULL,
    snapshot   text NOT NULL,        -- pg_snapshot: Limitless holds everything it sees
    fresh_at   timestamptz NOT NULL, -- when that snapshot was taken
    lag_s      double precision NOT NULL DEFAULT 0,
    depth      bigint NOT NULL DEFAULT 0,      -- journal entries read in the last cycle
    applied    bigint NOT NULL DEFAULT 0,      -- rows applied since the mirror started
    rows_per_s double precision NOT NULL DEFAULT 0,
    state      text NOT NULL DEFAULT 'running',
    problem    text
) WITH (fillfactor = 20);

-- One mirror token per try of a cycle, committed before Limitless moves: its flush makes durable what the cycle
-- saw, and a classic that was restored or lost its tail no longer holds it.
CREATE TABLE migrator.heartbeat (
    part       smallint PRIMARY KEY,
    token      uuid NOT NULL,
    base_token uuid,                 -- what Limitless held when this try began
    epoch      bigint NOT NULL DEFAULT 0,  -- lease term of the mirror that wrote it: a superseded one must not overwrite it
    reference_at timestamptz,        -- last change of a reference table
    nobody_at    timestamptz         -- when an orphan row last changed
) WITH (fillfactor = 20);

-- Retention pins: journal rows at or above the lowest xmin of all positions and all pins are kept.
CREATE TABLE migrator.hold (
    holder   text PRIMARY KEY,       -- a copy unit
    keep_xid bigint NOT NULL,       -- journal rows of this transaction and later ones are kept
    at     timestamptz NOT NULL DEFAULT now()
);

-- Numbers copies, so that a verdict can name the one it saw; no number comes twice, whatever is undone.
CREATE SEQUENCE migrator.generation;

-- Half of each page is left free: a wave and each cycle of a mirror update many rows at once, in no indexed column (HOT).
CREATE TABLE migrator.tenant (
    tenant_id     text PRIMARY KEY,
    part          smallint NOT NULL,
    state         text NOT NULL DEFAULT 'pending'
                  CHECK (state IN ('pending', 'copying', 'mirrored', 'quarantined')),
    rows          bigint NOT NULL DEFAULT 0,   -- estimate when planned, exact once copied or validated
    writes        bigint NOT NULL DEFAULT 0,   -- of the rows, those written by recent transactions; see migrator.model.tenant.hot_tenants
    hot           boolean NOT NULL DEFAULT false,
    wave          int,
    reason        text,              -- why it is quarantined
    changed_at    timestamptz,       -- last change the mirror applied
    clean_at      timestamptz,       -- last validation without divergence
    clean_fence   text,
    clean_fingerprint text,          -- of both schemas at that validation
    divergent     bigint,            -- rows found by the last validation; NULL: never validated
    validated_at  timestamptz,
    recopy        text,              -- why it is to be copied again; it leaves the mirrored set first
    generation    bigint NOT NULL DEFAULT nextval('migrator.generation')  -- its copy; see migrator.control.generation
) WITH (fillfactor = 50);
CREATE INDEX ON migrator.tenant (state);

-- What the backfill copies. The lease that decides who may commit is migrator.copy_lease on Limitless.
CREATE TABLE migrator.copy_unit (
    unit_id     text PRIMARY KEY,
    part        smallint NOT NULL,
    tenants     text[] NOT NULL,     -- empty for reference tables
    table_name  text,                -- set when the unit is one table only
    but_tables  text[] NOT NULL DEFAULT '{}',  -- else it is every table except these, which have units of their own
    lower_key   text,                -- set when it is a range of its first key column: lower <= key < upper
    upper_key   text,
    state       text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'copying', 'copied', 'joined', 'failed')),
    rows        bigint NOT NULL DEFAULT 0,     -- estimate
    copied_rows bigint NOT NULL DEFAULT 0,
    copied_bytes bigint NOT NULL DEFAULT 0,
    attempts    int NOT NULL DEFAULT 0,
    worker      text,
    started_at  timestamptz,
    finished_at timestamptz,
    problem     text,
    superseded  boolean NOT NULL DEFAULT false,  -- everything was to be copied again: its rows count no more
    generation  bigint NOT NULL DEFAULT nextval('migrator.generation')
);
CREATE INDEX ON migrator.copy_unit (state);

-- Ranges of a huge tenant share a snapshot: each that is being copied lends its own. Means nothing after a crash.
CREATE UNLOGGED TABLE migrator.copy_snapshot (
    unit_id       text PRIMARY KEY,
    tenant_id     text NOT NULL,
    exported      text NOT NULL,     -- name for SET TRANSACTION SNAPSHOT
    pid           int NOT NULL,
    backend_start timestamptz NOT NULL,
    at            timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON migrator.copy_snapshot (tenant_id);

-- Limits of the backfill, which operators may change while it runs.
CREATE TABLE migrator.throttle (
    only_one   boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    paused     boolean NOT NULL DEFAULT false,
    mb_per_s   double precision,     -- NULL: no limit
    reason     text NOT NULL DEFAULT '',         -- shown in status, also when the tool throttles by itself
    changed_by text NOT NULL DEFAULT 'install'
);
INSERT INTO migrator.throttle DEFAULT VALUES;

-- Fences: a validation asks a mirror partition to pause for a moment.
-- Unlogged: a fence means nothing after a crash, and the mirror does not wait for a flush while it pauses.
CREATE UNLOGGED TABLE migrator.fence (
    fence_id     uuid PRIMARY KEY,
    part         smallint NOT NULL,
    pid          int NOT NULL DEFAULT pg_backend_pid(),  -- the validator's session: the mirror waits only while it lives
    state        text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'open', 'acked', 'closed', 'expired')),
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    exported     text,               -- name for SET TRANSACTION SNAPSHOT
    snapshot     text,               -- pg_snapshot both sides are equal at
    epoch        bigint,             -- lease term of the mirror that opened it
    pause_ms     double precision
);
CREATE INDEX ON migrator.fence (part) WHERE state = 'requested';

CREATE TABLE migrator.validation (
    run_id        uuid PRIMARY KEY,
    kind          text NOT NULL,     -- scheduled, manual, gate, repair
    started_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at   timestamptz,
    tenants       int NOT NULL DEFAULT 0,
    rows          bigint NOT NULL DEFAULT 0,
    divergent     bigint NOT NULL DEFAULT 0,
    fence_pause_ms double precision NOT NULL DEFAULT 0,  -- the longest
    schema_fingerprint text,         -- classic:limitless, see migrator.schema_fingerprint()
    whole         boolean NOT NULL DEFAULT false, -- reference tables and orphan rows were compared too
    marks         bigint NOT NULL DEFAULT 0       -- in the log, by which a replica shows how far it is
);
CREATE INDEX ON migrator.validation (started_at);
CREATE INDEX ON migrator.validation (finished_at);

-- Verdicts: one row per stretch of equal ones, so that it grows with what happened, not with time.
CREATE TABLE migrator.tenant_verdict (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   text,                -- NULL stands for the reference tables
    generation  bigint,              -- the copy it is about; one that was made again since counts no more
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    clean       boolean NOT NULL,
    fingerprint text NOT NULL,
    last_fence  text NOT NULL,
    times       int NOT NULL DEFAULT 1,
    rows        bigint NOT NULL,
    divergent   bigint NOT NULL,
    UNIQUE NULLS NOT DISTINCT (tenant_id, first_at, generation)
);

CREATE TABLE migrator.divergence (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id      uuid NOT NULL,
    found_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    table_name  text NOT NULL,
    tenant_id   text,                -- NULL: in a reference table
    generation  bigint,              -- the copy it was found in
    key         jsonb,               -- hashes of values unless asked for; NULL: all rows of an unknown tenant
    rows        bigint NOT NULL DEFAULT 1,
    kind        text NOT NULL,
    columns     text[] NOT NULL,
    fence       text NOT NULL,
    repaired_at timestamptz,
    repaired_by text
);

CREATE INDEX ON migrator.divergence (run_id);
CREATE INDEX ON migrator.divergence (table_name, tenant_id, id);

CREATE TABLE migrator.incident (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind        text NOT NULL,
    reason      text NOT NULL,
    reported_by text NOT NULL,
    times       int NOT NULL DEFAULT 1,          -- how often it happened, see migrator.join_incidents()
    first_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON migrator.incident (kind, id);

-- Incidents are evidence and stay, so their number is bounded where they are written: one that happens again within
-- the hour, and every one of a kind beyond 20 an hour, takes the place of the one before and counts it. It has a new
-- number, so that the stabilization window sees it. What a person reported is joined only with the same words.
CREATE FUNCTION migrator.join_incidents() RETURNS trigger
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
CREATE TRIGGER join_incidents BEFORE INSERT ON migrator.incident
    FOR EACH ROW EXECUTE FUNCTION migrator.join_incidents();
ALTER TABLE migrator.incident ENABLE ALWAYS TRIGGER join_incidents;

-- An application's role may write what its shim writes: the next epoch, a fallback that takes reads to classic, the incident
-- of one. It may not go back, ease a fallback, or report an incident in a person's name. As the invoker, so that it sees who
-- writes; functions and sessions of the tool write as its owner.
CREATE FUNCTION migrator.refuse_forgery() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    wrong boolean;
BEGIN
    IF pg_has_role(current_user, (SELECT c.relowner FROM pg_class c WHERE c.oid = TG_RELID), 'MEMBER')
       OR has_table_privilege(current_user, 'migrator.route', 'UPDATE') THEN
        RETURN NEW;
    END IF;
    CASE TG_TABLE_NAME
        WHEN 'switch' THEN wrong := NEW.epoch <> OLD.epoch + 1;
        WHEN 'fallback' THEN
            wrong := (NEW.scope, NEW.scope_key) <> (OLD.scope, OLD.scope_key) OR (OLD.held AND NOT NEW.held)
                     OR (OLD.level = 'classic' AND NEW.level <> 'classic');
        ELSE
            wrong := NEW.kind <> 'fallback';
            NEW.at := clock_timestamp();
            NEW.first_at := NEW.at;
            NEW.times := 1;
    END CASE;
    IF wrong THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('role %s may not write this into migrator.%s', quote_ident(current_user), TG_TABLE_NAME);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER forged BEFORE UPDATE OF epoch ON migrator.switch
    FOR EACH ROW EXECUTE FUNCTION migrator.refuse_forgery();
ALTER TABLE migrator.switch ENABLE ALWAYS TRIGGER forged;
CREATE TRIGGER forged BEFORE UPDATE ON migrator.fallback
    FOR EACH ROW EXECUTE FUNCTION migrator.refuse_forgery();
ALTER TABLE migrator.fallback ENABLE ALWAYS TRIGGER forged;
CREATE TRIGGER forged BEFORE INSERT ON migrator.incident
    FOR EACH ROW EXECUTE FUNCTION migrator.refuse_forgery();
ALTER TABLE migrator.incident ENABLE ALWAYS TRIGGER forged;
CREATE TRIGGER take_number BEFORE INSERT ON migrator.incident
    FOR EACH ROW EXECUTE FUNCTION migrator.take_number();
ALTER TABLE migrator.incident ENABLE ALWAYS TRIGGER take_number;

-- What status shows without Temporal: one row per phase.
CREATE TABLE migrator.phase (
    phase      text PRIMARY KEY,
    state      text NOT NULL CHECK (state IN ('running', 'waiting', 'blocked', 'done', 'undone', 'failed')),
    since      timestamptz NOT NULL DEFAULT clock_timestamp(),
    detail     text NOT NULL DEFAULT '',
    blockers   text[] NOT NULL DEFAULT '{}',
    next_step  text NOT NULL DEFAULT '',
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
);

CREATE TABLE migrator.approval (
    gate     text PRIMARY KEY,
    approver text NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    evidence text NOT NULL DEFAULT ''    -- digest of what was approved
);

-- What each approver said of a gate, how it was known who that is, and of which evidence (docs/governance.md). An approval is
-- made of one or two of them.
CREATE TABLE migrator.approval_vote (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL,
    gate        text NOT NULL,                  -- as migrator.approval.gate; or plan_change
    approver    text NOT NULL,
    how         text NOT NULL CHECK (how IN ('none', 'token', 'oidc')),
    evidence    text NOT NULL,                  -- digest of `facts`
    facts       jsonb NOT NULL,
    proof       jsonb NOT NULL,                 -- key and signature, or issuer and subject; nothing secret
    voided_at   timestamptz,
    why_voided  text NOT NULL DEFAULT ''
);
CREATE INDEX ON migrator.approval_vote (gate) WHERE voided_at IS NULL;

-- Reports kept with the migration: audit, provision, shadow, cost, decommission.
CREATE TABLE migrator.report (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind text NOT NULL,
    body jsonb NOT NULL
);
CREATE INDEX ON migrator.report (kind, id);

-- What the last comparison of rights found, and classic's rights as they were then: status says what changed since.
CREATE TABLE migrator.rights_check (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    blockers text[] NOT NULL,
    rights   text[] NOT NULL
);

-- What classic's writer carries, and what this tool costs it, measured: an amount for each metric, and the seconds it was
-- watched for. Minutes are added up to hours, hours to days (migrator.control.writer_load).
CREATE TABLE migrator.writer_load (
    grain    text NOT NULL CHECK (grain IN ('minute', 'hour', 'day')),
    at       timestamptz NOT NULL,        -- beginning of the minute, hour or day in UTC
    metric   text NOT NULL,
    total    double precision NOT NULL,   -- what was measured, times the seconds
    seconds  double precision NOT NULL,
    peak     double precision,            -- of an hour its busiest minute, of a day its busiest hour
    PRIMARY KEY (grain, at, metric)
);

-- The state of the migration by the minute: what pictures over time are drawn from, beside reads (read_minute, read_hour)
-- and the writer's load. Minutes are added up to hours after two days (migrator.control.series). NULL: unknown.
CREATE TABLE migrator.state_sample (
    grain           text NOT NULL CHECK (grain IN ('minute', 'hour')),
    at              timestamptz NOT NULL,    -- beginning of the minute or hour in UTC
    minutes         int NOT NULL DEFAULT 1,  -- that were sampled
    lag_s           double precision,        -- of the mirror partition that lags most; of an hour the mean
    lag_max_s       double precision,        -- the same, of an hour the highest
    depth           double precision,        -- journal entries in the last cycle of all mirror partitions; of an hour the mean
    rows_per_s      double precision,        -- that mirrors applied; of an hour the mean
    pending         int NOT NULL,            -- tenants by the state of their rows; of an hour, as at its end
    copying         int NOT NULL,
    mirrored        int NOT NULL,
    quarantined     int NOT NULL,
    joining         int NOT NULL,            -- tenants by effective level; the others are on classic
    limitless       int NOT NULL,
    held            int NOT NULL,
    copied_rows     bigint NOT NULL,         -- by the backfill, of to_copy_rows
    to_copy_rows    bigint NOT NULL,
    oldest_clean_s  double precision,        -- age of the oldest clean validation of a tenant; of an hour the highest
    never_validated int NOT NULL,            -- tenants; of an hour, as at its end
    divergent       int NOT NULL,            -- tenants; of an hour the most
    fallbacks       int NOT NULL,            -- open ones; of an hour the most
    open_breakers   int NOT NULL,            -- of processes, by themselves; of an hour the most
    processes       int NOT NULL,            -- live ones; of an hour the fewest
    PRIMARY KEY (grain, at)
);

-- What Limitless used, by the hour, for its bill (migrator.control.cost): 400 days are kept.
CREATE TABLE migrator.limitless_hour (
    at          timestamptz PRIMARY KEY,    -- beginning of the hour in UTC
    acu         double precision NOT NULL,  -- mean of all nodes, without standbys
    peak_acu    double precision,           -- its busiest minute; NULL: unknown, as in the columns below
    standby_acu double precision,
    bytes       double precision,           -- of storage
    basis       text NOT NULL CHECK (basis IN ('cloudwatch', 'model'))
);

-- How fast copies and comparisons may go, as a share of what the plan allows: written every few seconds by the worker that
-- watches both sides (migrator.model.pace).
CREATE TABLE migrator.pace (
    only_one   boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    share      double precision NOT NULL DEFAULT 1,
    reason     text NOT NULL DEFAULT '',
    at         timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
INSERT INTO migrator.pace DEFAULT VALUES;

-- Notifications (migrator/notify): one process at a time looks at the state and tells receivers of the plan. One row:
-- who that is, and how far it has read the decision log. Identities commit out of order, so `decision` follows only once
-- every transaction that ran when `next_decision` was the newest has ended; what was read beyond it is in `read`.
CREATE TABLE migrator.notifier (
    only_one      boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    installation  uuid NOT NULL DEFAULT gen_random_uuid(),  -- tells two migrations of one name apart at their receivers
    holder        text NOT NULL DEFAULT '',
    term          bigint NOT NULL DEFAULT 0,                -- lease term: grows with each holder
    until         timestamptz NOT NULL DEFAULT '-infinity',
    decision      bigint,                                   -- decisions up to this one are read; NULL: none yet
    next_decision bigint,
    next_xid      xid8,
    read          bigint[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);
INSERT INTO migrator.notifier DEFAULT VALUES;

-- Conditions that stand, or are not over for long enough yet (migrator.model.condition).
CREATE TABLE migrator.open_condition (
    name            text PRIMARY KEY,
    body            jsonb NOT NULL,       -- as it was told last, or found first
    first_at        timestamptz NOT NULL,
    gone_at         timestamptz,          -- since when it was not seen; NULL: it stands
    told            jsonb NOT NULL DEFAULT '{}',  -- receivers that know of it: when each was told last
    acknowledged_by text
) WITH (fillfactor = 50);

-- The outbox: one row per message and receiver, kept for notify.keep_days.
CREATE TABLE migrator.notification (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    receiver text NOT NULL,
    name     text NOT NULL,               -- of the condition
    action   text NOT NULL CHECK (action IN ('opened', 'repeated', 'acknowledged', 'over', 'happened', 'test')),
    body     jsonb NOT NULL,
    state    text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'given_up')),
    tries    int NOT NULL DEFAULT 0,
    due_at   timestamptz NOT NULL DEFAULT '-infinity',
    ended_at timestamptz,
    problem  text NOT NULL DEFAULT ''
);
CREATE INDEX ON migrator.notification (receiver, id) WHERE state = 'waiting';
CREATE INDEX ON migrator.notification (at);

-- How receivers fare. A row only for one that was sent something.
CREATE TABLE migrator.receiver (
    receiver      text PRIMARY KEY,
    config        text NOT NULL,          -- digest of its section: a corrected one is tried at once
    sent_at       timestamptz,
    failing_since timestamptz,
    tries         int NOT NULL DEFAULT 0,
    due_at        timestamptz NOT NULL DEFAULT '-infinity',
    problem       text NOT NULL DEFAULT ''
) WITH (fillfactor = 50);

-- What the webhook was sent and what came of it: a row for each alarm, or for a rollback that a caller asked for. The
-- newest 10,000 are kept, deleted where they are written (migrator.control.alarm).
CREATE TABLE migrator.alarm (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    source   text NOT NULL,
    message  text NOT NULL,     -- the sender's number of the message, which a repetition has too; '' where there is none
    episode  text NOT NULL,     -- the same as long as an alarm fires; '' where the sender does not tell
    name     text NOT NULL,
    state    text NOT NULL,     -- the sender's word
    rule     int NOT NULL,      -- of the plan's rules of the source, from 1 on; 0: none
    action   text NOT NULL,
    target   text NOT NULL,
    outcome  text NOT NULL,
    note     text NOT NULL,
    handled  boolean NOT NULL   -- whether nothing is left to do: the same message again does nothing
);
CREATE INDEX ON migrator.alarm (source, message) WHERE message <> '';
CREATE INDEX ON migrator.alarm (source, episode) WHERE episode <> '';

-- Who uses classic beside this tool: sessions and walsenders of all databases, as looks found them. Bounded: the newest
-- 2,000 (migrator.control.sighting).
CREATE TABLE migrator.sighting (
    server      text NOT NULL,       -- writer, or a reader of the plan: reader 1
    kind        text NOT NULL CHECK (kind IN ('session', 'walsender')),
    database    text NOT NULL,       -- '' for a walsender
    role        text NOT NULL,
    application text NOT NULL,       -- its application_name; '' where it gives none
    client      text NOT NULL,       -- its address; '' on a local socket
    first_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    looks       bigint NOT NULL,     -- that found it
    active      bigint NOT NULL DEFAULT 0,  -- of them, those in which it ran a statement
    PRIMARY KEY (server, kind, database, role, application, client)
) WITH (fillfactor = 50);

-- Hours in which somebody looked: nothing seen says nothing of an hour without a row.
CREATE TABLE migrator.sighting_hour (
    server text NOT NULL,
    at     timestamptz NOT NULL,     -- beginning of the hour in UTC
    looks  int NOT NULL,
    PRIMARY KEY (server, at)
);

-- Drills: what was practised, and how it went. Bounded: the newest 1,000 (migrator.control.drill).
CREATE TABLE migrator.drill (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind    text NOT NULL CHECK (kind IN ('rollback', 'restore', 'temporal')),
    who     text NOT NULL,
    subject text NOT NULL,           -- what was rolled back, or restored
    passed  boolean NOT NULL,
    seconds double precision NOT NULL,
    body    jsonb NOT NULL           -- what was measured, and why it did not pass
);

-- A worker of an earlier version that was left running, or started again, would write here what this version reads with
-- another meaning. Every session of the tool says which version of this schema it works with (migrator.schema), but for
-- those of version 1, which knew nothing of it.
CREATE FUNCTION migrator.is_earlier() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT current_setting('application_name') ~ '^migrator (worker|mirror|copy|validate)'
       AND coalesce(nullif(current_setting('migrator.schema', true), '')::int, 1) < 2
$$;
CREATE FUNCTION migrator.refuse_earlier() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'this worker is of an earlier version than the control schema'
        USING ERRCODE = 'MG006', HINT = 'Stop it, and start the workers of the version that upgraded the schema.';
END $$;
CREATE TRIGGER refuse_earlier BEFORE INSERT OR UPDATE ON migrator.heartbeat
    FOR EACH STATEMENT WHEN (migrator.is_earlier()) EXECUTE FUNCTION migrator.refuse_earlier();
CREATE TRIGGER refuse_earlier BEFORE INSERT OR UPDATE ON migrator.copy_unit
    FOR EACH STATEMENT WHEN (migrator.is_earlier()) EXECUTE FUNCTION migrator.refuse_earlier();
CREATE TRIGGER refuse_earlier BEFORE INSERT ON migrator.validation
    FOR EACH STATEMENT WHEN (migrator.is_earlier()) EXECUTE FUNCTION migrator.refuse_earlier();
-- Never a rollback.
CREATE TRIGGER refuse_earlier BEFORE INSERT OR UPDATE ON migrator.route
    FOR EACH ROW WHEN (NEW.level <> 'classic' AND migrator.is_earlier()) EXECUTE FUNCTION migrator.refuse_earlier();

-- How the tenant stands whose read is compared on both sides; NULL while its rows, or the reference tables, do not follow
-- classic, or a change of the schema has reached one side alone.
CREATE FUNCTION migrator.shadow_standing(tenant text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found jsonb;
BEGIN
    SELECT jsonb_build_object('part', t.part, 'generation', t.generation,
               'changes', (SELECT coalesce(max(c.change_id), 0) FROM migrator.schema_change c),
               'everybody', NOT EXISTS (SELECT FROM migrator.tenant o
                                         WHERE o.state IN ('pending', 'copying', 'quarantined')))
      INTO found
      FROM migrator.tenant t, migrator.switch s
     WHERE t.tenant_id = tenant AND t.state = 'mirrored' AND t.recopy IS NULL AND s.write_mode = 'dual'
       AND NOT EXISTS (SELECT FROM migrator.schema_change c WHERE c.finished_at IS NULL)
       AND NOT EXISTS (SELECT FROM migrator.capture_loss)
       AND NOT EXISTS (SELECT FROM migrator.copy_unit u WHERE u.part = 0 AND u.state <> 'joined');
    RETURN found;
END $$;
REVOKE EXECUTE ON FUNCTION migrator.shadow_standing(text) FROM PUBLIC;

-- Which files the journals are in: TRUNCATE, by which their slots are emptied, gives a table another one.
CREATE FUNCTION migrator.journal_files() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found text;
BEGIN
    SELECT md5(coalesce(string_agg(c.oid || '/' || c.relfilenode, ',' ORDER BY c.oid), '')) INTO found
      FROM pg_class c
     WHERE c.relname >= 'journal_' AND c.relname < 'journal`' AND c.relkind = 'r'
       AND c.relnamespace = to_regnamespace('migrator');
    RETURN found;
END $$;
REVOKE EXECUTE ON FUNCTION migrator.journal_files() FROM PUBLIC;

-- Where a shadow read starts (migrator.shim.shadow_evidence): the journals' files, then how far Limitless is, then what
-- classic's answer will see at least. In this order: a key that no position covers yet is still in those files.
CREATE FUNCTION migrator.shadow_begin(tenant text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    files text := migrator.journal_files();
    positions jsonb;
    standing jsonb;
    now_at text;
BEGIN
    SELECT jsonb_object_agg(p.part, p.snapshot) INTO positions FROM migrator.position p;
    standing := migrator.shadow_standing(tenant);
    IF standing IS NULL OR positions IS NULL OR NOT positions ?& ARRAY['0', standing ->> 'part'] THEN
        RETURN NULL;
    END IF;
    SELECT pg_current_snapshot() INTO now_at;
    RETURN standing || jsonb_build_object('files', files, 'positions', positions, 'snapshot', now_at);
END $$;
REVOKE EXECUTE ON FUNCTION migrator.shadow_begin(text) FROM PUBLIC;

-- Whether the rows of *tenant* and the reference tables were the same on classic at every moment since *begun*, as far back
-- as Limitless may be: no key of them, and none of an unknown tenant, was journalled that a partition did not hold then.
-- covered: partitions that hold all of its snapshot by now; everything: the rows of every tenant. Without sequential scans,
-- as the newest entries are what is looked for, and journals have no statistics.
CREATE FUNCTION migrator.shadow_unchanged(tenant text, begun jsonb, covered int[], everything boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' SET enable_seqscan = off AS $$
DECLARE
    own int := (begun ->> 'part')::int;
    bases jsonb;
    lowest bigint;
    journal record;
    changed boolean;
BEGIN
    IF everything AND NOT coalesce((begun ->> 'everybody')::boolean, false) THEN
        RETURN false;
    END IF;
    SELECT jsonb_object_agg(p.key, CASE WHEN p.key::int = ANY (covered) THEN begun ->> 'snapshot' ELSE p.value END),
           min(pg_snapshot_xmin((CASE WHEN p.key::int = ANY (covered) THEN begun ->> 'snapshot' ELSE p.value END)
                                ::pg_snapshot)::text::bigint)
      INTO bases, lowest
      FROM jsonb_each_text(begun -> 'positions') p
     WHERE everything OR p.key::int IN (0, own);
    FOR journal IN
        SELECT t.table_id, EXISTS (SELECT FROM pg_attribute a
                                    WHERE a.attrelid = to_regclass('migrator.journal_' || t.table_id)
                                      AND a.attname = 'tenant_id' AND NOT a.attisdropped) AS sharded
          FROM migrator.captured_table t ORDER BY t.table_id
    LOOP
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM migrator.journal_%s j JOIN jsonb_each_text($1) b ON b.key::int ='
            ' CASE WHEN j.part >= 0 THEN j.part & 63 WHEN $4 THEN b.key::int ELSE $3 END'
            ' WHERE j.xid >= $2 AND (%s) AND NOT pg_visible_in_snapshot(j.xid::text::xid8, b.value::pg_snapshot))',
            journal.table_id,
            CASE WHEN journal.sharded THEN '$4 OR j.part < 0 OR j.part & 63 = 0 OR j.tenant_id::text = $5' ELSE 'true' END)
          INTO changed USING bases, lowest, own, everything, tenant;
        IF changed THEN
            RETURN false;
        END IF;
    END LOOP;
    -- After the look: what was emptied since the start may have been what is looked for.
    RETURN coalesce(migrator.journal_files() = begun ->> 'files'
                    AND migrator.shadow_standing(tenant) = begun - ARRAY['files', 'positions', 'snapshot'], false);
END $$;
REVOKE EXECUTE ON FUNCTION migrator.shadow_unchanged(text, jsonb, int[], boolean) FROM PUBLIC;

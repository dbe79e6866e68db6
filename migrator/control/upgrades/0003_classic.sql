-- From version 2 to version 3, on classic. As in the script before: each statement list is a step, short locks, may be
-- done twice.

-- name: writer_load
-- Make room for what classic's writer carries, by minute, hour and day (writer_load)
CREATE TABLE IF NOT EXISTS migrator.writer_load (
    grain    text NOT NULL CHECK (grain IN ('minute', 'hour', 'day')),
    at       timestamptz NOT NULL,        -- beginning of the minute, hour or day in UTC
    metric   text NOT NULL,
    total    double precision NOT NULL,   -- what was measured, times the seconds
    seconds  double precision NOT NULL,
    peak     double precision,            -- of an hour its busiest minute, of a day its busiest hour
    PRIMARY KEY (grain, at, metric)
);

-- name: limitless_hour
-- Make room for what Limitless used, by the hour (limitless_hour)
CREATE TABLE IF NOT EXISTS migrator.limitless_hour (
    at          timestamptz PRIMARY KEY,    -- beginning of the hour in UTC
    acu         double precision NOT NULL,  -- mean of all nodes, without standbys
    peak_acu    double precision,           -- its busiest minute; NULL: unknown, as in the columns below
    standby_acu double precision,
    bytes       double precision,           -- of storage
    basis       text NOT NULL CHECK (basis IN ('cloudwatch', 'model'))
);

-- name: replicas
-- Keep which read replicas of classic are in service (replica, replica_reach)
-- Read replicas of classic, by the server instance that answers (migrator.shim.replica_sql.INSTANCE): one start of one
-- server. An acknowledged write waits for each that is joining or serving; reads go to those that serve. Changed under
-- the switch row, with an epoch, as routes are.
CREATE TABLE IF NOT EXISTS migrator.replica (
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
CREATE TABLE IF NOT EXISTS migrator.replica_reach (
    process_id text PRIMARY KEY,
    instances  text[] NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE OR REPLACE FUNCTION migrator.take_replicas_out() RETURNS trigger
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
CREATE OR REPLACE TRIGGER take_replicas_out AFTER INSERT ON migrator.process
    FOR EACH ROW EXECUTE FUNCTION migrator.take_replicas_out();
ALTER TABLE migrator.process ENABLE ALWAYS TRIGGER take_replicas_out;
-- One that was silent may have counted as gone meanwhile. Half its limit: a heartbeat takes a while to commit.
CREATE OR REPLACE TRIGGER take_replicas_out_again AFTER UPDATE ON migrator.process
    FOR EACH ROW WHEN (NEW.seen_at > OLD.seen_at + make_interval(secs => OLD.staleness_s / 2))
    EXECUTE FUNCTION migrator.take_replicas_out();
ALTER TABLE migrator.process ENABLE ALWAYS TRIGGER take_replicas_out_again;

-- name: pace
-- Make room for how fast copies and comparisons may go (pace)
CREATE TABLE IF NOT EXISTS migrator.pace (
    only_one   boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    share      double precision NOT NULL DEFAULT 1,
    reason     text NOT NULL DEFAULT '',
    at         timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
INSERT INTO migrator.pace DEFAULT VALUES ON CONFLICT DO NOTHING;

-- name: tenant_pages
-- Leave half of each page of the table of tenants free for updates (tenant)
ALTER TABLE migrator.tenant SET (fillfactor = 50);
-- name: notifications
-- Make room for notifications: who sends, what stands, what was sent (notifier, open_condition, notification, receiver)
-- Notifications (migrator/notify): one process at a time looks at the state and tells receivers of the plan. One row:
-- who that is, and how far it has read the decision log. Identities commit out of order, so `decision` follows only once
-- every transaction that ran when `next_decision` was the newest has ended; what was read beyond it is in `read`.
CREATE TABLE IF NOT EXISTS migrator.notifier (
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
INSERT INTO migrator.notifier DEFAULT VALUES ON CONFLICT DO NOTHING;

-- Conditions that stand, or are not over for long enough yet (migrator.model.condition).
CREATE TABLE IF NOT EXISTS migrator.open_condition (
    name            text PRIMARY KEY,
    body            jsonb NOT NULL,       -- as it was told last, or found first
    first_at        timestamptz NOT NULL,
    gone_at         timestamptz,          -- since when it was not seen; NULL: it stands
    told            jsonb NOT NULL DEFAULT '{}',  -- receivers that know of it: when each was told last
    acknowledged_by text
) WITH (fillfactor = 50);

-- The outbox: one row per message and receiver, kept for notify.keep_days.
CREATE TABLE IF NOT EXISTS migrator.notification (
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
CREATE INDEX IF NOT EXISTS notification_receiver_id_idx ON migrator.notification (receiver, id) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS notification_at_idx ON migrator.notification (at);

-- How receivers fare. A row only for one that was sent something.
CREATE TABLE IF NOT EXISTS migrator.receiver (
    receiver      text PRIMARY KEY,
    config        text NOT NULL,          -- digest of its section: a corrected one is tried at once
    sent_at       timestamptz,
    failing_since timestamptz,
    tries         int NOT NULL DEFAULT 0,
    due_at        timestamptz NOT NULL DEFAULT '-infinity',
    problem       text NOT NULL DEFAULT ''
) WITH (fillfactor = 50);

-- name: before_commit
-- Let shims ask about a transaction before its COMMIT at a third of the cost (before_commit)
CREATE OR REPLACE FUNCTION migrator.before_commit(mark text) RETURNS text
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

-- name: client_marks
-- Note whose each process is, and how long it has been behind (process)
ALTER TABLE migrator.process
    ADD COLUMN IF NOT EXISTS login text NOT NULL DEFAULT session_user,
    ADD COLUMN IF NOT EXISTS behind_epoch bigint,
    ADD COLUMN IF NOT EXISTS behind_at timestamptz;

-- name: routes_by_partition
-- Find the tenants of a partition that are not on classic (route)
CREATE INDEX IF NOT EXISTS route_part_idx ON migrator.route (part) WHERE level <> 'classic';

-- name: validation_marks
-- Let validations mark the log, so that they can read a replica (validation)
ALTER TABLE migrator.validation ADD COLUMN IF NOT EXISTS marks bigint NOT NULL DEFAULT 0;

-- name: state_sample
-- Make room for the state of the migration by the minute (state_sample)
CREATE TABLE IF NOT EXISTS migrator.state_sample (
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
-- name: read_total
-- Count reads, errors and writes from now on, for metrics (read_total)
CREATE TABLE IF NOT EXISTS migrator.read_total (
    side     text PRIMARY KEY,       -- classic, limitless: reads; ack/LEVEL: writes; error/SIDE/CLASS; fell_back; shadow
    reads    bigint NOT NULL,
    errors   bigint NOT NULL,
    buckets  bigint[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);

-- name: alarm
-- Make room for what the webhook was sent and what came of it (alarm)
-- What the webhook was sent and what came of it: a row for each alarm, or for a rollback that a caller asked for. The
-- newest 10,000 are kept, deleted where they are written (migrator.control.alarm).
CREATE TABLE IF NOT EXISTS migrator.alarm (
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
CREATE INDEX IF NOT EXISTS alarm_source_message_idx ON migrator.alarm (source, message) WHERE message <> '';
CREATE INDEX IF NOT EXISTS alarm_source_episode_idx ON migrator.alarm (source, episode) WHERE episode <> '';

-- name: sightings_and_drills
-- Make room for who uses classic beside this tool, and for drills (sighting, sighting_hour, drill)
-- Who uses classic beside this tool: sessions and walsenders of all databases, as looks found them. Bounded: the newest
-- 2,000 (migrator.control.sighting).
CREATE TABLE IF NOT EXISTS migrator.sighting (
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
CREATE TABLE IF NOT EXISTS migrator.sighting_hour (
    server text NOT NULL,
    at     timestamptz NOT NULL,     -- beginning of the hour in UTC
    looks  int NOT NULL,
    PRIMARY KEY (server, at)
);

-- Drills: what was practised, and how it went. Bounded: the newest 1,000 (migrator.control.drill).
CREATE TABLE IF NOT EXISTS migrator.drill (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind    text NOT NULL CHECK (kind IN ('rollback', 'restore', 'temporal')),
    who     text NOT NULL,
    subject text NOT NULL,           -- what was rolled back, or restored
    passed  boolean NOT NULL,
    seconds double precision NOT NULL,
    body    jsonb NOT NULL           -- what was measured, and why it did not pass
);

-- name: decision_log
-- Let no one change the decision log, and chain its entries by hash (decision_seal, decision_chain)
ALTER TABLE migrator.decision ADD COLUMN IF NOT EXISTS login text;
-- The hash chain over it: entries are sealed in the order they are found in, after their transactions have ended, so no
-- writer waits for another. hash: sha256 over seq, prev, content, repeated and note; content: sha256 over the entry. See
-- migrator/control/chain.py, which computes the same.
CREATE TABLE IF NOT EXISTS migrator.decision_seal (
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
CREATE TABLE IF NOT EXISTS migrator.decision_chain (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    low      bigint NOT NULL DEFAULT 0,
    next_low bigint,                 -- becomes `low` once every transaction before `next_xid` has ended
    next_xid xid8
) WITH (fillfactor = 50);
INSERT INTO migrator.decision_chain DEFAULT VALUES ON CONFLICT DO NOTHING;

-- An application's role (it was granted the shim, and not the routes) tells what shims do, and when it does. As the
-- invoker, so that it sees who inserts; triggers of the tool itself insert as their owner.
CREATE OR REPLACE FUNCTION migrator.stamp_decision() RETURNS trigger
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
CREATE OR REPLACE TRIGGER stamp_decision BEFORE INSERT ON migrator.decision
    FOR EACH ROW EXECUTE FUNCTION migrator.stamp_decision();
ALTER TABLE migrator.decision ENABLE ALWAYS TRIGGER stamp_decision;

-- Numbers of entries are handed out here, not brought along: one that is taken already would keep the next decision of
-- the tool, a rollback's, from being written, and behind one far ahead no later incident is seen. Of sessions of the tool
-- itself the identity column's own counts. With the rights of the owner, who alone may use the sequence.
CREATE OR REPLACE FUNCTION migrator.take_number() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER') THEN
        NEW.id := nextval(pg_get_serial_sequence(TG_RELID::regclass::text, 'id'));
    END IF;
    RETURN NEW;
END $$;
REVOKE EXECUTE ON FUNCTION migrator.take_number() FROM PUBLIC;
CREATE OR REPLACE TRIGGER take_number BEFORE INSERT ON migrator.decision
    FOR EACH ROW EXECUTE FUNCTION migrator.take_number();
ALTER TABLE migrator.decision ENABLE ALWAYS TRIGGER take_number;

-- For everybody, the owner too. A superuser can switch triggers off: that is what the chain is for. Only what the tool
-- repeats at every check as long as its cause stays may be deleted, once it is sealed and two days old.
CREATE OR REPLACE FUNCTION migrator.refuse_change() RETURNS trigger
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
CREATE OR REPLACE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON migrator.decision
    FOR EACH ROW EXECUTE FUNCTION migrator.refuse_change();
CREATE OR REPLACE TRIGGER refuse_truncate BEFORE TRUNCATE ON migrator.decision
    FOR EACH STATEMENT EXECUTE FUNCTION migrator.refuse_change();
CREATE OR REPLACE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON migrator.decision_seal
    FOR EACH ROW EXECUTE FUNCTION migrator.refuse_change();
CREATE OR REPLACE TRIGGER refuse_truncate BEFORE TRUNCATE ON migrator.decision_seal
    FOR EACH STATEMENT EXECUTE FUNCTION migrator.refuse_change();
ALTER TABLE migrator.decision ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE migrator.decision ENABLE ALWAYS TRIGGER refuse_truncate;
ALTER TABLE migrator.decision_seal ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE migrator.decision_seal ENABLE ALWAYS TRIGGER refuse_truncate;

-- One field of what is hashed: its length in bytes, the text in UTF-8; '-' for NULL.
CREATE OR REPLACE FUNCTION migrator.hashed_field(value text) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(convert_to(octet_length(convert_to(value, 'UTF8')) || ':' || value || ',', 'UTF8'), '-,'::bytea)
$$;

-- Seals at most *most* entries; returns how many, or NULL while another session seals. In the order of ids, but what
-- commits late comes late. With *everything* also what would lie below `low`: the hourly check, and every verification.
CREATE OR REPLACE FUNCTION migrator.seal_decisions(most int, everything boolean, note text) RETURNS int
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

-- name: sealed_at_upgrade
-- Seal the entries there are, as they are now
SELECT FROM migrator.seal_decisions(2147483647, true, 'sealed at upgrade') AS migrator_sealed;

-- name: forgery
-- Let applications' roles write what their shims write, and nothing else (refuse_forgery)
-- An application's role may write what its shim writes: the next epoch, a fallback that takes reads to classic, the incident
-- of one. It may not go back, ease a fallback, or report an incident in a person's name. As the invoker, so that it sees who
-- writes; functions and sessions of the tool write as its owner.
CREATE OR REPLACE FUNCTION migrator.refuse_forgery() RETURNS trigger
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
CREATE OR REPLACE TRIGGER forged BEFORE UPDATE OF epoch ON migrator.switch
    FOR EACH ROW EXECUTE FUNCTION migrator.refuse_forgery();
ALTER TABLE migrator.switch ENABLE ALWAYS TRIGGER forged;
CREATE OR REPLACE TRIGGER forged BEFORE UPDATE ON migrator.fallback
    FOR EACH ROW EXECUTE FUNCTION migrator.refuse_forgery();
ALTER TABLE migrator.fallback ENABLE ALWAYS TRIGGER forged;
CREATE OR REPLACE TRIGGER forged BEFORE INSERT ON migrator.incident
    FOR EACH ROW EXECUTE FUNCTION migrator.refuse_forgery();
ALTER TABLE migrator.incident ENABLE ALWAYS TRIGGER forged;
CREATE OR REPLACE TRIGGER take_number BEFORE INSERT ON migrator.incident
    FOR EACH ROW EXECUTE FUNCTION migrator.take_number();
ALTER TABLE migrator.incident ENABLE ALWAYS TRIGGER take_number;
-- name: approval_vote
-- Make room for what each approver said, and of which evidence (approval_vote)
CREATE TABLE IF NOT EXISTS migrator.approval_vote (
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
CREATE INDEX IF NOT EXISTS approval_vote_gate_idx ON migrator.approval_vote (gate) WHERE voided_at IS NULL;

-- name: shadow_reads
-- Keep what shadow reads found by statement, and prove it (shadow_read_sample, shadow_read, shadow_statement, shadow_unchanged)
-- What shadow reads found, by statement (migrator.shim.shadow); tenant_id: '' for reads that did not differ. Samples live
-- for minutes, as those above.
CREATE TABLE IF NOT EXISTS migrator.shadow_read_sample (
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
CREATE INDEX IF NOT EXISTS shadow_read_sample_at_idx ON migrator.shadow_read_sample (at);
ALTER TABLE migrator.shadow_read_sample SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);

-- Their sums by the minute.
CREATE TABLE IF NOT EXISTS migrator.shadow_read (
    at          timestamptz NOT NULL,
    fingerprint text NOT NULL,
    tenant_id   text NOT NULL,
    compared    bigint NOT NULL,
    differing   bigint NOT NULL,
    reordered   bigint NOT NULL,
    undecided   bigint NOT NULL,
    PRIMARY KEY (fingerprint, tenant_id, at)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX IF NOT EXISTS shadow_read_at_idx ON migrator.shadow_read (at);
CREATE INDEX IF NOT EXISTS shadow_read_differing ON migrator.shadow_read (at) WHERE differing > 0;

-- What the fingerprints stand for, and what was seen last that was not the same.
CREATE TABLE IF NOT EXISTS migrator.shadow_statement (
    fingerprint text PRIMARY KEY,
    statement   text NOT NULL,
    note        text NOT NULL DEFAULT '',
    seen_at     timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- How the tenant stands whose read is compared on both sides; NULL while its rows, or the reference tables, do not follow
-- classic, or a change of the schema has reached one side alone.
CREATE OR REPLACE FUNCTION migrator.shadow_standing(tenant text) RETURNS jsonb
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
CREATE OR REPLACE FUNCTION migrator.journal_files() RETURNS text
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
CREATE OR REPLACE FUNCTION migrator.shadow_begin(tenant text) RETURNS jsonb
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
CREATE OR REPLACE FUNCTION migrator.shadow_unchanged(tenant text, begun jsonb, covered int[], everything boolean) RETURNS boolean
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

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

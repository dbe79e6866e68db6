-- The control schema of release 0.1.0 on classic (version 1), word by word as that release installed it, without rows.
-- The tool's own tables on classic. Applied in one transaction by migrator.control.install.
-- They live on classic because a route change or a journal entry must commit atomically with application
-- writes, and because they must survive an outage of Limitless and of Temporal.

CREATE SCHEMA migrator;

-- Version of this schema, one row per upgrade.
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
    created_at timestamptz NOT NULL DEFAULT now()
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
CREATE INDEX ON migrator.route (epoch);

-- Automatic, temporary: reads of what it covers come from classic. Few rows; readers always take all of them.
CREATE TABLE migrator.fallback (
    scope      text NOT NULL CHECK (scope IN ('all', 'part', 'tenant')),
    scope_key  text NOT NULL,        -- '' for all, the partition number, or the tenant
    level      text NOT NULL CHECK (level IN ('classic', 'joining')),
    reason     text NOT NULL,
    raised_by  text NOT NULL,
    raised_at  timestamptz NOT NULL DEFAULT now(),
    epoch      bigint NOT NULL,
    held       boolean NOT NULL DEFAULT false,   -- raised by a human: the monitor leaves it alone
    PRIMARY KEY (scope, scope_key)
);

-- Every process that runs the shim.
CREATE TABLE migrator.process (
    process_id    text PRIMARY KEY,
    name          text NOT NULL,
    started_at    timestamptz NOT NULL DEFAULT now(),
    seen_at       timestamptz NOT NULL DEFAULT now(),
    applied_epoch bigint NOT NULL DEFAULT 0,
    staleness_s   double precision NOT NULL   -- after seen_at + this, the process serves reads from classic by itself
) WITH (fillfactor = 50);

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
    errors     int NOT NULL,         -- infrastructure errors only
    buckets    int[] NOT NULL
);
CREATE INDEX ON migrator.read_sample USING brin (at);

CREATE TABLE migrator.shadow_sample (
    at           timestamptz NOT NULL DEFAULT now(),
    process_id   text NOT NULL,
    compared     int NOT NULL,
    mismatched   int NOT NULL,
    classic_ms   double precision NOT NULL,
    limitless_ms double precision NOT NULL
);

-- Append-only: who decided or did what, when and why.
CREATE TABLE migrator.decision (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    who     text NOT NULL,
    kind    text NOT NULL,           -- route.moved, switch.moved, fallback.raised, gate.approved, ...
    subject text NOT NULL,
    before  jsonb,
    after   jsonb,
    reason  text NOT NULL
);

-- Captured tables; the descriptor is migrator.model.table.Table.
CREATE TABLE migrator.captured_table (
    table_id   smallint PRIMARY KEY,
    qualified  text NOT NULL UNIQUE,
    descriptor jsonb NOT NULL,
    version    int NOT NULL DEFAULT 1   -- counts the changes of the descriptor; mirrors look at it in every cycle
);

-- Changes of the schema that go to both sides: migrator schema apply. One row per change; `step` is the last one done.
CREATE TABLE migrator.schema_change (
    change_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL,
    table_name  text NOT NULL,
    name        text NOT NULL,           -- of the column or index
    words       text NOT NULL,
    body        jsonb NOT NULL,          -- migrator.change.change.Change
    step        text NOT NULL DEFAULT '',
    seen_from   text,                    -- pg_snapshot: whoever holds it, or a later one, knows the new shape
    at          timestamptz,             -- classic's clock at that moment
    filled_to   text[],                  -- key up to which existing rows were filled
    problem     text,
    changed_by  text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
);
CREATE INDEX ON migrator.schema_change (change_id) WHERE finished_at IS NULL;

-- The slot of the journal ring that writers use now. A sequence, because every capture trigger reads it: that takes no
-- query, and all see a turn at once.
CREATE SEQUENCE migrator.ring MINVALUE 0 START 0 NO CYCLE;
SELECT setval('migrator.ring', 0);

-- Mirror positions as published for shims and status. The truth is migrator.mirror_position on Limitless.
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

-- One token per try of a cycle, committed before Limitless moves: its flush makes durable what the cycle
-- saw, and a classic that was restored or lost its tail no longer holds it.
CREATE TABLE migrator.heartbeat (
    part       smallint PRIMARY KEY,
    token      uuid NOT NULL,
    base_token uuid,                 -- what Limitless held when this try began
    epoch      bigint NOT NULL DEFAULT 0   -- of the mirror that wrote it: a superseded one must not overwrite it
) WITH (fillfactor = 20);

-- Journal rows at or above the lowest xmin of all positions and all holds are kept.
CREATE TABLE migrator.hold (
    holder   text PRIMARY KEY,       -- a copy unit
    keep_xid bigint NOT NULL,       -- journal rows of this transaction and later ones are kept
    at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE migrator.tenant (
    tenant_id     text PRIMARY KEY,
    part          smallint NOT NULL,
    state         text NOT NULL DEFAULT 'pending'
                  CHECK (state IN ('pending', 'copying', 'mirrored', 'quarantined')),
    rows          bigint NOT NULL DEFAULT 0,   -- estimate when planned, exact once copied or validated
    hot           boolean NOT NULL DEFAULT false,
    wave          int,
    reason        text,              -- why it is quarantined
    changed_at    timestamptz,       -- last change the mirror applied
    clean_at      timestamptz,       -- last validation without divergence
    clean_fence   text,
    clean_fingerprint text,          -- of both schemas at that validation
    divergent     bigint,            -- rows found by the last validation; NULL: never validated
    validated_at  timestamptz,
    recopy        text               -- why it is to be copied again; the mirror lets it go first
);
CREATE INDEX ON migrator.tenant (state);

-- What the backfill copies. The lease that decides who may commit is migrator.copy_lease on Limitless.
CREATE TABLE migrator.copy_unit (
    unit_id     text PRIMARY KEY,
    part        smallint NOT NULL,
    tenants     text[] NOT NULL,     -- empty for reference tables
    table_name  text,                -- set when the unit is one table only
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
    problem     text
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

-- Operators steer the backfill while it runs.
CREATE TABLE migrator.throttle (
    only_one   boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    paused     boolean NOT NULL DEFAULT false,
    mb_per_s   double precision,     -- NULL: no limit
    reason     text NOT NULL DEFAULT '',         -- shown in status, also when the tool throttles by itself
    changed_by text NOT NULL DEFAULT 'install'
);
INSERT INTO migrator.throttle DEFAULT VALUES;

-- A validation asks a mirror partition to stand still for a moment.
-- Unlogged: a fence means nothing after a crash, and nobody waits for a flush while the mirror stands still.
CREATE UNLOGGED TABLE migrator.fence (
    fence_id     uuid PRIMARY KEY,
    part         smallint NOT NULL,
    pid          int NOT NULL DEFAULT pg_backend_pid(),  -- the validator's session: the mirror waits for the living only
    state        text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'open', 'acked', 'closed', 'expired')),
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    exported     text,               -- name for SET TRANSACTION SNAPSHOT
    snapshot     text,               -- pg_snapshot both sides are equal at
    epoch        bigint,             -- of the mirror that opened it
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
    whole         boolean NOT NULL DEFAULT false  -- reference tables and rows of nobody were looked at too
);

-- Who was clean when: one row per stretch of equal verdicts, so that it grows with what happened, not with time.
CREATE TABLE migrator.tenant_verdict (
    tenant_id   text NOT NULL,       -- '' stands for the reference tables
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    clean       boolean NOT NULL,
    fingerprint text NOT NULL,
    last_fence  text NOT NULL,
    times       int NOT NULL DEFAULT 1,
    rows        bigint NOT NULL,
    divergent   bigint NOT NULL,
    PRIMARY KEY (tenant_id, first_at)
);

-- What decides how rows compare, on this side: names, types and collations of the columns of migrated tables.
CREATE FUNCTION migrator.classic_fingerprint() RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT left(encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')),
                       'hex'), 16)
      FROM (SELECT concat_ws('|', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), o.collname)
              FROM migrator.captured_table t
              JOIN pg_namespace n ON n.nspname = t.descriptor ->> 'schema'
              JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.descriptor ->> 'name'
              JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              LEFT JOIN pg_collation o ON o.oid = a.attcollation) s (line)
$$;

-- The schemas as they are: classic's now, Limitless's as the last validation saw it.
CREATE FUNCTION migrator.schema_fingerprint() RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT migrator.classic_fingerprint() || ':' || coalesce(
        (SELECT split_part(schema_fingerprint, ':', 2) FROM migrator.validation
          WHERE schema_fingerprint IS NOT NULL ORDER BY started_at DESC LIMIT 1), '')
$$;

-- What gates may believe about a tenant: a verdict at another schema is none.
CREATE VIEW migrator.gate_fact AS
SELECT t.tenant_id, t.part, t.state, t.wave, t.reason, t.changed_at, t.validated_at, t.divergent, t.clean_fence,
       CASE WHEN t.clean_fingerprint = f.now THEN t.clean_at END AS clean_at,
       t.clean_at IS NOT NULL AND t.clean_fingerprint IS DISTINCT FROM f.now AS outdated
  FROM migrator.tenant t, (SELECT migrator.schema_fingerprint() AS now) f;

-- The same about the reference tables, which every tenant reads: one row where there are any, else none. A verdict from
-- before their last copy says nothing, and none counts as clean while they are copied.
CREATE VIEW migrator.reference_fact AS
SELECT v.divergent,
       CASE WHEN v.clean AND v.fingerprint = f.now AND NOT c.going_on THEN v.last_at END AS clean_at,
       coalesce(v.clean AND v.fingerprint <> f.now, false) AS outdated
  FROM (SELECT migrator.schema_fingerprint() AS now) f
 CROSS JOIN (SELECT coalesce(max(finished_at), '-infinity') AS finished_at,
                    coalesce(bool_or(state <> 'joined'), false) AS going_on
               FROM migrator.copy_unit WHERE part = 0) c
  LEFT JOIN (SELECT * FROM migrator.tenant_verdict WHERE tenant_id = '' ORDER BY last_at DESC LIMIT 1) v
    ON v.last_at > c.finished_at
 WHERE EXISTS (SELECT FROM migrator.captured_table WHERE descriptor ->> 'kind' <> 'sharded');

CREATE TABLE migrator.divergence (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id      uuid NOT NULL,
    found_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    table_name  text NOT NULL,
    tenant_id   text,
    key         jsonb NOT NULL,      -- hashes of values unless asked for
    kind        text NOT NULL,
    columns     text[] NOT NULL,
    fence       text NOT NULL,
    repaired_at timestamptz,
    repaired_by text
);

CREATE TABLE migrator.incident (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind        text NOT NULL,
    reason      text NOT NULL,
    reported_by text NOT NULL
);

-- What status shows when Temporal is away: one row per phase.
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

-- Reports kept with the migration: audit, provision, shadow, cost, decommission.
CREATE TABLE migrator.report (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind text NOT NULL,
    body jsonb NOT NULL
);

-- The tool's own tables on Limitless: what must commit together with mirrored rows.
-- Standard tables (all on one shard), but for migrator.settled.

CREATE SCHEMA migrator;

CREATE TABLE migrator.installed (
    version int PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now()
);

-- The checkpoint of each mirror partition. epoch: the lease term; a mirror takes the partition over by adding one.
CREATE TABLE migrator.mirror_position (
    part     smallint PRIMARY KEY,
    epoch    bigint NOT NULL,
    snapshot text NOT NULL,
    token    text NOT NULL,          -- of the cycle that wrote it; classic holds the same in migrator.heartbeat
    life     text NOT NULL,          -- of this dual write: lease terms begin again after it is undone
    state    text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed')),
    fresh_at timestamptz             -- when the snapshot was taken on classic, by the clock here; NULL: not known
);

-- Tenants whose rows follow classic. Changes only together with the position of their partition.
CREATE TABLE migrator.mirrored (
    part      smallint NOT NULL,
    tenant_id text NOT NULL,         -- partition 0 has one row, whatever it is called: for the reference tables
    PRIMARY KEY (part, tenant_id)
);

-- Who may commit a copy unit, and the snapshot it was copied at.
CREATE TABLE migrator.copy_lease (
    unit_id  text PRIMARY KEY,
    epoch    bigint NOT NULL,
    part     smallint NOT NULL,
    tenants  text[] NOT NULL,
    state    text NOT NULL CHECK (state IN ('copying', 'copied', 'joined', 'closed')),
    snapshot text,
    rows     bigint NOT NULL DEFAULT 0
);

-- What provisioning made here, so that undo drops that and nothing else.
CREATE TABLE migrator.provisioned (
    ordinal     bigint NOT NULL,
    kind        text NOT NULL,          -- schema, extension, type, sequence, table, index, constraint, function, ...
    schema_name text NOT NULL,          -- '' for what lives in no schema
    name        text NOT NULL,
    detail      text NOT NULL DEFAULT '',   -- a constraint's table, a function's identity
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, schema_name, name, detail)
);

-- What this cluster answered to questions that no document settles (migrator provision --probe).
CREATE TABLE migrator.probe (
    capability     text PRIMARY KEY,
    body           jsonb NOT NULL,      -- works, the server's words, kinds of tables, rules for wrapped errors
    engine_version text NOT NULL,
    at             timestamptz NOT NULL DEFAULT now()
);

-- What became of classic after the hand-over: its last copy, when it was stopped, who approved its deletion. Here, as
-- classic does not answer any more. One row.
CREATE TABLE migrator.retirement (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    body     jsonb NOT NULL
);

-- What each table of classic held when it took no writes any more: what a restored copy is compared with.
CREATE TABLE migrator.final_table (
    name   text PRIMARY KEY,         -- qualified
    rows   bigint NOT NULL,
    digest text NOT NULL,            -- of all rows, in no order
    at     timestamptz NOT NULL DEFAULT now()
);

-- Heads of the decision log's hash chain, as workers saw them: what is older cannot be changed on classic unseen.
CREATE TABLE migrator.decision_anchor (
    seq  bigint NOT NULL,
    hash text NOT NULL,                 -- in hexadecimal digits
    at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (seq, hash)
);

-- The terminal route, written behind the point of no return: a shim that starts without classic asks it, under
-- whatever role its application has, also one made later. It shows no more than that the migration is over.
-- A reference table: every shard answers without asking another.
SET LOCAL rds_aurora.limitless_create_table_mode = 'reference';
CREATE TABLE migrator.settled (
    epoch        bigint PRIMARY KEY,
    write_mode   text NOT NULL,
    at           timestamptz NOT NULL,  -- of the hand-over
    decisions    text NOT NULL,
    approver     text NOT NULL DEFAULT '',
    retiring_try bigint                 -- set before the first thing is done to classic
);
SET LOCAL rds_aurora.limitless_create_table_mode = 'standard';
GRANT USAGE ON SCHEMA migrator TO PUBLIC;
GRANT SELECT ON migrator.settled TO PUBLIC;

-- How old the rows of each mirror partition are, for sessions that read here: reports, jobs, BI (docs/reports-and-bi.md). Shows
-- no tenant. Once Limitless takes the writes nothing is old.
CREATE VIEW migrator.freshness AS
SELECT p.part, p.fresh_at, p.state,
       CASE WHEN EXISTS (SELECT FROM migrator.settled s WHERE s.write_mode = 'limitless_only') THEN 0
            ELSE date_part('epoch', clock_timestamp() - p.fresh_at) END AS age_s
  FROM migrator.mirror_position p;
GRANT SELECT ON migrator.freshness TO PUBLIC;

-- The same of each tenant whose rows follow classic, with the reference tables that it reads; a tenant without a row is not
-- here yet, or was taken out. It names tenants: migrator grant ROLE --for reader --on limitless.
CREATE VIEW migrator.tenant_freshness AS
SELECT m.tenant_id, m.part, least(f.fresh_at, r.fresh_at) AS fresh_at, greatest(f.age_s, r.age_s) AS age_s
  FROM migrator.mirrored m
  JOIN migrator.freshness f ON f.part = m.part
  LEFT JOIN migrator.freshness r ON r.part = 0
 WHERE m.part <> 0;

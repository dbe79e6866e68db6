-- From version 2 to version 3, on Limitless.

-- name: retirement
-- Make room for what becomes of classic after the hand-over (retirement, final_table)
SET LOCAL rds_aurora.limitless_create_table_mode = 'standard';
-- What became of classic after the hand-over: its last copy, when it was stopped, who approved its deletion. Here, as
-- classic does not answer any more. One row.
CREATE TABLE IF NOT EXISTS migrator.retirement (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    body     jsonb NOT NULL
);

-- What each table of classic held when it took no writes any more: what a restored copy is compared with.
CREATE TABLE IF NOT EXISTS migrator.final_table (
    name   text PRIMARY KEY,         -- qualified
    rows   bigint NOT NULL,
    digest text NOT NULL,            -- of all rows, in no order
    at     timestamptz NOT NULL DEFAULT now()
);

-- name: decision_anchor
-- Make room for heads of the decision log's hash chain (decision_anchor)
-- Heads of the decision log's hash chain, as workers saw them: what is older cannot be changed on classic unseen.
SET LOCAL rds_aurora.limitless_create_table_mode = 'standard';
CREATE TABLE IF NOT EXISTS migrator.decision_anchor (
    seq  bigint NOT NULL,
    hash text NOT NULL,                 -- in hexadecimal digits
    at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (seq, hash)
);

-- name: freshness
-- Say on Limitless how old its rows are (mirror_position.fresh_at, freshness, tenant_freshness)
ALTER TABLE migrator.mirror_position ADD COLUMN IF NOT EXISTS fresh_at timestamptz;
-- How old the rows of each mirror partition are, for sessions that read here: reports, jobs, BI (docs/reports-and-bi.md). Shows
-- no tenant. Once Limitless takes the writes nothing is old.
CREATE OR REPLACE VIEW migrator.freshness AS
SELECT p.part, p.fresh_at, p.state,
       CASE WHEN EXISTS (SELECT FROM migrator.settled s WHERE s.write_mode = 'limitless_only') THEN 0
            ELSE date_part('epoch', clock_timestamp() - p.fresh_at) END AS age_s
  FROM migrator.mirror_position p;
GRANT SELECT ON migrator.freshness TO PUBLIC;

-- The same of each tenant whose rows follow classic, with the reference tables that it reads; a tenant without a row is not
-- here yet, or was taken out. It names tenants: migrator grant ROLE --for reader --on limitless.
CREATE OR REPLACE VIEW migrator.tenant_freshness AS
SELECT m.tenant_id, m.part, least(f.fresh_at, r.fresh_at) AS fresh_at, greatest(f.age_s, r.age_s) AS age_s
  FROM migrator.mirrored m
  JOIN migrator.freshness f ON f.part = m.part
  LEFT JOIN migrator.freshness r ON r.part = 0
 WHERE m.part <> 0;

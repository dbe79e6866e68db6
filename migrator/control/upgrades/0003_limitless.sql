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

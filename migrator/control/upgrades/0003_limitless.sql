-- From version 2 to version 3, on Limitless.

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

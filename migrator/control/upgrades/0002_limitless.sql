-- From version 1 (release 0.1.0) to version 2, on Limitless. As 0002_classic.sql: each statement is a step, one
-- transaction, and may have been done before. No step both changes a table and writes rows of it.

-- name: lives
-- Tell dual writes apart: lease terms begin again after one is undone (mirror_position)
ALTER TABLE migrator.mirror_position ADD COLUMN IF NOT EXISTS life text;

-- name: life_of_this_one
-- Name the dual write that existing checkpoints belong to (mirror_position)
UPDATE migrator.mirror_position SET life = gen_random_uuid()::text WHERE life IS NULL;

-- name: no_position_without_life
-- Refuse checkpoints without one, which mirrors of version 1 would write (mirror_position)
ALTER TABLE migrator.mirror_position ALTER COLUMN life SET NOT NULL;

-- name: answers
-- Keep what this cluster answers to questions that no document settles (probe)
SET LOCAL rds_aurora.limitless_create_table_mode = 'standard';
CREATE TABLE IF NOT EXISTS migrator.probe (
    capability     text PRIMARY KEY,
    body           jsonb NOT NULL,
    engine_version text NOT NULL,
    at             timestamptz NOT NULL DEFAULT now()
);

-- name: terminal_route
-- Create the table of the terminal route, readable for every role that a shim may start under (settled)
SET LOCAL rds_aurora.limitless_create_table_mode = 'reference';
CREATE TABLE IF NOT EXISTS migrator.settled (
    epoch        bigint PRIMARY KEY,
    write_mode   text NOT NULL,
    at           timestamptz NOT NULL,
    decisions    text NOT NULL,
    approver     text NOT NULL DEFAULT '',
    retiring_try bigint
);
SET LOCAL rds_aurora.limitless_create_table_mode = 'standard';

-- name: terminal_route_of_before
-- Complete a terminal route that version 1 wrote (settled)
ALTER TABLE migrator.settled ADD COLUMN IF NOT EXISTS approver text NOT NULL DEFAULT '';
ALTER TABLE migrator.settled ADD COLUMN IF NOT EXISTS retiring_try bigint;
GRANT USAGE ON SCHEMA migrator TO PUBLIC;
GRANT SELECT ON migrator.settled TO PUBLIC;

-- expected: applied
BEGIN;
CREATE TYPE loan_state AS ENUM ('open', 'returned');
ALTER TABLE loan ADD COLUMN state loan_state NOT NULL DEFAULT 'open', ADD COLUMN returned_at timestamptz;
CREATE INDEX loan_state_idx ON loan (state) WHERE returned_at IS NULL;
COMMIT;

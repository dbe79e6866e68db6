-- expected: refused: ADD COLUMN
ALTER TABLE loan RENAME COLUMN due TO due_on;

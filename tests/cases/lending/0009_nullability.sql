-- expected: applied
UPDATE member SET email = 'nobody@example.org' WHERE email IS NULL;
ALTER TABLE title ALTER COLUMN name DROP NOT NULL;
ALTER TABLE language ALTER COLUMN name DROP NOT NULL;

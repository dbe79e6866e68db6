-- expected: refused: ADD COLUMN
ALTER TABLE title ALTER COLUMN price TYPE text USING price::text;

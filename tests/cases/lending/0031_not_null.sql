-- expected: applied
ALTER TABLE title ADD COLUMN shelf text DEFAULT 'A 1';
UPDATE title SET shelf = 'A 1' WHERE shelf IS NULL;
ALTER TABLE title ALTER COLUMN shelf SET NOT NULL;

-- expected: applied
ALTER TABLE title ALTER COLUMN name TYPE varchar(200);
ALTER TABLE title ALTER COLUMN name TYPE text;
ALTER TABLE title ALTER COLUMN price SET DATA TYPE numeric(12, 2);

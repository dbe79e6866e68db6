-- expected: applied
ALTER TABLE title DROP COLUMN legacy_code;

-- expected: applied
UPDATE loan SET borrower_id = NULL WHERE borrower_id IS NOT NULL AND due IS NULL;
ALTER TABLE loan DROP COLUMN member_id;

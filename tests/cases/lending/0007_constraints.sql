-- expected: applied
ALTER TABLE loan ADD CONSTRAINT fee_is_not_negative CHECK (fee >= 0) NOT VALID;
ALTER TABLE loan VALIDATE CONSTRAINT fee_is_not_negative;
ALTER TABLE title ADD CONSTRAINT pages_known CHECK (pages IS NULL OR pages >= 0);
ALTER TABLE note DROP CONSTRAINT about_something;

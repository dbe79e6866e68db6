-- expected: applied
SET CONSTRAINTS "member_country_fkey" IMMEDIATE; ALTER TABLE "member" DROP CONSTRAINT "member_country_fkey";
ALTER TABLE loan DROP CONSTRAINT fee_is_not_negative, ADD CONSTRAINT fee_in_bounds CHECK (fee BETWEEN -1000000000 AND 1000000000);
ALTER TABLE member DROP CONSTRAINT IF EXISTS never_was;

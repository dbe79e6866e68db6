-- expected: applied
BEGIN;
LOCK TABLE loan IN SHARE ROW EXCLUSIVE MODE;
DROP TYPE IF EXISTS unused;
DROP INDEX member_whole;
ALTER TABLE loan ADD CONSTRAINT loan_title_again FOREIGN KEY (title_id) REFERENCES title (id) NOT VALID;
CREATE SEQUENCE unused_numbers;
DROP SEQUENCE IF EXISTS never_was;
COMMIT;

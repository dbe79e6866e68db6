-- expected: applied
SET lock_timeout = '5s';
DROP VIEW IF EXISTS open_loans;
DROP VIEW IF EXISTS never_was;

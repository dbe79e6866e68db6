-- expected: applied
CREATE TYPE period AS (begins date, ends date);
ALTER TABLE reservation ADD COLUMN span period;

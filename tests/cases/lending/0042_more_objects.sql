-- expected: applied
ALTER SEQUENCE ticket_no INCREMENT BY 10;
CREATE STATISTICS loan_statistics ON title_id, fee FROM loan;
CREATE UNIQUE INDEX CONCURRENTLY member_whole ON member (org_id, joined, id);
REINDEX INDEX CONCURRENTLY loan_title;
CREATE TYPE unused AS ENUM ('a');
SELECT count(*) FROM loan;

-- expected: applied
-- disable-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS member_email ON member (lower(email));
DROP INDEX CONCURRENTLY IF EXISTS loan_state_idx;

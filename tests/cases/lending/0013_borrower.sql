-- expected: applied
ALTER TABLE loan ADD COLUMN borrower_id uuid REFERENCES member (id) ON DELETE SET NULL;
CREATE INDEX loan_borrower ON loan (borrower_id);

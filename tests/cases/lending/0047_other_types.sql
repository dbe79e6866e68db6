-- expected: refused: create another
ALTER TYPE loan_state RENAME TO state_of_loan;
ALTER SEQUENCE ticket_no RENAME TO ticket_number;

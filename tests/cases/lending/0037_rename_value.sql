-- expected: refused: ADD VALUE
ALTER TYPE loan_state RENAME VALUE 'returned' TO 'back';

-- expected: applied
CREATE SEQUENCE ticket_no START WITH 500 INCREMENT BY 5;
ALTER TABLE note ADD COLUMN ticket bigint;
ALTER TABLE note ALTER COLUMN ticket SET DEFAULT nextval('ticket_no');

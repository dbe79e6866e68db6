-- expected: applied
CREATE OR REPLACE VIEW open_loans AS
SELECT l.id, t.name, l.due, l.fee FROM loan l JOIN title t ON t.id = l.title_id WHERE l.state = 'open';

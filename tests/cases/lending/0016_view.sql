-- expected: applied
CREATE VIEW open_loans AS SELECT l.id, t.name, l.due FROM loan l JOIN title t ON t.id = l.title_id WHERE l.state = 'open';
COMMENT ON VIEW open_loans IS 'What is not back yet';
COMMENT ON COLUMN loan.due IS 'the day it has to be back';

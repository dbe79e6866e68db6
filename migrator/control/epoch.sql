-- Statements of epoch.py: another history of classic begins.

-- name: next_epoch
-- The trigger of migrator.switch makes the new mark.
UPDATE migrator.switch SET epoch = epoch + 1;

-- name: forget_marks
DELETE FROM migrator.epoch_mark m USING migrator.switch s WHERE m.epoch < s.epoch;

-- name: notify
SELECT migrator_said FROM pg_notify('migrator', 'route') AS migrator_said;

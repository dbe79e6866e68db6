-- Statements of migrator/control/route.py: migrator.switch and migrator.route on classic, migrator.settled on Limitless.

-- name: write_mode
SELECT write_mode FROM migrator.switch;

-- name: keep_write_mode
SELECT write_mode FROM migrator.switch FOR SHARE;

-- name: begin_dual
UPDATE migrator.switch
   SET write_mode = 'dual', changed_by = 'capture', changed_at = now(), epoch = epoch + 1, reason = 'capture is on'
 WHERE write_mode = 'classic_only';

-- name: end_dual
UPDATE migrator.switch
   SET write_mode = 'classic_only', epoch = epoch + 1, changed_by = 'capture', changed_at = now(),
       reason = 'capture is off'
 WHERE write_mode IN ('dual', 'closed');

-- name: switch
SELECT level, write_mode, epoch, changed_at, changed_by, reason FROM migrator.switch;

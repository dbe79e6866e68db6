-- Statements of fence.py: migrator.fence. Those that ask whether a validator's session lives are composed there.

-- name: expire
UPDATE migrator.fence SET state = 'expired' WHERE part = %(part)s AND state = 'open';

-- name: close
UPDATE migrator.fence
   SET pause_ms = %(pause_ms)s, state = CASE state WHEN 'acked' THEN 'closed' ELSE 'expired' END
 WHERE fence_id = ANY (%(fences)s);

-- name: request
INSERT INTO migrator.fence (fence_id, part) VALUES (%(fence)s, %(part)s)
ON CONFLICT (fence_id) DO UPDATE SET state = 'requested', requested_at = clock_timestamp(), pause_ms = NULL
RETURNING requested_at;

-- name: acknowledge
WITH done AS (
    UPDATE migrator.fence SET state = 'acked'
     WHERE fence_id = %(fence)s AND state = 'open' AND exported = %(exported)s RETURNING snapshot, epoch
)
SELECT snapshot, epoch, pg_notify(%(channel)s, '') FROM done;

-- name: state
SELECT state, exported FROM migrator.fence WHERE fence_id = %(fence)s;

-- name: pause
SELECT pause_ms FROM migrator.fence WHERE fence_id = %(fence)s;

-- name: remove
DELETE FROM migrator.fence WHERE fence_id = %(fence)s;

-- Statements of partition.py: migrator.position (as published for shims and status) and migrator.heartbeat (tokens) on
-- classic, migrator.mirror_position (checkpoints) and migrator.mirrored (mirrored tenants) on Limitless.

-- name: first_heartbeat
INSERT INTO migrator.heartbeat (part, token) VALUES (%(part)s, %(token)s) ON CONFLICT (part) DO NOTHING;

-- name: token_and_snapshot
SELECT token::text, pg_current_snapshot()::text FROM migrator.heartbeat WHERE part = %(part)s;

-- name: first_position
INSERT INTO migrator.position (part, epoch, snapshot, fresh_at, state)
VALUES (%(part)s, 0, %(snapshot)s, clock_timestamp(), 'starting') ON CONFLICT (part) DO NOTHING;

-- name: first_mirror_position
INSERT INTO migrator.mirror_position (part, epoch, snapshot, token, life)
VALUES (%(part)s, 0, %(snapshot)s, %(token)s, %(life)s) ON CONFLICT (part) DO NOTHING;

-- name: claim
UPDATE migrator.mirror_position SET epoch = epoch + 1 WHERE part = %(part)s AND state = 'open';

-- name: await_commit
UPDATE migrator.mirror_position SET epoch = epoch WHERE part = %(part)s;

-- name: checkpoint
SELECT epoch, snapshot, token, life, state FROM migrator.mirror_position WHERE part = %(part)s;

-- name: move
-- With how old the snapshot is, so that readers on Limitless can see how old their rows are; NULL: it is the same one.
UPDATE migrator.mirror_position
   SET snapshot = %(to)s, token = %(next)s,
       fresh_at = CASE WHEN %(age_s)s::float8 IS NULL THEN fresh_at
                       ELSE clock_timestamp() - make_interval(secs => %(age_s)s::float8) END
 WHERE part = %(part)s AND epoch = %(epoch)s AND snapshot = %(snapshot)s AND token = %(token)s AND state = 'open';

-- name: open_positions
SELECT part, snapshot FROM migrator.mirror_position WHERE state = 'open' ORDER BY part;

-- name: commit_token
WITH token AS (
    UPDATE migrator.heartbeat
       SET token = %(token)s, base_token = %(base)s::text::uuid, epoch = %(epoch)s,
           reference_at = CASE WHEN %(reference)s THEN clock_timestamp() ELSE reference_at END,
           nobody_at = CASE WHEN %(nobodys)s THEN clock_timestamp() ELSE nobody_at END
     WHERE part = %(part)s AND epoch <= %(epoch)s AND %(base)s::text IN (token::text, base_token::text) RETURNING part
), marked AS (
    UPDATE migrator.tenant SET changed_at = clock_timestamp()
     WHERE tenant_id = ANY (%(tenants)s) AND EXISTS (SELECT FROM token)
)
SELECT count(*) FROM token;

-- name: publish
-- No process is notified: see migrator/shim/pace.py.
INSERT INTO migrator.position AS q (part, epoch, snapshot, fresh_at, lag_s, depth, applied, rows_per_s, state, problem)
VALUES (%(part)s, %(epoch)s, %(snapshot)s, clock_timestamp() - make_interval(secs => %(age_s)s), %(lag_s)s,
        %(rows)s, %(applied)s, %(rows_per_s)s, 'running', NULL)
ON CONFLICT (part) DO UPDATE
   SET epoch = EXCLUDED.epoch, snapshot = EXCLUDED.snapshot, fresh_at = EXCLUDED.fresh_at, lag_s = EXCLUDED.lag_s,
       depth = EXCLUDED.depth, applied = EXCLUDED.applied, rows_per_s = EXCLUDED.rows_per_s, state = 'running',
       problem = NULL
 WHERE q.epoch <= EXCLUDED.epoch;

-- name: set_waiting
UPDATE migrator.position SET state = 'waiting', problem = %(problem)s WHERE part = %(part)s;

-- name: members
SELECT tenant_id FROM migrator.mirrored WHERE part = %(part)s;

-- name: all_members
SELECT part, tenant_id FROM migrator.mirrored WHERE part <> 0;

-- name: add_members
INSERT INTO migrator.mirrored (part, tenant_id) SELECT %(part)s, unnest(%(tenants)s::text[])
ON CONFLICT (part, tenant_id) DO NOTHING;

-- name: remove_members
DELETE FROM migrator.mirrored WHERE part = %(part)s AND tenant_id = ANY (%(tenants)s);

-- name: clear_members
DELETE FROM migrator.mirrored WHERE part = %(part)s;

-- name: revoke_all
UPDATE migrator.mirror_position SET epoch = epoch + 1, token = %(token)s;

-- name: mirror_partitions
SELECT part FROM migrator.mirror_position ORDER BY part;

-- name: restart_heartbeat
INSERT INTO migrator.heartbeat (part, token, epoch) VALUES (%(part)s, %(token)s, %(epoch)s)
ON CONFLICT (part) DO UPDATE SET token = EXCLUDED.token, base_token = NULL, epoch = EXCLUDED.epoch;

-- name: restart_position
INSERT INTO migrator.position (part, epoch, snapshot, fresh_at, state)
VALUES (%(part)s, %(epoch)s, %(snapshot)s, clock_timestamp(), 'starting')
ON CONFLICT (part) DO UPDATE
   SET epoch = EXCLUDED.epoch, snapshot = EXCLUDED.snapshot, fresh_at = EXCLUDED.fresh_at, state = 'starting',
       problem = NULL;

-- name: restart_mirror_position
UPDATE migrator.mirror_position SET snapshot = %(snapshot)s, token = %(token)s
 WHERE part = %(part)s AND epoch = %(epoch)s;

-- name: partitions
SELECT coalesce((SELECT max(part) FROM migrator.position WHERE part > 0),
                (SELECT (body -> 'dual_write' ->> 'parts')::int FROM migrator.plan), 1);

-- name: ring_shape
SELECT coalesce((SELECT max(part) FROM migrator.position WHERE part > 0),
                (SELECT (body -> 'dual_write' ->> 'parts')::int FROM migrator.plan), 1),
       (SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass(%(journal)s));

-- name: ages
SELECT part, age_s FROM migrator.partition_status ORDER BY part;

-- name: worst_lag
SELECT max(lag_s) FROM migrator.partition_status;

-- name: positions
SELECT part, snapshot FROM migrator.position;


-- name: reference_changed_since
SELECT EXISTS (SELECT FROM migrator.heartbeat
                WHERE part = 0 AND reference_at > %(at)s::timestamptz - make_interval(secs => %(margin_s)s));

-- name: mirror_positions
SELECT part, snapshot, state = 'closed' FROM migrator.mirror_position ORDER BY part;

-- name: any_mirror_position
SELECT snapshot FROM migrator.mirror_position LIMIT 1;

-- name: close_positions
-- One compare-and-swap per row: a mirror that goes on late finds another lease term and the state closed.
UPDATE migrator.mirror_position SET state = 'closed', epoch = epoch + 1 WHERE state = 'open';

-- name: reopen_positions
UPDATE migrator.mirror_position SET state = 'open', epoch = epoch + 1 WHERE state = 'closed';

-- name: partition_lags
SELECT part, lag_s, coalesce(problem, ''), state = 'failed' FROM migrator.partition_status ORDER BY part;

-- name: mark_mirror_failed
UPDATE migrator.position SET state = 'failed', problem = %(problem)s WHERE part = %(part)s;

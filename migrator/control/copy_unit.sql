-- Statements of copy_unit.py: migrator.copy_unit (what is copied) and migrator.copy_snapshot (snapshots that are lent) on
-- classic, migrator.copy_lease (who may commit a unit, and at which snapshot it was copied) on Limitless.

-- name: unit
SELECT unit_id, part, tenants, table_name, but_tables, lower_key, upper_key, state
  FROM migrator.copy_unit WHERE unit_id = %(unit)s;

-- name: begin
UPDATE migrator.copy_unit
   SET state = 'copying', attempts = attempts + 1, worker = %(worker)s, problem = NULL,
       started_at = clock_timestamp(), copied_rows = 0, copied_bytes = 0
 WHERE unit_id = %(unit)s;

-- name: report_progress
WITH told AS (
    UPDATE migrator.copy_unit SET copied_rows = %(rows)s, copied_bytes = %(bytes)s WHERE unit_id = %(unit)s
)
SELECT t.mb_per_s, (SELECT count(*) FROM migrator.copy_unit WHERE state = 'copying'),
       coalesce((SELECT share FROM migrator.pace WHERE at > clock_timestamp() - make_interval(secs => %(fresh_s)s)), 1)
  FROM migrator.throttle t;

-- name: set_copied
UPDATE migrator.copy_unit SET state = 'copied', finished_at = clock_timestamp()
 WHERE unit_id = %(unit)s AND state <> 'joined';

-- name: set_joined
UPDATE migrator.copy_unit SET state = 'joined', finished_at = coalesce(finished_at, clock_timestamp())
 WHERE unit_id = ANY (%(units)s) AND state <> 'joined';

-- name: supersede_all
UPDATE migrator.copy_unit SET state = 'joined', superseded = true, problem = NULL;

-- name: not_joined
SELECT unit_id, tenants FROM migrator.copy_unit WHERE part = %(part)s AND state <> 'joined';

-- name: copying_since_before
SELECT unit_id FROM migrator.copy_unit WHERE state = 'copying' AND started_at < to_timestamp(%(at)s);

-- name: lock_plan
LOCK TABLE migrator.copy_unit IN SHARE ROW EXCLUSIVE MODE;

-- name: covered
SELECT unnest(tenants) FROM migrator.copy_unit WHERE state <> 'joined';

-- name: has_reference
SELECT EXISTS (SELECT FROM migrator.copy_unit WHERE part = 0 AND NOT superseded);

-- name: count
SELECT count(*) FROM migrator.copy_unit;

-- name: add
INSERT INTO migrator.copy_unit (unit_id, part, tenants, table_name, but_tables, lower_key, upper_key, rows)
VALUES (%(unit)s, %(part)s, %(tenants)s, %(table)s, %(but)s, %(lower)s, %(upper)s, %(rows)s);

-- name: to_copy
SELECT unit_id FROM migrator.copy_unit WHERE state IN ('pending', 'copying', 'failed')
 ORDER BY part <> 0, rows DESC, unit_id;

-- name: lent
SELECT s.exported, h.keep_xid
  FROM migrator.copy_snapshot s
  JOIN pg_stat_activity a ON a.pid = s.pid AND a.backend_start = s.backend_start
  JOIN migrator.hold h ON h.holder = s.unit_id
 WHERE s.tenant_id = %(tenant)s AND s.unit_id <> %(unit)s
 ORDER BY s.at
 LIMIT 1
   FOR SHARE OF h;

-- name: lend
INSERT INTO migrator.copy_snapshot (unit_id, tenant_id, exported, pid, backend_start)
VALUES (%(unit)s, %(tenant)s, %(exported)s, %(pid)s, %(backend_start)s)
ON CONFLICT (unit_id) DO UPDATE
   SET exported = EXCLUDED.exported, pid = EXCLUDED.pid, backend_start = EXCLUDED.backend_start,
       at = clock_timestamp();

-- name: take_lease
INSERT INTO migrator.copy_lease AS l (unit_id, epoch, part, tenants, state)
VALUES (%(unit)s, 1, %(part)s, %(tenants)s, 'copying')
ON CONFLICT (unit_id) DO UPDATE SET epoch = l.epoch + 1 WHERE l.state = 'copying';

-- name: lease
SELECT epoch, state FROM migrator.copy_lease WHERE unit_id = %(unit)s;

-- name: anything_copied
SELECT EXISTS (SELECT FROM migrator.copy_lease) OR EXISTS (SELECT FROM migrator.mirrored);

-- name: finish_lease
UPDATE migrator.copy_lease SET state = 'copied', snapshot = %(snapshot)s, rows = %(rows)s
 WHERE unit_id = %(unit)s AND epoch = %(epoch)s AND state = 'copying';

-- name: copied_leases
SELECT unit_id, snapshot FROM migrator.copy_lease WHERE part = %(part)s AND state = 'copied';

-- name: joined_leases
SELECT unit_id FROM migrator.copy_lease WHERE part = %(part)s AND state = 'joined';

-- name: join_leases
UPDATE migrator.copy_lease SET state = 'joined' WHERE unit_id = ANY (%(units)s) AND state = 'copied';

-- name: revoke_leases
UPDATE migrator.copy_lease SET epoch = epoch + 1 WHERE unit_id = ANY (%(units)s) AND state = 'copying';

-- name: close_leases
UPDATE migrator.copy_lease SET state = 'closed', epoch = epoch + 1 WHERE state <> 'closed';

-- name: reopen_leases
UPDATE migrator.copy_lease SET state = 'joined', epoch = epoch + 1 WHERE state = 'closed';

-- name: failed_units
SELECT unit_id, problem FROM migrator.copy_unit WHERE state = 'failed' ORDER BY unit_id;

-- name: reference_units_left
SELECT count(*) FROM migrator.copy_unit WHERE part = 0 AND state <> 'joined';

-- name: mark_unit_failed
UPDATE migrator.copy_unit SET state = 'failed', problem = %(problem)s
 WHERE unit_id = %(unit)s AND state <> 'joined';

-- name: retry_failed_units
UPDATE migrator.copy_unit SET state = 'pending' WHERE state = 'failed';

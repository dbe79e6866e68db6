-- Statements of migrator/control/route.py: migrator.switch and migrator.route on classic, migrator.settled on Limitless.

-- name: write_mode
SELECT write_mode FROM migrator.switch;

-- name: locked_write_mode
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

-- name: lock_switch
-- Orders changes of routes, and hand-overs, one after the other.
SELECT FROM migrator.switch FOR UPDATE;

-- name: set_level
UPDATE migrator.switch SET level = %(level)s, changed_at = clock_timestamp(), changed_by = %(who)s, reason = %(reason)s;

-- name: set_write_mode
UPDATE migrator.switch
   SET write_mode = %(mode)s, changed_at = clock_timestamp(), changed_by = %(who)s, reason = %(reason)s;

-- name: routes
SELECT tenant_id, part, level, reads_pct, epoch FROM migrator.route ORDER BY tenant_id COLLATE "C";

-- name: standings
-- The version changes with every move, and not with what else gives a route another epoch: whether it is sampled.
SELECT tenant_id, part, level, reads_pct, epoch, changed_by, reason, wave,
       (extract(epoch FROM changed_at) * 1000000)::bigint AS version
  FROM migrator.route
 WHERE tenant_id = ANY (%(tenants)s);

-- name: off_classic
SELECT tenant_id FROM migrator.route
 WHERE level <> 'classic' AND (%(all)s OR tenant_id = ANY (%(tenants)s))
 ORDER BY tenant_id;

-- name: count_at
SELECT count(*) FROM migrator.route WHERE level = ANY (%(levels)s);

-- name: put_routes
-- A route keeps its wave unless it is given another one.
INSERT INTO migrator.route AS r (tenant_id, part, level, reads_pct, wave, epoch, changed_at, changed_by, reason)
SELECT u.tenant, u.part, %(level)s, %(pct)s, %(wave)s, %(epoch)s, (SELECT clock_timestamp()), %(who)s, %(reason)s
  FROM unnest(%(tenants)s::text[], %(parts)s::smallint[]) AS u (tenant, part)
ON CONFLICT (tenant_id) DO UPDATE
   SET level = EXCLUDED.level, reads_pct = EXCLUDED.reads_pct, wave = coalesce(EXCLUDED.wave, r.wave),
       epoch = EXCLUDED.epoch, changed_at = EXCLUDED.changed_at, changed_by = EXCLUDED.changed_by,
       reason = EXCLUDED.reason;

-- name: log_moves
-- Before they change: what each route was is read here, in the transaction that holds the switch row.
INSERT INTO migrator.decision (at, who, kind, subject, reason, before, after)
SELECT (SELECT clock_timestamp()), %(who)s, %(kind)s, 'tenant/' || u.id, %(reason)s,
       CASE WHEN r.tenant_id IS NOT NULL
            THEN jsonb_build_object('level', r.level, 'reads_pct', r.reads_pct, 'epoch', r.epoch) END,
       %(after)s::jsonb
  FROM unnest(%(tenants)s::text[]) WITH ORDINALITY AS u (id, n)
  LEFT JOIN migrator.route r ON r.tenant_id = u.id
 ORDER BY u.n;

-- name: move_back
UPDATE migrator.route
   SET level = 'classic', epoch = %(epoch)s, changed_at = (SELECT clock_timestamp()), changed_by = %(who)s,
       reason = %(reason)s
 WHERE tenant_id = ANY (%(tenants)s);

-- name: watch_routes
INSERT INTO migrator.route (tenant_id, part, watched, epoch, changed_by, reason)
SELECT u.tenant, u.part, %(on)s, %(epoch)s, %(who)s, %(reason)s
  FROM unnest(%(tenants)s::text[], %(parts)s::smallint[]) AS u (tenant, part)
ON CONFLICT (tenant_id) DO UPDATE SET watched = EXCLUDED.watched, epoch = EXCLUDED.epoch;

-- name: count_watched
SELECT count(*) FROM migrator.route WHERE watched AND tenant_id = ANY (%(tenants)s);

-- name: part_of
SELECT part FROM migrator.route WHERE tenant_id = %(tenant)s;

-- name: parts_in_use
SELECT DISTINCT part FROM migrator.route WHERE level <> 'classic';

-- name: store_settled
INSERT INTO migrator.settled (epoch, write_mode, at, decisions, approver)
VALUES (%(epoch)s, 'limitless_only', coalesce(%(at)s, now()), %(decisions)s, %(approver)s)
ON CONFLICT (epoch) DO NOTHING;

-- name: settled
SELECT write_mode, at FROM migrator.settled ORDER BY epoch DESC LIMIT 1;

-- name: mark_retiring
UPDATE migrator.settled SET retiring_try = %(number)s WHERE epoch = (SELECT max(epoch) FROM migrator.settled);

-- name: has_settled
SELECT to_regclass('migrator.settled') IS NOT NULL;

-- name: retiring
SELECT retiring_try, approver FROM migrator.settled WHERE retiring_try IS NOT NULL ORDER BY epoch DESC LIMIT 1;

-- name: not_mirrored
-- NULL stands for the reference tables. Tenants that another fallback covers read classic anyway.
SELECT r.tenant_id
  FROM migrator.route r
  LEFT JOIN migrator.tenant t USING (tenant_id)
 WHERE r.level = 'limitless' AND t.state IS DISTINCT FROM 'mirrored'
   AND NOT EXISTS (SELECT FROM migrator.fallback f
                    WHERE migrator.covers(f.scope, f.scope_key, r.tenant_id, r.part)
                      AND (f.scope, f.scope_key) IS DISTINCT FROM (%(scope)s, %(key)s))
 UNION ALL
SELECT NULL
 WHERE EXISTS (SELECT FROM migrator.copy_unit WHERE part = %(reference)s)
   AND NOT coalesce((SELECT bool_and(state = 'joined') FROM migrator.copy_unit
                      WHERE part = %(reference)s AND NOT superseded), false)
 ORDER BY 1;


"""The statements that a process runs on the tool's own tables.

Constants, so that importing the shim reads no files. All work through a pooler in transaction mode, except LISTEN,
which then never fires, so that the poll finds the change. Statements on an application's session qualify every name.
"""

from __future__ import annotations

from migrator.model import session

CHANNEL = "migrator"
"""Route changes notify it with payload `route`, mirrors with `position` when they publish."""

# Between two polls the session is idle for longer than some allow.
LISTEN = "SET idle_session_timeout = 0; LISTEN migrator"

SETTINGS = "SELECT shim FROM migrator.plan"

# An epoch of another history confirms nothing. Must have committed before the poll that it vouches for is sent; see
# watcher.Watcher._refresh.
HEARTBEAT = """
INSERT INTO migrator.process AS p (process_id, name, started_at, seen_at, applied_epoch, staleness_s)
SELECT %(process_id)s, %(name)s, clock_timestamp(), clock_timestamp(),
       coalesce((SELECT m.epoch FROM migrator.epoch_mark m WHERE m.epoch = %(epoch)s AND m.mark = %(mark)s::uuid), 0),
       %(registered_s)s
ON CONFLICT (process_id) DO UPDATE
   SET seen_at = clock_timestamp(), applied_epoch = EXCLUDED.applied_epoch, staleness_s = EXCLUDED.staleness_s
"""

LEAVE = """
WITH gone AS (DELETE FROM migrator.breaker_trip WHERE process_id = %(process_id)s)
DELETE FROM migrator.process WHERE process_id = %(process_id)s
"""

# One statement, so one moment. Epochs are handed out under the switch row's lock and commit in order, so
# "changed after the epoch I know" misses nothing, in the history of that epoch: in another one all routes are read.
POLL = """
WITH known AS (
    SELECT coalesce((SELECT m.epoch FROM migrator.epoch_mark m
                      WHERE m.epoch = %(after)s AND m.mark = %(mark)s::uuid), -1) AS epoch
)
SELECT s.epoch, s.level, s.write_mode,
       (SELECT coalesce(json_agg(json_build_array(r.tenant_id, r.part, r.level, r.reads_pct, r.epoch, r.watched)), '[]')
          FROM migrator.route r WHERE r.epoch > known.epoch),
       (SELECT coalesce(json_agg(json_build_array(f.scope, f.scope_key, f.level, f.epoch)), '[]')
          FROM migrator.fallback f),
       (SELECT coalesce(json_agg(json_build_array(
                   p.part, p.snapshot, extract(epoch FROM clock_timestamp() - p.fresh_at))), '[]')
          FROM migrator.position p),
       (SELECT json_agg(json_build_array(m.epoch, m.mark) ORDER BY m.epoch)
          FROM (SELECT * FROM migrator.epoch_mark WHERE epoch > known.epoch ORDER BY epoch DESC LIMIT %(marks)s) m),
       known.epoch
  FROM migrator.switch s, known
"""

# With the mark of their epoch: positions of another history cover nothing of this one.
POSITIONS = """
SELECT m.epoch, m.mark::text,
       (SELECT coalesce(json_agg(json_build_array(p.part, p.snapshot)), '[]') FROM migrator.position p)
  FROM migrator.switch s JOIN migrator.epoch_mark m ON m.epoch = s.epoch
"""

# The epoch that every live process has applied; nothing in another history than the caller's. Silent processes read
# classic by themselves, so no change waits for them.
APPLIED_BY_ALL = """
SELECT min(applied_epoch) FROM migrator.process
 WHERE clock_timestamp() <= seen_at + make_interval(secs => staleness_s)
   AND EXISTS (SELECT FROM migrator.epoch_mark WHERE epoch = %(epoch)s AND mark = %(mark)s::uuid)
"""

UNTOUCHED = "00"
"""The setting migrator.parts before anything was written; capture writes numbers, and none of them looks like this."""

# Two marks of the transaction, as an application may begin another one. DEFERRABLE means nothing here (it matters to
# read-only serializable ones); no RESET takes it away, and no plain BEGIN brings it.
BEGIN = (
    "BEGIN READ WRITE DEFERRABLE; SET LOCAL migrator.begun = '{mark}'; SET LOCAL migrator.parts = '" + UNTOUCHED + "'"
)

# Deferred constraint triggers may still write; they must do so before the transaction's marks are read. After them
# nothing of the application runs any more, so the rest may run as the role that logged in, and commit durably.
MARKS = """
SET CONSTRAINTS ALL IMMEDIATE;
SET LOCAL SESSION AUTHORIZATION DEFAULT;
SET LOCAL role TO DEFAULT;
SET LOCAL statement_timeout = 0;
SELECT pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text,
       pg_catalog.current_setting('migrator.parts', true),
       pg_catalog.current_setting('migrator.begun', true),
       pg_catalog.current_setting('transaction_deferrable')
"""

BEFORE_COMMIT = (
    MARKS.rstrip()
    + """,
       s.write_mode, m.epoch, m.mark::pg_catalog.text,
       DURABLE
  FROM migrator.switch s LEFT JOIN migrator.epoch_mark m ON m.epoch OPERATOR(pg_catalog.=) s.epoch
""".replace("DURABLE", session.durable())
)

TAKE_XID = "SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text"

OUTCOME = "SELECT pg_xact_status(%s::text::xid8)"

SETTLED = "SELECT write_mode FROM migrator.settled ORDER BY epoch DESC LIMIT 1"

SAMPLES = """
INSERT INTO migrator.read_sample (process_id, tenant_id, side, reads, errors, buckets)
SELECT %(process_id)s, s.tenant_id, s.side, s.reads, s.errors, s.buckets::int[]
  FROM unnest(%(tenants)s::text[], %(sides)s::text[], %(reads)s::int[], %(errors)s::int[], %(buckets)s::text[])
       AS s (tenant_id, side, reads, errors, buckets)
"""

SHADOWS = """
INSERT INTO migrator.shadow_sample (process_id, compared, mismatched, classic_ms, limitless_ms)
VALUES (%(process_id)s, %(compared)s, %(mismatched)s, %(classic_ms)s, %(limitless_ms)s)
"""

TRIPS = """
WITH now_open AS (
    SELECT * FROM unnest(%(scopes)s::text[], %(keys)s::text[], %(reasons)s::text[]) AS o (scope, scope_key, reason)
), closed AS (
    DELETE FROM migrator.breaker_trip t
     WHERE t.process_id = %(process_id)s
       AND NOT EXISTS (SELECT FROM now_open o WHERE (o.scope, o.scope_key) = (t.scope, t.scope_key))
)
INSERT INTO migrator.breaker_trip (process_id, scope, scope_key, reason, at)
SELECT %(process_id)s, scope, scope_key, reason, clock_timestamp() FROM now_open
ON CONFLICT (process_id, scope, scope_key) DO UPDATE SET reason = EXCLUDED.reason, at = EXCLUDED.at
"""

# Raising a fallback, in this order, in one transaction.
LOCK_SWITCH = "SELECT epoch, level, write_mode FROM migrator.switch FOR UPDATE"

FALLBACK = "SELECT level, epoch, held FROM migrator.fallback WHERE scope = %(scope)s AND scope_key = %(key)s"

NEXT_EPOCH = "UPDATE migrator.switch SET epoch = epoch + 1 RETURNING epoch"

PUT_FALLBACK = """
WITH decided AS (
    INSERT INTO migrator.decision (who, kind, subject, reason, before, after)
    VALUES (%(by)s, 'fallback.raised', 'fallback/' || %(scope)s || '/' || %(key)s, %(reason)s,
            %(before)s::jsonb, jsonb_build_object('level', %(level)s::text, 'epoch', %(epoch)s::bigint))
), remembered AS (
    INSERT INTO migrator.incident (kind, reason, reported_by)
    SELECT 'fallback', 'fallback ' || %(scope)s || ' ' || %(key)s || ': ' || %(reason)s, %(by)s WHERE %(incident)s
)
INSERT INTO migrator.fallback (scope, scope_key, level, reason, raised_by, raised_at, epoch, held)
VALUES (%(scope)s, %(key)s, %(level)s, %(reason)s, %(by)s, clock_timestamp(), %(epoch)s, %(held)s)
ON CONFLICT (scope, scope_key) DO UPDATE
   SET level = EXCLUDED.level, reason = EXCLUDED.reason, raised_by = EXCLUDED.raised_by,
       raised_at = EXCLUDED.raised_at, epoch = EXCLUDED.epoch, held = migrator.fallback.held OR EXCLUDED.held
"""

HOLD_FALLBACK = "UPDATE migrator.fallback SET held = true WHERE scope = %(scope)s AND scope_key = %(key)s"

ANNOUNCE = "SELECT pg_notify('migrator', 'route')"

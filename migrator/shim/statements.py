"""The statements that a process runs on the tool's own tables.

Constants, so that importing the shim reads no files. All work through a pooler in transaction mode, except LISTEN,
which then never fires, so that the poll finds the change. Statements on an application's session qualify every name.
"""

from __future__ import annotations

import zlib

import psycopg

from migrator.model import session

CHANNEL = "migrator"
"""Route changes notify it with payload `route`, or `route up N` when N routes went up, which is not urgent. Mirrors of
release 0.1.0 also send `position` when they publish, which no process needs any more."""

# Between two polls the session is idle for longer than some allow.
LISTEN = "SET idle_session_timeout = 0; LISTEN migrator"

SETTINGS = """
SELECT p.shim, pg_catalog.to_regprocedure('migrator.before_commit(text)') IS NOT NULL FROM migrator.plan p
"""

# An epoch of another history confirms nothing. Must have committed before the snapshot is taken of the reading that it
# vouches for; see watcher.py.
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

# Those that never said goodbye: of the same name once another of it starts, others much later, as operators may ask for
# them. Nothing waits for them. Some at a time, and those alone that no other session has locked.
FORGET_GONE = """
WITH gone AS (
    DELETE FROM migrator.process p
     USING (SELECT q.process_id FROM migrator.process q
             WHERE q.seen_at < clock_timestamp() - make_interval(secs => q.staleness_s
                                                                 + CASE WHEN q.name = %(name)s THEN 60 ELSE 3600 END)
             ORDER BY q.seen_at LIMIT 100 FOR UPDATE SKIP LOCKED) old
     WHERE p.process_id = old.process_id
    RETURNING p.process_id
)
DELETE FROM migrator.breaker_trip t USING gone WHERE t.process_id = gone.process_id
"""

# What tells that nothing changed, with the positions: a row of each partition. Nothing is looked up in search_path, so
# that it needs few settings: each process sends it all the time.
LOOK = """
SELECT s.epoch, m.mark, s.write_mode, p.part, p.snapshot,
       pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) p.fresh_at)
  FROM migrator.switch s JOIN migrator.epoch_mark m ON m.epoch OPERATOR(pg_catalog.=) s.epoch
  LEFT JOIN migrator.position p ON true
"""

# It brings its settings along: sessions of a pooler have none that last.
LOOK_ALONE = """
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = 0;
{look}
"""

# The heartbeat commits, and only then the look gets its snapshot: the server takes the statements of one message in
# order, and none after one that failed. END is COMMIT.
BEAT_AND_LOOK = "BEGIN; {pins} {heartbeat}; END; " + LOOK_ALONE

# Planning is most of what both cost. A session that listens is the process' own, so they are prepared in it; where a
# pooler lends another one after all, they are not found, and sent as they are. The names tell versions apart.
_NAMES = {"process_id": "$1", "name": "$2", "epoch": "$3", "mark": "$4", "registered_s": "$5"}
_PREPARED_BEAT = HEARTBEAT % _NAMES
_VERSION = f"{zlib.crc32((LOOK + HEARTBEAT).encode()):08x}"
PREPARE = (
    f"PREPARE migrator_look_{_VERSION} AS {LOOK};"
    f" PREPARE migrator_beat_{_VERSION} (text, text, bigint, uuid, double precision) AS {_PREPARED_BEAT}"
)
PREPARED_LOOK = f"EXECUTE migrator_look_{_VERSION}"
PREPARED_BEAT = f"EXECUTE migrator_beat_{_VERSION} (%(process_id)s, %(name)s, %(epoch)s, %(mark)s, %(registered_s)s)"

# One statement, so one moment. Epochs are handed out under the switch row's lock and commit in order, so
# "changed after the epoch I know" misses nothing, in the history of that epoch: in another one all routes are read.
# Routes that are alike travel together: a wave is one group.
POLL = """
WITH known AS (
    SELECT coalesce((SELECT m.epoch FROM migrator.epoch_mark m
                      WHERE m.epoch = %(after)s AND m.mark = %(mark)s::uuid), -1) AS epoch
)
SELECT s.epoch, s.level, s.write_mode,
       (SELECT coalesce(json_agg(json_build_array(g.part, g.level, g.reads_pct, g.epoch, g.watched, g.tenants)), '[]')
          FROM (SELECT r.part, r.level, r.reads_pct, r.epoch, r.watched, json_agg(r.tenant_id) AS tenants
                  FROM migrator.route r WHERE r.epoch > known.epoch GROUP BY 1, 2, 3, 4, 5) g),
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

FLEET = "OWN SELECT count(*) FROM migrator.process".replace("OWN", session.OWN_STATEMENTS)

# The epoch that every live process has applied; nothing in another history than the caller's. Silent processes read
# classic by themselves, and ask it for the write mode, so no change waits for them.
APPLIED_BY_ALL = """
SELECT min(applied_epoch) FROM migrator.process
 WHERE clock_timestamp() <= seen_at + make_interval(secs => staleness_s)
   AND EXISTS (SELECT FROM migrator.epoch_mark WHERE epoch = %(epoch)s AND mark = %(mark)s::uuid)
"""

# With the longest time after which one of them counts as silent.
APPLIED_AND_LONGEST = APPLIED_BY_ALL.replace("min(applied_epoch)", "min(applied_epoch), max(staleness_s)")

BEGIN_READ = "BEGIN READ ONLY"

# What begins a read on classic under routes that have run out. The mode is asked in a transaction of its own, in the
# same message: the application's has had no statement, and may still choose its isolation level.
ASK_AND_BEGIN_READ = (
    "BEGIN; OWN SELECT s.write_mode FROM migrator.switch s; COMMIT; ".replace("OWN", session.OWN_STATEMENTS)
    + BEGIN_READ
)

UNTOUCHED = "00"
"""The setting migrator.parts before anything was written; capture writes numbers, and none of them looks like this."""

# Two marks of the transaction, as an application may begin another one. DEFERRABLE means nothing here (it matters to
# read-only serializable ones); no RESET takes it away, and no plain BEGIN brings it.
BEGIN = (
    "BEGIN READ WRITE DEFERRABLE; SET LOCAL migrator.begun = '{mark}'; SET LOCAL migrator.parts = '" + UNTOUCHED + "'"
)

# Deferred constraint triggers may still write; they must do so before the transaction's marks are read. After them
# nothing of the application runs any more, so the rest may run as the role that logged in, and commit durably.
_LAST = (
    "SET CONSTRAINTS ALL IMMEDIATE /* migrator */",
    "SET LOCAL SESSION AUTHORIZATION DEFAULT",
    "SET LOCAL role TO DEFAULT",
    "SET LOCAL statement_timeout = 0",
)

MARKS = (
    "; ".join(_LAST)
    + """;
SELECT pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text,
       pg_catalog.current_setting('migrator.parts', true),
       pg_catalog.current_setting('migrator.begun', true),
       pg_catalog.current_setting('transaction_deferrable')
"""
)

BEFORE_COMMIT = (
    MARKS.rstrip()
    + """,
       s.write_mode, m.epoch, m.mark::pg_catalog.text,
       DURABLE
  FROM migrator.switch s LEFT JOIN migrator.epoch_mark m ON m.epoch OPERATOR(pg_catalog.=) s.epoch
""".replace("DURABLE", session.durable())
)

# The same, asked of a function that keeps its plans; where the control schema has it.
BEFORE_COMMIT_BRIEFLY = "; ".join(_LAST) + "; SELECT migrator.before_commit('{mark}')"


def lacks_before_commit(error: psycopg.Error) -> bool:
    """Return whether the function is missing, and not another one that a trigger of the application calls."""
    missing = isinstance(error, psycopg.errors.UndefinedFunction)
    return missing and "migrator.before_commit(" in (error.diag.message_primary or "")


ANOTHER = "migrator_another_transaction"
"""What the error says that ends a transaction which is not the one that began."""

# In one message with COMMIT, where no token is needed: refuses what certainly is another transaction (as marks.identity
# judges), by a value that the setting cannot have. While writes are closed, triggers on classic refuse them.
WITH_COMMIT = (
    *_LAST,
    f"""SELECT CASE
       WHEN pg_catalog.texteq(pg_catalog.current_setting('migrator.begun', true), '{{mark}}')
         OR pg_catalog.texteq(pg_catalog.current_setting('transaction_deferrable'), 'on') THEN {session.durable()}
       ELSE pg_catalog.set_config('statement_timeout', '{ANOTHER}', true) END""",
)

TAKE_XID = "SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text"

OUTCOME = "SELECT pg_xact_status(%s::text::xid8)"

# All columns: tables of release 0.1.0 lack some.
SETTLED = "SELECT * FROM migrator.settled ORDER BY epoch DESC LIMIT 1"

# Samples may be lost in a crash, so no flush of the log is waited for.
SAMPLES = """
SET LOCAL synchronous_commit = off;
INSERT INTO migrator.read_sample (process_id, tenant_id, side, reads, errors, buckets)
SELECT %(process_id)s, s.tenant_id, s.side, s.reads, s.errors, s.buckets::int[]
  FROM unnest(%(tenants)s::text[], %(sides)s::text[], %(reads)s::int[], %(errors)s::int[], %(buckets)s::text[])
       AS s (tenant_id, side, reads, errors, buckets)
"""

SHADOWS = """
SET LOCAL synchronous_commit = off;
INSERT INTO migrator.shadow_sample (process_id, compared, mismatched, classic_ms, limitless_ms)
VALUES (%(process_id)s, %(compared)s, %(mismatched)s, %(classic_ms)s, %(limitless_ms)s)
"""

# What shadow reads found, by statement; by tenant where answers differed. See migrator.shim.shadow.
SHADOW_READS = """
SET LOCAL synchronous_commit = off;
INSERT INTO migrator.shadow_read_sample
       (process_id, fingerprint, tenant_id, statement, note, compared, differing, reordered, undecided)
SELECT %(process_id)s, s.fingerprint, s.tenant_id, s.statement, s.note, s.compared, s.differing, s.reordered,
       s.undecided
  FROM unnest(%(fingerprints)s::text[], %(tenants)s::text[], %(statements)s::text[], %(notes)s::text[],
              %(compared)s::int[], %(differing)s::int[], %(reordered)s::int[], %(undecided)s::int[])
       AS s (fingerprint, tenant_id, statement, note, compared, differing, reordered, undecided)
"""

SHADOW_BEGIN = "SELECT migrator.shadow_begin(%(tenant)s)::pg_catalog.text"

SHADOW_UNCHANGED = """
SELECT migrator.shadow_unchanged(%(tenant)s, %(begun)s::pg_catalog.jsonb, %(covered)s::pg_catalog.int4[],
                                 %(everything)s)::pg_catalog.text
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

# In the transaction of a change, so that its epoch is the switch's. Going up can wait for a moment, so that hundreds of
# processes need not read a wave's routes all at once; everything else is read at once.
ANNOUNCE = """
SELECT migrator_said
  FROM (SELECT count(*) AS routes, coalesce(bool_and(r.level <> 'classic'), false) AS up
          FROM migrator.route r WHERE r.epoch = (SELECT s.epoch FROM migrator.switch s)) moved,
       pg_notify('migrator', CASE WHEN up THEN 'route up ' || routes ELSE 'route' END) AS migrator_said
"""

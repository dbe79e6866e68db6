"""Statements about read replicas of classic: where a server stands, and what the control tables say of the replicas.

A replica is known by the *instance* that answers: one start of one server. A server that was restarted, crashed or
was made again is another instance, because it may show an earlier state than it did before. Within an instance that is
in recovery, replay only goes forward. Positions are bytes of the write-ahead log; Aurora's are its own numbers.
"""

from __future__ import annotations

from migrator.shim.statements import APPLIED_BY_ALL

# A crash of one session starts the server anew under the same postmaster. Statistics are discarded then (PostgreSQL 15
# and later), so the moment they began tells such starts apart. As numeric, which no setting of a session changes.
INSTANCE = """pg_catalog.concat(
           pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())::pg_catalog.numeric, '/',
           pg_catalog.date_part('epoch', pg_catalog.pg_stat_get_bgwriter_stat_reset_time())::pg_catalog.numeric, '/',
           pg_catalog.current_setting('port'))"""

_REPLAYED = "pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_replay_lsn(), '0/0')"
# What is flushed, as every acknowledged commit is: nothing else is sent to replicas, and where the next record will
# begin may lie behind a page header, which a replica reaches with that record only.
_WRITTEN = "pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_flush_lsn(), '0/0')"

# Aurora's readers have no replay position of that kind; its function knows both ends.
_AURORA_REPLAYED = (
    "(SELECT pg_catalog.max(s.current_read_lsn) FROM pg_catalog.aurora_replica_status() s"
    " WHERE s.server_id OPERATOR(pg_catalog.=) pg_catalog.aurora_db_instance_identifier())"
)
_AURORA_WRITTEN = (
    "(SELECT pg_catalog.max(s.durable_lsn) FROM pg_catalog.aurora_replica_status() s"
    " WHERE s.session_id OPERATOR(pg_catalog.=) 'MASTER_SESSION_ID')"
)

# True on Aurora.
FIND_AURORA = "SELECT pg_catalog.to_regproc('pg_catalog.aurora_replica_status') IS NOT NULL"

OWN = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
"""Begins a transaction of the shim's own on a replica, whatever the role's default: serializable is refused there."""


def replayed(aurora: bool) -> str:
    """Return the statement that asks a replica: in recovery, instance, bytes replayed, the session's isolation."""
    position = _AURORA_REPLAYED if aurora else _REPLAYED
    isolation = "pg_catalog.current_setting('default_transaction_isolation')"
    return f"SELECT pg_catalog.pg_is_in_recovery(), {INSTANCE}, {position}, {isolation}"


def written(aurora: bool) -> str:
    """Return the statement that asks the writer: instance, and a position not before any durable commit it answered."""
    position = _AURORA_WRITTEN if aurora else _WRITTEN
    return f"SELECT {INSTANCE}, {position}"


def begin(aurora: bool) -> str:
    """Return what starts a read on a replica, in one message, and says first where that replica stands.

    In a transaction of its own, so that the application's has no snapshot yet and is as BEGIN left it.
    """
    return f"{OWN}; {replayed(aurora)} /* migrator */; COMMIT; BEGIN READ ONLY"


# Tables that a later version made, or rights that were not given: replicas are not used then.
SUPPORTED = """
SELECT pg_catalog.has_table_privilege(pg_catalog.to_regclass('migrator.replica')::pg_catalog.oid, 'INSERT')
   AND pg_catalog.has_table_privilege(pg_catalog.to_regclass('migrator.replica_reach')::pg_catalog.oid, 'INSERT')
"""

# Read in every refresh, after the routes, and confirmed with their epoch. One statement, so one moment.
REPLICAS = (
    "SELECT w.instance, w.position,"
    """
       (SELECT coalesce(json_agg(json_build_array(
                   r.instance, r.name, r.level, r.epoch, r.writer, r.changed_by,
                   extract(epoch FROM clock_timestamp() - r.changed_at), r.outs)), '[]')
          FROM migrator.replica r),
       CASE WHEN %(confirmed)s THEN (APPLIED) END
  FROM (WRITTEN) AS w (instance, position)
""".replace("APPLIED", APPLIED_BY_ALL)
)


def replicas(aurora: bool) -> str:
    """Return the statement that reads where the writer stands and what is in service."""
    return REPLICAS.replace("WRITTEN", written(aurora))


# Before this process is registered: a process without this row knows nothing of replicas, see migrator.replica_reach.
REACH = """
INSERT INTO migrator.replica_reach (process_id, instances) VALUES (%(process_id)s, %(instances)s)
ON CONFLICT (process_id) DO UPDATE SET instances = EXCLUDED.instances, at = clock_timestamp()
"""

# Live processes that would not wait for this replica.
UNREACHED = """
SELECT p.name || ' (' || p.process_id || ')' FROM migrator.process p
 WHERE clock_timestamp() <= p.seen_at + make_interval(secs => p.staleness_s)
   AND NOT EXISTS (SELECT FROM migrator.replica_reach r
                    WHERE r.process_id = p.process_id AND %(instance)s = ANY (r.instances))
 ORDER BY 1 LIMIT 5
"""

# Live processes that wait for none. Triggers on migrator.process take all replicas out for those.
UNAWARE = """
SELECT p.name || ' (' || p.process_id || ')' FROM migrator.process p
 WHERE clock_timestamp() <= p.seen_at + make_interval(secs => p.staleness_s)
   AND NOT EXISTS (SELECT FROM migrator.replica_reach r WHERE r.process_id = p.process_id)
 ORDER BY 1 LIMIT 5
"""

FIND = "SELECT level, epoch, outs FROM migrator.replica WHERE instance = %(instance)s"

JOIN = """
WITH gone AS (
    DELETE FROM migrator.replica
     WHERE level = 'out' AND instance <> %(instance)s AND changed_at < clock_timestamp() - interval '1 hour'
), gone_too AS (
    DELETE FROM migrator.replica_reach r
     WHERE r.at < clock_timestamp() - interval '1 hour'
       AND NOT EXISTS (SELECT FROM migrator.process p WHERE p.process_id = r.process_id)
)
INSERT INTO migrator.replica (instance, name, level, epoch, writer, reason, changed_by)
SELECT %(instance)s, %(name)s, 'joining', %(epoch)s, w.instance, %(reason)s, %(by)s
  FROM (SELECT INSTANCE) AS w (instance)
ON CONFLICT (instance) DO UPDATE
   SET name = EXCLUDED.name, level = EXCLUDED.level, epoch = EXCLUDED.epoch, writer = EXCLUDED.writer,
       reason = EXCLUDED.reason, changed_by = EXCLUDED.changed_by, changed_at = clock_timestamp()
""".replace("INSTANCE", INSTANCE)

# How often it was taken out, beginning again once it has served for ten minutes.
CHANGE = """
UPDATE migrator.replica
   SET level = %(level)s, epoch = %(epoch)s, reason = %(reason)s, changed_by = %(by)s, changed_at = clock_timestamp(),
       outs = CASE WHEN %(level)s = 'serving' THEN outs
                   WHEN level = 'serving' AND changed_at < clock_timestamp() - interval '10 minutes' THEN 1
                   ELSE least(outs + 1, 10) END
 WHERE instance = %(instance)s
"""

DECIDE = """
INSERT INTO migrator.decision (who, kind, subject, reason, before, after)
VALUES (%(by)s, 'replica.' || %(level)s, 'replica/' || %(name)s, %(reason)s,
        jsonb_build_object('level', %(before)s::text),
        jsonb_build_object('level', %(level)s::text, 'epoch', %(epoch)s::bigint, 'instance', %(instance)s::text))
"""

# A replica that shows the mark of an epoch has replayed this very history to that point: marks never come again.
MARK_OF = "SELECT m.mark FROM migrator.epoch_mark m WHERE m.epoch OPERATOR(pg_catalog.=) {epoch:d}"

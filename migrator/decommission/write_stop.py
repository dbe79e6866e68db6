"""Closes classic for all writes, and reopens it.

Three measures, one behind the other. The write mode "closed" makes shims wait. Then statement triggers refuse every
write, those of jobs without a shim too. And creating the triggers waits for the transactions that write at that moment.

Why triggers and not only a lock: CREATE TRIGGER takes SHARE ROW EXCLUSIVE, which conflicts with the ROW EXCLUSIVE
lock of every writer, so it waits until all transactions that wrote to the table have ended, and it is granted only
when none is left. A plain lock would end with our transaction. And a writer that began earlier under REPEATABLE
READ, with a snapshot from before, is refused as well when it writes later: which triggers a table has is read from
the catalog as it is now, never through the transaction's snapshot. REVOKE would not do: owners and superusers pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import sql

from migrator.catalog import details
from migrator.control.log import decide
from migrator.db.error_text import server_message
from migrator.db.lock_retry import until_free
from migrator.decommission import attempt
from migrator.errors import ClusterUnavailable, NoGo
from migrator.model.position import Snapshot
from migrator.model.table import Table

Connection = psycopg.Connection[Any]

TRIGGER = "migrator_closed"
SQLSTATE = "MG001"
LOCK_TIMEOUT_MS = 500
"""Writers queue behind our waiting lock for at most this long per try; short, since writes may still be reopened."""

_FUNCTION = """
CREATE OR REPLACE FUNCTION migrator.refuse_write() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'MG001',
        MESSAGE = format('writes to %I.%I are closed: this cluster hands over to Aurora Limitless',
                         TG_TABLE_SCHEMA, TG_TABLE_NAME),
        HINT = 'Try again in a moment; if it stays, connect to Limitless instead.';
END
$$
"""

_EVERY_WRITE = 2 + 4 + 8 + 16
"""pg_trigger.tgtype of BEFORE INSERT OR UPDATE OR DELETE … FOR EACH STATEMENT."""

# A trigger of that name that does something else, or less, guards nothing.
_GUARDED = """
SELECT n.nspname, c.relname
  FROM pg_trigger t
  JOIN pg_class c ON c.oid = t.tgrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_proc f ON f.oid = t.tgfoid AND f.proname = 'refuse_write' AND f.pronamespace = 'migrator'::regnamespace
 WHERE t.tgname = %s AND t.tgenabled = 'A' AND t.tgtype = %s AND t.tgqual IS NULL AND t.tgattr = ''
"""


def members(conn: Connection, tables: Sequence[Table]) -> list[tuple[str, str]]:
    """Return every captured table and leaf partition, in the one order in which we lock them."""
    found: set[tuple[str, str]] = set()
    for table in tables:
        found |= details.members(conn, sql.Identifier(table.schema, table.name).as_string(conn)).keys()
    return sorted(found)


def unguarded(conn: Connection, tables: Sequence[Table]) -> list[str]:
    """Return captured tables and leaves that would take a write, for example a leaf made a moment ago."""
    guarded = {(schema, name) for schema, name in conn.execute(_GUARDED, (TRIGGER, _EVERY_WRITE))}
    return [f"{schema}.{name}" for schema, name in members(conn, tables) if (schema, name) not in guarded]


def install_triggers(conn: Connection, tables: Sequence[Table], timeout_s: float) -> None:
    """Refuse every write to *tables* from now on; returns when the last earlier writer has ended.

    All tables in one transaction, in one order, so there is never a moment in which half of a transaction's tables
    are closed. Busy tables are tried again until *timeout_s* is over.

    Raises:
        NoGo: a writer did not end in time; nothing is closed.
    """

    def act() -> None:
        with conn.transaction():
            _own_ddl(conn)
            conn.execute(_FUNCTION)
            for schema, name in members(conn, tables):
                _create(conn, schema, name)

    # The application waits: no time to lose.
    if not (tried := until_free(act, timeout_s, longest_s=0.05)):
        raise NoGo(
            "decommission",
            [f"a transaction kept writing for {timeout_s:.0f} s: {who}" for who in writers(conn, tables)]
            or [f"a table stayed locked {tried}"],
        )


def _create(conn: Connection, schema: str, name: str) -> None:
    target = sql.Identifier(schema, name)
    trigger = sql.Identifier(TRIGGER)
    row = conn.execute(
        sql.SQL("SELECT EXISTS (SELECT FROM ({}) g WHERE g.nspname = %s AND g.relname = %s)").format(sql.SQL(_GUARDED)),
        (TRIGGER, _EVERY_WRITE, schema, name),
    ).fetchone()
    if not (row and row[0]):
        named = conn.execute(
            "SELECT FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname = %s", (target.as_string(conn), TRIGGER)
        ).fetchone()
        if named is not None:  # dropping locks readers out, so only when there is something to drop
            conn.execute(sql.SQL("DROP TRIGGER {} ON {}").format(trigger, target))
        conn.execute(
            sql.SQL(
                "CREATE TRIGGER {} BEFORE INSERT OR UPDATE OR DELETE ON {}"
                " FOR EACH STATEMENT EXECUTE FUNCTION migrator.refuse_write()"
            ).format(trigger, target)
        )
        # Also for sessions that switched ordinary triggers off (session_replication_role = replica).
        conn.execute(sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}").format(target, trigger))


def rehearse(conn: Connection, tables: Sequence[Table], timeout_s: float) -> list[str]:
    """Try what closing does, table by table, and roll it back; return what would prevent it.

    Whether the tool may do it, and whether a transaction locks a table for long, is better known before writes stop. A
    writer waits for at most one try's lock, as it does when writes are closed.
    """
    problems = []
    for schema, name in members(conn, tables):

        def act(schema: str = schema, name: str = name) -> None:
            with conn.transaction(force_rollback=True):
                _own_ddl(conn)
                conn.execute(_FUNCTION)
                _create(conn, schema, name)

        try:
            if not (tried := until_free(act, timeout_s)):
                problems.append(f"{schema}.{name} could not be locked {tried}: a transaction holds it")
        except psycopg.Error as error:
            if conn.broken:
                raise
            problems.append(f"writes to {schema}.{name} could not be closed: {server_message(error)}")
    return problems


def _own_ddl(conn: Connection) -> None:
    conn.execute("SELECT set_config('migrator.ddl', 'allowed', true)")  # capture's guard refuses DDL of other sessions
    conn.execute("SELECT set_config('lock_timeout', %s, true)", (str(LOCK_TIMEOUT_MS),))


def remove_triggers(conn: Connection, tables: Sequence[Table], timeout_s: float) -> None:
    """Let writes through again; safe to run twice.

    Raises:
        ClusterUnavailable: a reader held a table for *timeout_s*; DROP TRIGGER needs an exclusive lock.
    """

    def act() -> None:
        with conn.transaction():
            _own_ddl(conn)
            for schema, name in members(conn, tables):
                conn.execute(
                    sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(
                        sql.Identifier(TRIGGER), sql.Identifier(schema, name)
                    )
                )

    if not (tried := until_free(act, timeout_s, longest_s=0.05)):
        raise ClusterUnavailable(
            "classic",
            f"a table stayed locked {tried}, so writes are still refused",
            "Find the long transaction in pg_stat_activity, then try again.",
        )


def writers(conn: Connection, tables: Sequence[Table]) -> list[str]:
    """Return the sessions with a write lock on *tables*: pid, application and age; never what they run."""
    names = [f"{schema}.{name}" for schema, name in members(conn, tables)]
    rows = conn.execute(
        """
        SELECT DISTINCT coalesce('pid ' || a.pid || ' (' || coalesce(nullif(a.application_name, ''), 'unnamed') || '), '
                        || round(extract(epoch FROM clock_timestamp() - a.xact_start)) || ' s',
                        'a prepared transaction')
          FROM pg_locks l
          JOIN pg_class c ON c.oid = l.relation
          JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_stat_activity a ON a.pid = l.pid
         WHERE l.granted AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                                        'AccessExclusiveLock')
           AND n.nspname || '.' || c.relname = ANY (%s)
         ORDER BY 1
         LIMIT 10
        """,
        (names,),
    )
    return [str(who) for (who,) in rows]


def prepared(conn: Connection) -> list[str]:
    """Return prepared transactions of this database: they have written, and may commit at any time."""
    rows = conn.execute("SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared")
    return [str(gid) for (gid,) in rows]


def close_writes(
    conn: Connection,
    number: int,
    tables: Sequence[Table],
    set_closed: Callable[[], int],
    confirm: Callable[[int], None],
    timeout_s: float,
) -> Snapshot:
    """Close classic for writes and return the snapshot that every mirror has to reach.

    Args:
        set_closed: moves the write mode to closed and returns the epoch; safe to call twice.
        confirm: returns when every live process has applied that epoch.

    Raises:
        NoGo: a writer did not end in time; the caller reopens.
    """
    current = attempt.require(conn, number, "closing", "closed")
    attempt.mark_closed(conn, number)
    confirm(set_closed())
    install_triggers(conn, tables, timeout_s)
    left = prepared(conn)
    if left:
        raise NoGo("decommission", [f"prepared transaction {gid}: commit it or roll it back" for gid in left])
    with conn.transaction():
        current = attempt.require(conn, number, "closing", "closed", lock=True)
        if current.snapshot is not None:
            return current.snapshot
        # Taken after the triggers have been committed: every write is in it, until writes are reopened.
        row = conn.execute("SELECT pg_current_snapshot()::text").fetchone()
        assert row is not None
        attempt.mark(conn, number, "closed", snapshot=row[0])
        decide(
            conn, current.approver, "writes.closed", f"decommission/{number}", "hand-over", after={"snapshot": row[0]}
        )
        return Snapshot.parse(row[0])

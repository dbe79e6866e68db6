"""How does capture get onto the tables, and off again without a trace?

CREATE TRIGGER waits for the writers of a table and makes new ones wait, so every table is taken in its own
short transaction under a lock timeout and tried again: a long transaction delays the installation, never the
application for longer than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any

import psycopg
from psycopg import sql

from migrator.capture import journal_sql, names, orphans, trigger_sql
from migrator.control.tables import captured_tables, store_tables
from migrator.db.busy import until_free
from migrator.errors import ClusterUnavailable, PreconditionFailed
from migrator.inventory.look import set_aside
from migrator.model.action import Action
from migrator.model.table import Table, qualify

LOCK_TIMEOUT_MS = 300
PATIENCE_S = 120.0

_LEAVES = """
SELECT n.nspname, c.relname
  FROM pg_catalog.pg_partition_tree(%s::regclass) p
  JOIN pg_catalog.pg_class c ON c.oid = p.relid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
"""


def actions(tables: Sequence[Table]) -> list[Action]:
    """Return what `install` would do, for a dry run."""
    found = [
        Action(
            f"capture/{t.qualified}",
            f"journal the keys of every write to {t.qualified} (statement triggers, enabled always)",
            "drop the triggers and the journal: migrator undo dual-write",
        )
        for t in tables
    ]
    return [*found, Action("capture/guard", "refuse TRUNCATE and DDL on these tables", "drop the guard")]


@contextmanager
def _own_ddl(conn: psycopg.Connection[Any]) -> Iterator[None]:
    """A transaction whose DDL our own guard lets pass, with a short lock timeout."""
    with conn.transaction():
        conn.execute("SELECT set_config('migrator.ddl', 'allowed', true)")
        conn.execute("SELECT set_config('lock_timeout', %s, true)", (str(LOCK_TIMEOUT_MS),))
        yield


def _patiently(conn: psycopg.Connection[Any], what: str, statements: Sequence[sql.Composed]) -> None:
    """Run *statements* in one transaction, again and again while a lock is busy."""

    def act() -> None:
        with _own_ddl(conn):
            for statement in statements:
                conn.execute(statement)

    if not until_free(act, PATIENCE_S):
        raise ClusterUnavailable(
            "classic",
            f"{what} stayed locked for {PATIENCE_S:.0f} s",
            "Find the long transaction in pg_stat_activity and pg_locks, then try again.",
        )


def _members(conn: psycopg.Connection[Any], table: Table) -> list[str]:
    """Return the table and, for a partition root, all its partitions."""
    if not table.partitioned:
        return [table.qualified]
    # pg_partition_tree wants a regclass; its text needs the same quoting as SQL.
    quoted = names.table_identifier(table.qualified).as_string(conn)
    return [qualify(schema, name) for schema, name in conn.execute(_LEAVES, (quoted,))]


def _captured(conn: psycopg.Connection[Any], member: str) -> set[str]:
    quoted = names.table_identifier(member).as_string(conn)
    rows = conn.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal AND tgenabled = 'A'", (quoted,)
    )
    return {str(name) for (name,) in rows}


def install(conn: psycopg.Connection[Any], tables: Sequence[Table], parts: int, ring_slots: int) -> list[Action]:
    """Turn capture on for *tables*; returns what it changed, nothing on a second run.

    When it returns, every write of every transaction that commits later is journalled. Functions are replaced
    before triggers appear, so a table is never captured by a function that knows only half of its children.

    Raises:
        ClusterUnavailable: a table stayed locked; running it again goes on from there.
        PreconditionFailed: a table is written, or loses rows, in a way that no trigger sees.
    """
    _refuse_subscribed(conn, tables)
    _refuse_half_detached(conn, tables)
    with conn.transaction():
        if not captured_tables(conn):
            set_aside(conn, {t.qualified for t in tables}, {t.schema for t in tables})
        ids = store_tables(conn, tables)
        conn.execute(
            "UPDATE migrator.switch SET write_mode = 'dual', changed_by = 'capture', changed_at = now(),"
            " epoch = epoch + 1, reason = 'capture is on' WHERE write_mode = 'classic_only'"
        )
    by_id = {ids[t.qualified]: t for t in tables}
    others = list(by_id.items())
    changed = _install_journals(conn, by_id, ring_slots)
    with _own_ddl(conn):
        conn.execute(resources.files("migrator.capture").joinpath("guard.sql").read_text(encoding="utf-8"))
        for number, table in by_id.items():
            for event in trigger_sql.events(table, others):
                conn.execute(trigger_sql.capture_function(table, number, event, parts, ring_slots, others))
            conn.execute(trigger_sql.leaf_function(table, number, parts, ring_slots, others))
    for number, table in by_id.items():
        for member in _members(conn, table):
            present = _captured(conn, member)
            statements: list[sql.Composed] = []
            for event in trigger_sql.events(table, others):
                if names.trigger(event) not in present:
                    statements += trigger_sql.create_trigger(member, table, number, event, others)
            if names.GUARD not in present:
                statements += trigger_sql.create_truncate_guard(member)
            if statements:
                _patiently(conn, member, [*statements, trigger_sql.widen_rekey(member)])
                changed.append(Action(f"capture/{member}", f"capture {member}", "migrator undo dual-write"))
    _install_guard(conn)
    for member in (m for table in tables for m in _members(conn, table)):
        # Again, as a trigger of the application may have come just before the guard that would have seen it.
        _patiently(conn, member, [trigger_sql.widen_rekey(member)])
    return changed


def _refuse_subscribed(conn: psycopg.Connection[Any], tables: Sequence[Table]) -> None:
    """Raise PreconditionFailed for tables that a subscription feeds: its rows fire no statement trigger."""
    fed = {
        qualify(schema, name)
        for schema, name in conn.execute(
            "SELECT n.nspname, c.relname FROM pg_subscription_rel s JOIN pg_class c ON c.oid = s.srrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
        )
    }
    found = sorted(fed & {member for table in tables for member in _members(conn, table)})
    if found:
        raise PreconditionFailed(
            f"a subscription feeds {', '.join(found)}: what it writes fires no statement trigger and would be lost",
            hint="Drop the subscription and let the application write here, or exclude the table in the plan.",
        )


def _refuse_half_detached(conn: psycopg.Connection[Any], tables: Sequence[Table]) -> None:
    """Raise PreconditionFailed for partitions whose DETACH ... CONCURRENTLY stopped between its two transactions."""
    parents = {member for table in tables for member in _members(conn, table)}
    pending = conn.execute(
        "SELECT pn.nspname, p.relname, n.nspname, c.relname FROM pg_inherits i"
        " JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace"
        " JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE i.inhdetachpending ORDER BY 1, 2, 3, 4"
    )
    halves = [(qualify(*row[:2]), qualify(*row[2:])) for row in pending]
    found = [f"{parent}: {leaf}" for parent, leaf in halves if parent in parents]
    if found:
        raise PreconditionFailed(
            f"a partition is half detached ({', '.join(found)}): readers disagree whether its rows are there",
            hint="Finish it first: ALTER TABLE … DETACH PARTITION … FINALIZE",
        )


def _install_journals(conn: psycopg.Connection[Any], tables: Mapping[int, Table], slots: int) -> list[Action]:
    changed = []
    for number, table in tables.items():
        exists = conn.execute("SELECT to_regclass(%s)", (f"migrator.{names.journal(number)}",)).fetchone()
        if exists and exists[0] is not None:
            continue
        with _own_ddl(conn):
            for statement in journal_sql.create_journal(table, number, slots):
                conn.execute(statement)
        changed.append(Action(f"journal/{number}", f"create the journal of {table.qualified}", "drop it"))
    return changed


_GUARDS = (
    ("migrator_guard_ddl", "ddl_command_end", "guard_ddl"),
    ("migrator_guard_detach", "ddl_command_start WHEN TAG IN ('ALTER TABLE')", "guard_detach"),
    ("migrator_guard_drop", "sql_drop", "guard_drop"),
)
"""Event triggers: name, event, function in the control schema."""


def _install_guard(conn: psycopg.Connection[Any]) -> None:
    present = {str(n) for (n,) in conn.execute("SELECT evtname FROM pg_event_trigger WHERE evtname LIKE 'migrator%'")}
    for name, event, function in _GUARDS:
        if name not in present:
            with _own_ddl(conn):
                conn.execute(
                    sql.SQL("CREATE EVENT TRIGGER {} ON {} EXECUTE FUNCTION {}()").format(
                        sql.Identifier(name), sql.SQL(event), sql.Identifier("migrator", function)
                    )
                )
                # Also in sessions that switched ordinary triggers off (session_replication_role = replica).
                conn.execute(sql.SQL("ALTER EVENT TRIGGER {} ENABLE ALWAYS").format(sql.Identifier(name)))


def remove(conn: psycopg.Connection[Any]) -> None:
    """Turn capture off and drop every object it made. Safe to run twice, also after a half-finished install."""
    with _own_ddl(conn):
        for name, _, _ in _GUARDS:
            conn.execute(sql.SQL("DROP EVENT TRIGGER IF EXISTS {}").format(sql.Identifier(name)))
    tables = captured_tables(conn)
    for table in tables.values():
        exists = conn.execute(
            "SELECT to_regclass(%s)", (names.table_identifier(table.qualified).as_string(conn),)
        ).fetchone()
        if not exists or exists[0] is None:
            continue
        for member in _members(conn, table):
            target = names.table_identifier(member)
            drops = [
                sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(trigger), target)
                for trigger in (*map(names.trigger, (*names.EVENTS, names.REKEY)), names.GUARD)
            ]
            _patiently(conn, member, drops)
    with _own_ddl(conn):
        for number in tables:
            for event in (*names.EVENTS, names.REKEY):
                conn.execute(
                    sql.SQL("DROP FUNCTION IF EXISTS {}()").format(
                        sql.Identifier("migrator", names.function(number, event))
                    )
                )
            leaf = sql.Identifier("migrator", names.function(number, "leaf"))
            conn.execute(sql.SQL("DROP FUNCTION IF EXISTS {}(regclass)").format(leaf))
            # With its slots, which inherit from it.
            conn.execute(
                sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(sql.Identifier("migrator", names.journal(number)))
            )
        for function in (
            *(f"{function}()" for _, _, function in _GUARDS),
            "follow_leaves(text)",
            "capture_leaf(text, regclass)",
            "captured_root(oid)",
            "widen_rekey(regclass)",
        ):
            conn.execute(sql.SQL("DROP FUNCTION IF EXISTS migrator.{}").format(sql.SQL(function)))
        conn.execute("DROP FUNCTION IF EXISTS migrator.refuse_truncate()")
        conn.execute("DELETE FROM migrator.captured_table")
        orphans.forget(conn)
        conn.execute(
            "UPDATE migrator.switch SET write_mode = 'classic_only', epoch = epoch + 1, changed_by = 'capture',"
            " changed_at = now(), reason = 'capture is off' WHERE write_mode IN ('dual', 'closed')"
        )


def mark_dirty(conn: psycopg.Connection[Any], table: Table, keys: Sequence[Sequence[str | None]], parts: int) -> None:
    """Journal *keys* as if an application had written them, in the caller's transaction.

    Each key is the tenant's text (None: unknown; only for sharded tables) followed by the key columns' texts.
    """
    if not keys:
        return
    row = conn.execute(
        "SELECT table_id, (SELECT last_value FROM migrator.ring) FROM migrator.captured_table WHERE qualified = %s",
        (table.qualified,),
    ).fetchone()
    if row is None:
        raise LookupError(f"{table.qualified} is not captured")
    columns = [list(values) for values in zip(*keys, strict=True)]
    psycopg.RawCursor(conn).execute(journal_sql.mark_dirty(table, int(row[0]), int(row[1]), parts), columns)

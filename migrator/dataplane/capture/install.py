"""Installs capture on the tables, and removes it completely.

CREATE TRIGGER waits for the writers of a table and makes new ones wait, so every table is changed in its own
short transaction under a lock timeout and tried again: a long transaction delays the installation, never the
application for longer than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from importlib import resources
from typing import Any

import psycopg
from psycopg import sql

from migrator.catalog import details
from migrator.control.journal import forget_capture, noted_tables
from migrator.control.route import begin_dual, end_dual
from migrator.control.tables import captured_tables, id_and_slot, relation_oids, store_tables
from migrator.dataplane.capture import journal_sql, names, orphans, trigger_sql, watch
from migrator.db.lock_retry import until_free
from migrator.errors import ClusterUnavailable, PreconditionFailed
from migrator.inventory.look import set_aside
from migrator.model.action import Action
from migrator.model.table import Table, qualify
from migrator.privileges.guards import drop_guard, make_guard

LOCK_TIMEOUT_MS = 300
PATIENCE_S = 120.0


def actions(tables: Sequence[Table]) -> list[Action]:
    """Return what `install` would do, for a dry run."""
    steps = [
        Action(
            f"capture/{t.qualified}",
            f"journal the keys of every write to {t.qualified} (statement triggers, enabled always)",
            "drop the triggers and the journal: migrator undo dual-write",
        )
        for t in tables
    ]
    return [*steps, Action("capture/guard", "refuse TRUNCATE and DDL on these tables", "drop the guard")]


@contextmanager
def own_ddl(conn: psycopg.Connection[Any]) -> Iterator[None]:
    """A transaction whose DDL our own guard lets pass, with a short lock timeout."""
    with conn.transaction():
        conn.execute("SELECT set_config('migrator.ddl', 'capture', true)")
        conn.execute("SELECT set_config('lock_timeout', %s, true)", (str(LOCK_TIMEOUT_MS),))
        yield


def patiently(conn: psycopg.Connection[Any], what: str, statements: Sequence[sql.Composed]) -> None:
    """Run *statements* in one transaction, again and again while a lock is busy."""

    def act() -> None:
        with own_ddl(conn):
            for statement in statements:
                conn.execute(statement)

    if not (tried := until_free(act, PATIENCE_S)):
        raise ClusterUnavailable(
            "classic",
            f"{what} stayed locked {tried}",
            "Find the long transaction in pg_stat_activity and pg_locks, then try again.",
        )


def members(conn: psycopg.Connection[Any], relation: str) -> dict[str, int]:
    """Return a table and, for a partition root, all its partitions: qualified name → oid, the root first.

    *relation* is what names a table in SQL, or its oid as text; nothing is returned for an oid of none.
    """
    if relation.isdigit() and conn.execute("SELECT FROM pg_class WHERE oid = %s::oid", (relation,)).fetchone() is None:
        return {}
    return {qualify(*name): oid for name, oid in details.members(conn, relation).items()}


def _named(table: Table) -> str:
    return names.table_identifier(table.qualified).as_string(None)


def _captured(conn: psycopg.Connection[Any], member: int) -> set[str]:
    rows = conn.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::oid AND NOT tgisinternal AND tgenabled = 'A'", (member,)
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
    _refuse_broken(conn)
    _refuse_subscribed(conn, tables)
    _refuse_half_detached(conn, tables)
    with conn.transaction():
        if not captured_tables(conn):
            set_aside(conn, {t.qualified for t in tables}, {t.schema for t in tables})
        ids = store_tables(conn, tables)
        begin_dual(conn)
    by_id = {ids[t.qualified]: t for t in tables}
    # With those that came meanwhile: their parents journal them too.
    every = {**captured_tables(conn), **by_id}
    others = list(every.items())
    changed = _install_journals(conn, by_id, ring_slots)
    make_functions(conn, every, parts, ring_slots)
    relations = relation_oids(conn)
    for number, table in by_id.items():
        for member, oid in members(conn, relations[number]).items():
            present = _captured(conn, oid)
            statements = capture_member(member, number, table, others, present)
            if statements:
                patiently(conn, member, [*statements, trigger_sql.widen_rekey(member)])
                changed.append(Action(f"capture/{member}", f"capture {member}", "migrator undo dual-write"))
    _note(conn, {oid for number in by_id for oid in members(conn, relations[number]).values()})
    make_guards(conn)
    for number in by_id:
        for member in members(conn, relations[number]):
            # Again, as a trigger of the application may have come just before the guard that would have seen it.
            patiently(conn, member, [trigger_sql.widen_rekey(member)])
    _refuse_broken(conn)
    return changed


def _note(conn: psycopg.Connection[Any], relations: Set[int]) -> None:
    """Note what is newly captured: from here on it is to stay as it is.

    No position exists before all of it is noted, so what happened to a table until now is copied.
    """
    unknown = relations - noted_tables(conn)
    if unknown:
        with own_ddl(conn):
            conn.execute("SELECT migrator.note_shape(%s::oid[])", (sorted(unknown),))


def make_functions(conn: psycopg.Connection[Any], tables: Mapping[int, Table], parts: int, slots: int) -> None:
    """Make or renew every function of capture, in one transaction."""
    others = list(tables.items())
    with own_ddl(conn):
        for name in ("shape.sql", "guard.sql"):
            conn.execute(resources.files("migrator.dataplane.capture").joinpath(name).read_text(encoding="utf-8"))
        for number, table in tables.items():
            for event in trigger_sql.events(table, others):
                conn.execute(trigger_sql.capture_function(table, number, event, parts, slots, others))
            conn.execute(trigger_sql.leaf_function(table, number, parts, slots, others))
        conn.execute("SELECT migrator.note_own()")


def capture_member(
    member: str, number: int, table: Table, others: trigger_sql.Others, present: Set[str]
) -> list[sql.Composed]:
    """Return the statements that give *member* of *table* the triggers that are not *present*."""
    statements: list[sql.Composed] = []
    for event in trigger_sql.events(table, others):
        if names.trigger(event) not in present:
            statements += trigger_sql.create_trigger(member, table, number, event, others)
    if names.GUARD not in present:
        statements += trigger_sql.create_truncate_guard(member)
    return statements


def _refuse_broken(conn: psycopg.Connection[Any]) -> None:
    """Raise PreconditionFailed when capture was on and is not what it was: reinstalling it would hide lost writes."""
    broken = [d.text for d in watch.differences(conn) if not d.unfinished]
    if broken or watch.loss(conn):
        raise PreconditionFailed(
            f"capture is not as it was installed: {'; '.join(broken) or watch.loss(conn)}", hint=watch.ADVICE
        )


def _refuse_subscribed(conn: psycopg.Connection[Any], tables: Sequence[Table]) -> None:
    """Raise PreconditionFailed for tables that a subscription feeds: its rows fire no statement trigger."""
    fed = {
        qualify(schema, name)
        for schema, name in conn.execute(
            "SELECT n.nspname, c.relname FROM pg_subscription_rel s JOIN pg_class c ON c.oid = s.srrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
        )
    }
    subscribed = sorted(fed & {member for table in tables for member in members(conn, _named(table))})
    if subscribed:
        raise PreconditionFailed(
            f"a subscription feeds {', '.join(subscribed)}: its writes fire no statement trigger and would be lost",
            hint="Drop the subscription and let the application write here, or exclude the table in the plan.",
        )


def _refuse_half_detached(conn: psycopg.Connection[Any], tables: Sequence[Table]) -> None:
    """Raise PreconditionFailed for partitions whose DETACH ... CONCURRENTLY stopped between its two transactions."""
    parents = {member for table in tables for member in members(conn, _named(table))}
    pending = conn.execute(
        "SELECT pn.nspname, p.relname, n.nspname, c.relname FROM pg_inherits i"
        " JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace"
        " JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE i.inhdetachpending ORDER BY 1, 2, 3, 4"
    )
    halves = [(qualify(*row[:2]), qualify(*row[2:])) for row in pending]
    half_detached = [f"{parent}: {leaf}" for parent, leaf in halves if parent in parents]
    if half_detached:
        raise PreconditionFailed(
            f"a partition is half detached ({', '.join(half_detached)}): readers disagree whether its rows are there",
            hint="Finish it first: ALTER TABLE … DETACH PARTITION … FINALIZE",
        )


def _install_journals(conn: psycopg.Connection[Any], tables: Mapping[int, Table], slots: int) -> list[Action]:
    changed = []
    for number, table in tables.items():
        exists = conn.execute("SELECT to_regclass(%s)", (f"migrator.{names.journal(number)}",)).fetchone()
        if exists and exists[0] is not None:
            continue
        with own_ddl(conn):
            for statement in journal_sql.create_journal(table, number, slots):
                conn.execute(statement)
        changed.append(Action(f"journal/{number}", f"create the journal of {table.qualified}", "drop it"))
    return changed


_GUARDS = (
    ("migrator_guard_ddl", "ddl_command_end", "", "guard_ddl"),
    ("migrator_guard_detach", "ddl_command_start", "ALTER TABLE", "guard_detach"),
    ("migrator_guard_drop", "sql_drop", "", "guard_drop"),
    ("migrator_guard_leaf", "ddl_command_start", "DROP TABLE", "guard_leaf"),
    ("migrator_guard_rewrite", "table_rewrite", "", "guard_rewrite"),
)
"""Event triggers: name, event, the only command they fire for, function in the control schema."""


def make_guards(conn: psycopg.Connection[Any], renew: Set[str] = frozenset()) -> None:
    """Make the event triggers that are not there; those to *renew* anew."""
    present = {str(n) for (n,) in conn.execute("SELECT evtname FROM pg_event_trigger WHERE evtname LIKE 'migrator%'")}
    for name, event, tag, function in _GUARDS:
        if name not in present or name in renew:
            with own_ddl(conn):
                make_guard(conn, name, event, tag, function)
                conn.execute("SELECT migrator.note_own()")


_FUNCTIONS = (
    *(f"{function}()" for _, _, _, function in _GUARDS),
    "follow_leaves(text)",
    "capture_leaf(text, regclass)",
    "captured_root(oid)",
    "widen_rekey(regclass)",
    "guard_begin()",
    "guard_end(boolean)",
    "guard_index(text)",
    "guard_isolation(regclass)",
    "guard_mode()",
    "guard_owner(regclass)",
    "guard_shape(text, oid)",
    "note_leaves(oid[])",
    "note_facets(oid, text[])",
    "note_own()",
    "note_shape(oid[])",
    "shape_differences()",
    "shape_now(oid[])",
    "refuse_truncate()",
)


def remove(conn: psycopg.Connection[Any]) -> None:
    """Turn capture off and drop every object it made. Safe to run twice, also after a half-finished install."""
    with own_ddl(conn):
        for name, _, _, _ in _GUARDS:
            drop_guard(conn, name)
    tables = captured_tables(conn)
    for oid in relation_oids(conn).values():
        for member in members(conn, oid):
            patiently(conn, member, drop_triggers(member))
    with own_ddl(conn):
        for number in tables:
            drop_journal(conn, number)
        for function in _FUNCTIONS:
            conn.execute(sql.SQL("DROP FUNCTION IF EXISTS migrator.{}").format(sql.SQL(function)))
        orphans.forget(conn)
        forget_capture(conn)
        end_dual(conn)


def drop_journal(conn: psycopg.Connection[Any], number: int) -> None:
    """Drop the journal of a table that has no triggers any more, and their functions, in the caller's transaction."""
    for event in (*names.EVENTS, names.REKEY):
        function = sql.Identifier("migrator", names.function(number, event))
        conn.execute(sql.SQL("DROP FUNCTION IF EXISTS {}()").format(function))
    leaf = sql.Identifier("migrator", names.function(number, "leaf"))
    conn.execute(sql.SQL("DROP FUNCTION IF EXISTS {}(regclass)").format(leaf))
    # With its slots, which inherit from it.
    conn.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(sql.Identifier("migrator", names.journal(number))))


def drop_triggers(member: str) -> list[sql.Composed]:
    """Return the statements that take capture's triggers off *member*."""
    return [
        sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(trigger), names.table_identifier(member))
        for trigger in (*map(names.trigger, (*names.EVENTS, names.REKEY)), names.GUARD)
    ]


def mark_dirty(conn: psycopg.Connection[Any], table: Table, keys: Sequence[Sequence[str | None]], parts: int) -> None:
    """Journal *keys* as if an application had written them, in the caller's transaction.

    Each key is the tenant's text (None: unknown; only for sharded tables) followed by the key columns' texts.
    """
    if not keys:
        return
    slot = id_and_slot(conn, table.qualified)
    if slot is None:
        raise LookupError(f"{table.qualified} is not captured")
    columns = [list(values) for values in zip(*keys, strict=True)]
    psycopg.RawCursor(conn).execute(journal_sql.mark_dirty(table, *slot, parts), columns)

"""Captures a new table from its creation, while others are captured already.

In the transaction that makes it, so that no row can be written without being journalled. Where its tenant comes from a
parent, writes to that parent (and to those above it) journal the new table's rows too: their functions are made anew,
and their triggers where they did not look at the old rows before. The parents are locked against writers until the
transaction ends, so that no write falls between two ways to journal it.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from migrator.control.tables import captured_tables, relation_oids, store_tables
from migrator.dataplane.capture import journal_sql, names, trigger_sql
from migrator.dataplane.capture.install import capture_member, members
from migrator.model.table import Table

_SLOTS = "SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass(%s)"


def above(table: Table) -> list[str]:
    """Return the tables whose writes may change the tenant of *table*'s rows, in the order they are locked in."""
    return sorted({hop.parent for hop in table.path})


def capture_new(conn: psycopg.Connection[Any], table: Table, parts: int) -> int:
    """Capture *table*, which the caller's transaction has made and which is empty; return its id.

    The caller's transaction says that our own guard lets it pass (`migrator.ddl`), and holds SHARE ROW EXCLUSIVE locks
    on the tables `above` it.

    Raises:
        LookupError: a table above it is not captured.
    """
    before = captured_tables(conn)
    numbers = {t.qualified: n for n, t in before.items()}
    slots = _slots(conn, min(before))
    parents = [(numbers[name], before[numbers[name]]) for name in above(table)]
    number = store_tables(conn, [table])[table.qualified]
    others = [*before.items(), (number, table)]
    for statement in journal_sql.create_journal(table, number, slots):
        conn.execute(statement)
    for one, captured in (*parents, (number, table)):
        for event in trigger_sql.events(captured, others):
            conn.execute(trigger_sql.capture_function(captured, one, event, parts, slots, others))
        conn.execute(trigger_sql.leaf_function(captured, one, parts, slots, others))
    relations = relation_oids(conn)
    for one, parent in parents:
        if trigger_sql.names_new_rows_only(parent, list(before.items())):
            for member, oid in members(conn, relations[one]).items():
                for statement in trigger_sql.create_trigger(member, parent, one, "update", others, replace=True):
                    conn.execute(statement)
                conn.execute("SELECT migrator.note_facets(%s::oid, '{capture}')", (oid,))
    mine = members(conn, relations[number])
    for member in mine:
        for statement in (*capture_member(member, number, table, others, frozenset()), trigger_sql.widen_rekey(member)):
            conn.execute(statement)
    conn.execute("SELECT migrator.note_shape(%s::oid[])", (sorted(mine.values()),))
    conn.execute("SELECT migrator.note_own()")
    return number


def lock_above(conn: psycopg.Connection[Any], table: Table) -> None:
    """Keep other sessions from writing to the tables above *table* until the caller's transaction ends."""
    for name in above(table):
        conn.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(names.table_identifier(name)))


def _slots(conn: psycopg.Connection[Any], number: int) -> int:
    row = conn.execute(_SLOTS, (f"migrator.{names.journal(number)}",)).fetchone()
    return int(row[0]) if row else 0

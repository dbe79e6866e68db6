"""Drops a captured table on classic, while others stay captured.

Together with its triggers, its journal and its descriptor, in the caller's transaction: no write of it goes
unjournalled before, and nothing reads its journal afterwards. Where its tenant came from a parent, writes to that
parent (and to those above it) journalled its rows too: their functions are made anew, and their triggers where they
need to look at the old rows no more.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from migrator.catalog.details import oid_of
from migrator.catalog.read import foreign_keys
from migrator.control.journal import forget_dropped
from migrator.control.tables import captured_tables, forget_table, relation_oids
from migrator.dataplane.capture import names, trigger_sql
from migrator.dataplane.capture.install import capture_member, drop_journal, drop_triggers, members
from migrator.dataplane.capture.new_table import above
from migrator.dataplane.capture.reinstall import built
from migrator.model.table import Table, qualify


def drop_captured(conn: psycopg.Connection[Any], qualified: str) -> None:
    """Drop a table that no other captured table gets its tenant through, and stop its capture.

    The caller's transaction says that our own guard lets it pass (`migrator.ddl`). Nothing is done for a table that is
    not captured any more. Its partitions go with it.

    Raises:
        psycopg.errors.DependentObjectsStillExist: something needs it.
    """
    before = captured_tables(conn)
    numbers = {t.qualified: n for n, t in before.items()}
    number = numbers.get(qualified)
    if number is None:
        return
    table = before[number]
    parts, slots = built(conn, before)
    relations = relation_oids(conn)
    _lock(conn, table, number)
    mine = members(conn, relations[number])
    others = [(n, t) for n, t in before.items() if n != number]
    for name in above(table):
        _renew(conn, numbers[name], before[numbers[name]], relations[numbers[name]], (parts, slots), others)
    conn.execute(sql.SQL("DROP TABLE {}").format(names.table_identifier(qualified)))
    drop_journal(conn, number)
    forget_table(conn, number)
    forget_dropped(conn, sorted(mine.values()))
    conn.execute("SELECT migrator.note_own()")


def _renew(
    conn: psycopg.Connection[Any],
    number: int,
    parent: Table,
    relation: str,
    ring: tuple[int, int],
    others: trigger_sql.Others,
) -> None:
    """Make capture of a parent as if the table had never been below it; ring: mirror partitions and slots."""
    for event in trigger_sql.events(parent, others):
        conn.execute(trigger_sql.capture_function(parent, number, event, *ring, others))
    conn.execute(trigger_sql.leaf_function(parent, number, *ring, others))
    if not trigger_sql.names_new_rows_only(parent, others):
        return
    for member, oid in members(conn, relation).items():
        made = capture_member(member, number, parent, others, frozenset())
        for statement in (*drop_triggers(member), *made, trigger_sql.widen_rekey(member)):
            conn.execute(statement)
        conn.execute("SELECT migrator.note_facets(%s::oid, '{capture}')", (oid,))


def _lock(conn: psycopg.Connection[Any], table: Table, number: int) -> None:
    """Lock what the transaction takes away or changes, as DROP TABLE would.

    The journal first: no mirror is between its journals and its tables then, and new cycles wait with nothing in their
    hands. What writes the table, or moves rows above it, may be; then the caller tries again.
    """
    lock = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE")
    conn.execute(lock.format(sql.Identifier("migrator", names.journal(number))))
    keys = foreign_keys(conn, relation=oid_of(conn, table.qualified))
    referenced = {qualify(*key.parent) for key in keys} - {*above(table), table.qualified}
    only = sql.SQL("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE")
    for name in sorted(referenced):
        conn.execute(only.format(names.table_identifier(name)))
    for name in (*above(table), table.qualified):
        conn.execute(lock.format(names.table_identifier(name)))

"""Upgrades capture that an earlier version installed, without a write that is not journalled.

Its functions are replaced in one transaction: a statement that runs meanwhile calls the one or the other, and both
journal. Triggers stay as they are, so that no table of the application is locked. Guards are made anew in the same
transaction, so that commands are refused by the one set or the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from migrator.control.history import newest_report
from migrator.control.journal import note_loss, noted_tables
from migrator.control.partition import ages_s
from migrator.control.tables import captured_tables, find_relations, relation_oids
from migrator.dataplane.capture import install, names, trigger_sql
from migrator.dataplane.capture.reinstall import built
from migrator.inventory.look import set_aside
from migrator.inventory.read import SET_ASIDE
from migrator.model.incident import IncidentKind
from migrator.model.table import Table
from migrator.privileges.guards import drop_guard

_GUARDS = "SELECT evtname FROM pg_event_trigger WHERE evtname LIKE 'migrator\\_guard%'"

_TRIGGERS = """
SELECT t.tgname, p.proname, t.tgoldtable IS NOT NULL
  FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
 WHERE t.tgrelid = %s::oid AND t.tgenabled = 'A' AND p.pronamespace = 'migrator'::regnamespace
"""


def renew(conn: psycopg.Connection[Any], by: str = "migrator upgrade") -> None:
    """Make capture what this version would have made it, in the caller's transaction. Safe to run twice.

    Where capture was not intact before, that is recorded as a loss: mirrors stay stalled until everything is copied
    again. Nothing is done where nothing is captured.
    """
    tables = captured_tables(conn)
    if not tables:
        return
    conn.execute("SELECT set_config('migrator.ddl', 'capture', true)")
    for (name,) in conn.execute(_GUARDS).fetchall():
        # Of the earlier version: it would refuse what follows. Other sessions run them until all of this is committed.
        drop_guard(conn, str(name))
    find_relations(conn)
    whole, broken = _members(conn, tables)
    install.make_functions(conn, tables, *built(conn, tables))
    conn.execute("SELECT migrator.note_shape(%s::oid[])", (sorted(whole - noted_tables(conn)),))
    install.make_guards(conn)
    if newest_report(conn, SET_ASIDE) is None:
        set_aside(conn, {t.qualified for t in tables.values()}, {t.schema for t in tables.values()})
    # Before the first position nothing can have been lost: what is missing is made when capture goes on.
    if broken and ages_s(conn):
        note_loss(conn, broken, by, IncidentKind.CAPTURE.value)


def _members(conn: psycopg.Connection[Any], tables: Mapping[int, Table]) -> tuple[set[int], list[str]]:
    """Return the oids of all tables and partitions that have the triggers of this version, and what others lack."""
    relations = relation_oids(conn)
    others = list(tables.items())
    whole: set[int] = set()
    broken: list[str] = []
    for number, table in tables.items():
        if number not in relations:
            broken.append(f"table {table.qualified} does not exist any more")
            continue
        wanted = {names.trigger(event): names.function(number, event) for event in trigger_sql.events(table, others)}
        wanted[names.GUARD] = "refuse_truncate"
        new_rows_only = trigger_sql.names_new_rows_only(table, others)
        for member, oid in install.members(conn, relations[number]).items():
            found = {
                str(name)
                for name, function, sees_old in conn.execute(_TRIGGERS, (oid,))
                # One that sees new rows only will not do for a function that asks for the old ones.
                if function == wanted.get(name) and (name != names.trigger("update") or new_rows_only or sees_old)
            }
            if lacking := sorted(wanted.keys() - found):
                broken.append(f"table {member} lacks {', '.join(lacking)}, enabled ALWAYS as capture made them")
            else:
                whole.add(oid)
    return whole, broken

"""Reinstalls capture, before everything is copied again.

Its own parts are made anew: functions, triggers, event triggers. What was changed in the application's tables and types
is not for the tool to undo: a person does that, or undoes the dual write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from migrator.control.journal import forget_tables, note_table
from migrator.control.partition import ring_shape
from migrator.control.tables import captured_tables, relation_oids
from migrator.dataplane.capture import install, names, trigger_sql, watch
from migrator.errors import PreconditionFailed
from migrator.model.capture import Difference
from migrator.model.table import Table


def built(conn: psycopg.Connection[Any], tables: Mapping[int, Table]) -> tuple[int, int]:
    """Return for how many mirror partitions and slots of the ring capture of *tables* was made."""
    return ring_shape(conn, f"migrator.{names.journal(min(tables))}")


def reinstall(conn: psycopg.Connection[Any]) -> list[Difference]:
    """Make anew what differs of capture itself; returns that. Where nothing is captured nothing is done.

    Raises:
        PreconditionFailed: with everything that differs and is not capture's own; nothing was changed then.
        ClusterUnavailable: a table stayed locked; running it again goes on.
    """
    tables = captured_tables(conn)
    before = watch.differences(conn)
    if not before:
        return []
    oids = relation_oids(conn)
    _require_nothing([d for d in before if not d.ours and not _left(d, oids)])
    install.make_functions(conn, tables, *built(conn, tables))
    broken = {d.oid for d in before if d.kind == "table"}
    for number, table in tables.items():
        with install.own_ddl(conn):  # partitions that came or went meanwhile
            conn.execute("SELECT migrator.follow_leaves(%s)", (table.qualified,))
        for member, oid in install.members(conn, oids[number]).items():
            if oid in broken:
                statements = install.capture_member(member, number, table, list(tables.items()), frozenset())
                install.patiently(conn, member, [*install.drop_triggers(member), *statements, *_noted(member, oid)])
    forget_tables(conn, [d.oid for d in before if _left(d, oids)])
    install.make_guards(conn, {d.name for d in before if d.kind == "event trigger"})
    _require_nothing(watch.differences(conn))
    return before


def _left(found: Difference, roots: Mapping[int, str]) -> bool:
    """Return whether a partition left its table, which is nothing to put back."""
    return found.kind == "table" and found.code == "gone" and str(found.oid) not in roots.values()


def _noted(member: str, oid: int) -> list[sql.Composed]:
    """Return what tells the watch that *member* is captured: its triggers, or all of a partition it did not know."""
    return [trigger_sql.widen_rekey(member), note_table(oid)]


def _require_nothing(found: Sequence[Difference]) -> None:
    if found:
        raise PreconditionFailed(
            f"capture cannot be reinstalled: {'; '.join(d.text for d in found)}",
            hint="Put that back as it was and try again, or undo the dual write: migrator undo dual-write.",
        )

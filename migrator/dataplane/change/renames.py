"""Renames an index or a constraint on both sides.

Nothing in the mirror knows their names. Limitless renames an index, also that of a UNIQUE constraint or a primary key;
any other constraint is made there under its new name, validated, before the old one is dropped: it has no RENAME
CONSTRAINT.
"""

from __future__ import annotations

from dataclasses import replace

from psycopg import sql

from migrator.catalog import details
from migrator.control.provisioned import Made, forget, record
from migrator.dataplane.change import constraints
from migrator.dataplane.change.change import Change
from migrator.dataplane.change.change_sql import table_name
from migrator.dataplane.change.inspect import index_of
from migrator.dataplane.change.progress import Connection, Recorded, Work
from migrator.model.table import split_qualified

INDEXED = frozenset("iupx")
"""Indexes, and the sorts of constraints that an index carries out."""


def rename_on_limitless(work: Work, recorded: Recorded) -> None:
    """Rename an index, with the record of who made it."""
    change = recorded.change
    if change.condition not in INDEXED:
        return

    def act(conn: Connection) -> None:
        if index_of(conn, change.schema, change.name) is None or index_of(conn, change.schema, change.renamed):
            return
        conn.execute(rename_index(change))
        for kind, detail in (("index", ""), ("constraint", split_qualified(change.table)[1])):
            if forget(conn, Made(kind, change.schema, change.name, detail)):
                record(conn, Made(kind, change.schema, change.renamed, detail))

    work.patiently("limitless", change.words, act)


def rename_index(change: Change, schema: str = "") -> sql.Composed:
    return sql.SQL("ALTER INDEX {} RENAME TO {}").format(
        sql.Identifier(schema or change.schema, change.name), sql.Identifier(change.renamed)
    )


def rename_constraint(change: Change, table: sql.Identifier) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} RENAME CONSTRAINT {} TO {}").format(
        table, sql.Identifier(change.name), sql.Identifier(change.renamed)
    )


def rename_on_classic(work: Work, recorded: Recorded) -> None:
    """Rename it on classic, as the capture watch is told in the same transaction."""
    change = recorded.change
    table = table_name(change.table)

    def act(conn: Connection) -> None:
        there = details.constraints(conn, table)
        if change.condition == "i" and index_of(conn, change.schema, change.name) is not None:
            conn.execute(rename_index(change))
        elif change.condition != "i" and change.name in there and change.renamed not in there:
            conn.execute(rename_constraint(change, table))
        for oid in details.members(conn, table.as_string(conn)).values():
            conn.execute("SELECT migrator.note_facets(%s::oid, '{constraints}')", (oid,))

    with work.alone(change.words):
        work.patiently("classic", change.words, act)


def constrain_on_limitless(work: Work, recorded: Recorded) -> None:
    """Make a constraint that no index carries out under its new name.

    Raises:
        NoGo: rows there break it.
    """
    if recorded.change.condition not in INDEXED:
        change = recorded.change
        constraints.constrain_on_limitless(work, replace(recorded, change=replace(change, name=change.renamed)))


def release_on_limitless(work: Work, recorded: Recorded) -> None:
    """Drop a constraint of the old name, when the new one is there."""
    if recorded.change.condition not in INDEXED:
        constraints.release_on_limitless(work, recorded)

"""Adds a value to an enum on both sides: on Limitless first, so that it can take every row that has it.

Both sides sort rows by the order of an enum's values, so the value gets the same place there.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from migrator.catalog import details
from migrator.control.journal import note_labels
from migrator.dataplane.change.change import Change
from migrator.dataplane.change.change_sql import table_name
from migrator.dataplane.change.progress import Connection, Recorded, Work
from migrator.inventory.look import refresh


def labels_of(conn: Connection, qualified: str) -> list[str]:
    """Return the values of an enum on *conn*'s side, in order; none for a type that is no enum, or not there."""
    return details.labels(conn, table_name(qualified))


def with_label(labels: Sequence[str], label: str, neighbour: str, *, after: bool) -> list[str]:
    """Return *labels* with *label* behind or before its neighbour; behind all without one."""
    if label in labels:
        return list(labels)
    at = len(labels) if not neighbour else labels.index(neighbour) + after
    return [*labels[:at], label, *labels[at:]]


def place(labels: Sequence[str], label: str) -> tuple[str, bool]:
    """Return where *label* stands in *labels*: its neighbour, and whether it stands behind it."""
    at = labels.index(label)
    if at:
        return labels[at - 1], True
    return (labels[1], False) if len(labels) > 1 else ("", True)


def _add(change: Change) -> sql.Composed:
    where: sql.Composable = sql.SQL("")
    if change.neighbour:
        side = sql.SQL(" AFTER " if change.after else " BEFORE ")
        where = sql.Composed([side, sql.Literal(change.neighbour)])
    return sql.SQL("ALTER TYPE {} ADD VALUE IF NOT EXISTS {}{}").format(
        table_name(change.table), sql.Literal(change.name), where
    )


def label_on_limitless(work: Work, recorded: Recorded) -> None:
    work.limitless.execute(_add(recorded.change))
    refresh(work.classic, work.limitless)


def label_on_classic(work: Work, recorded: Recorded) -> None:
    """Add the value, and note it for the capture watch in the same transaction."""
    change = recorded.change

    def act(conn: Connection) -> None:
        conn.execute(_add(change))
        note_labels(conn, table_name(change.table).as_string(conn))

    work.patiently("classic", change.words, act)

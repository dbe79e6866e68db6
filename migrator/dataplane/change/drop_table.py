"""Drops a table on both sides.

Classic first, where one transaction takes the table, its journal and its descriptor away: what its journal still held
for mirrors goes with it, as the rows do. When nothing works with the table any more, Limitless drops it.
"""

from __future__ import annotations

import psycopg

from migrator.control import provisioned
from migrator.control.validation import set_table_gone
from migrator.dataplane.capture.dropped_table import drop_captured
from migrator.dataplane.change.change import Change
from migrator.dataplane.change.create import require_dual
from migrator.dataplane.change.progress import Connection, Recorded, Work
from migrator.db.error_text import server_message
from migrator.db.lock_retry import BUSY
from migrator.errors import NoGo
from migrator.inventory.look import refresh
from migrator.provision.ddl_sql import Record, drop

_DROPPED = frozenset({"table", "sequence"})
"""Kinds of records that have a statement of their own; the others go with their table."""


def drop_table_on_classic(work: Work, recorded: Recorded) -> None:
    """Drop it, with all that capture has of it.

    Raises:
        NoGo: something needs it by now; nothing was changed.
    """
    change = recorded.change

    def act(conn: Connection) -> None:
        conn.execute("SELECT set_config('migrator.ddl', 'capture', true)")
        require_dual(conn, change)
        drop_captured(conn, change.table)
        set_table_gone(conn, change.table, work.who)
        recorded.shape_changed(conn, "drop_table_on_classic")

    try:
        with work.alone(change.words):
            work.patiently("classic", change.words, act)
    except (*BUSY, psycopg.OperationalError):
        raise
    except psycopg.Error as error:
        raise NoGo(
            change.words,
            [f"classic refuses it: {server_message(error)}"],
            "The table is as it was; drop what needs it, and apply the file again.",
        ) from None
    work.tables.pop(change.table, None)
    if change.table in work.plan.tables.table:
        work.tell(
            f'the plan\'s file names {change.table}, which is gone: remove [tables.table."{change.table}"] from it,'
            " then: migrator plan apply PLAN --reason WHY --as NAME"
        )


def drop_table_on_limitless(work: Work, recorded: Recorded) -> None:
    """Drop it, and forget what provisioning knew of it.

    Raises:
        NoGo: something there needs it; the next run goes on from here.
    """
    change = recorded.change

    def act(conn: Connection) -> None:
        drop_there(conn, change)

    try:
        with work.alone(change.words):
            work.patiently("limitless", change.words, act)
    except psycopg.errors.DependentObjectsStillExist as error:
        raise NoGo(
            change.words,
            [f"classic has dropped it, and Limitless refuses: {server_message(error)}"],
            "Drop on Limitless what needs it, and apply the file again.",
        ) from None
    refresh(work.classic, work.limitless)


def drop_there(conn: Connection, change: Change) -> None:
    """Drop the table with its sequences, and forget that provisioning made them, in the caller's transaction."""
    provisioned.only_maker(conn)
    for made in change.there:
        if made.record[0] in _DROPPED:
            conn.execute(drop(Record(*made.record)))
        provisioned.forget(conn, provisioned.Made(*made.record))

"""Adds and drops a column on both sides.

To add: Limitless first, with what classic will give to rows that exist (a literal both sides take alike, never an
expression that each would compute for itself); then classic, together with the descriptor; and when nothing writes
without the column any more, Limitless gets the default as it was written. A default that differs from row to row
would rewrite classic's table, which hides its rows from older snapshots; such a column is added empty and filled in
batches on classic, through the journal.

To drop: first mirrors, copies and validations stop using it, then classic drops it, then Limitless.
"""

from __future__ import annotations

from dataclasses import replace

import psycopg

from migrator.control.change import set_filled
from migrator.control.partition import worst_lag_s
from migrator.dataplane.change import change_sql
from migrator.dataplane.change.barrier import wait_seen
from migrator.dataplane.change.inspect import columns_of
from migrator.dataplane.change.progress import Connection, Recorded, Work
from migrator.plan.tables import describe_table
from migrator.poll import until

FILL_ROWS = 1000
"""Existing rows one transaction fills."""

_MAX_LAG_S = 10.0


def add_on_limitless(work: Work, recorded: Recorded) -> None:
    change = recorded.change
    if change.name in columns_of(work.limitless, change.table):
        return

    def act(conn: Connection) -> None:
        conn.execute(change_sql.add_column(change, change_sql.table_name(change.table)))

    with work.alone(change.words):
        work.patiently("limitless", change.words, act)


def add_on_classic(work: Work, recorded: Recorded) -> None:
    change = recorded.change

    def act(conn: Connection) -> None:
        if change.name not in columns_of(conn, change.table):
            conn.execute(change_sql.add_column(change, change_sql.table_name(change.table)))
            if change.default:
                conn.execute(change_sql.set_default(change))
        work.describe(conn, describe_table(conn, work.planned, change.table))
        recorded.shape_changed(conn, "add_on_classic")

    with work.alone(change.words):
        work.patiently("classic", change.words, act)


def fill(work: Work, recorded: Recorded) -> None:
    """Give existing rows a default that differs from row to row, batch by batch; the journal carries them over."""
    change = recorded.change
    if not change.volatile:
        return
    table = work.tables[change.table]
    while True:
        upto = work.classic.execute(change_sql.next_keys(table, recorded.filled_to, FILL_ROWS)).fetchone()
        if upto is None:
            return
        key = tuple(str(value) for value in upto)

        def act(conn: Connection, key: tuple[str, ...] = key) -> None:
            _as_the_application(conn)
            conn.execute(change_sql.fill(change, table, recorded.filled_to, key))
            set_filled(conn, recorded.change_id, key)

        work.patiently("classic", change.words, act)
        recorded.filled_to = key
        _let_the_mirror_follow(work)


def _as_the_application(conn: Connection) -> None:
    """Fire only triggers that always fire (ours do): adding a column by itself would fire none either.

    Where that right is missing, the application's own fire, with the search path they expect.
    """
    try:
        with conn.transaction():
            conn.execute("SET LOCAL session_replication_role = replica")
    except psycopg.errors.InsufficientPrivilege:
        conn.execute("SET LOCAL search_path TO DEFAULT")


def _let_the_mirror_follow(work: Work) -> None:
    def follows() -> bool:
        lag_s = worst_lag_s(work.classic)
        if lag_s is None or lag_s < _MAX_LAG_S:
            return True
        work.tell(f"the mirror lags {lag_s:.0f} s; filling goes on when it has caught up")
        return False

    until(follows, work.timeout_s, 1.0)


def set_default_on_limitless(work: Work, recorded: Recorded) -> None:
    change = recorded.change
    if change.default:
        work.patiently("limitless", change.words, lambda conn: _run(conn, change_sql.set_default(change)))


def loosen_on_limitless(work: Work, recorded: Recorded) -> None:
    """Let rows be written without the column."""
    change = recorded.change
    column = columns_of(work.limitless, change.table).get(change.name)
    if column is not None and column[1]:
        with work.alone(change.words):
            work.patiently("limitless", change.words, lambda conn: _run(conn, change_sql.drop_not_null(change)))


def forget(work: Work, recorded: Recorded) -> None:
    """From here on no mirror, copy or validation that begins reads or writes the column."""
    change = recorded.change

    def act(conn: Connection) -> None:
        _without(work, conn, change.table, change.name)
        recorded.shape_changed(conn, "forget")

    work.patiently("classic", change.words, act)


def drop_on_classic(work: Work, recorded: Recorded) -> None:
    change = recorded.change

    def act(conn: Connection) -> None:
        conn.execute(change_sql.drop_column(change.name, change_sql.table_name(change.table)))
        # Again: a worker that started meanwhile may have described the table with the column.
        _without(work, conn, change.table, change.name)
        recorded.shape_changed(conn, "drop_on_classic")

    with work.alone(change.words):
        work.patiently("classic", change.words, act)


def drop_on_limitless(work: Work, recorded: Recorded) -> None:
    change = recorded.change
    table = change_sql.table_name(change.table)
    with work.alone(change.words):
        work.patiently("limitless", change.words, lambda conn: _run(conn, change_sql.drop_column(change.name, table)))


def _without(work: Work, conn: Connection, table: str, column: str) -> None:
    described = describe_table(conn, work.planned, table)
    work.describe(conn, replace(described, columns=tuple(c for c in described.columns if c.name != column)))


def _run(conn: Connection, statement: psycopg.sql.Composed) -> None:
    conn.execute(statement)


def know(work: Work, recorded: Recorded) -> None:
    """Wait until nothing works with the earlier shape."""
    if recorded.seen_from is None:  # the descriptor is committed, so what begins from here on reads it
        recorded.mark_seen(work.classic)
    wait_seen(work, recorded)

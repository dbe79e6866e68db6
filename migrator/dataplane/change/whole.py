"""Runs a whole statement of a migration, on both sides or on classic alone.

On classic the guard judges it as anybody's, and its record commits with it, so that it takes effect once. Limitless has
no such record: what runs there can run twice, or finds that it ran.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from migrator.dataplane.change.change import Change
from migrator.dataplane.change.create import as_owner, make_there
from migrator.dataplane.change.names import listed, looked_up_in
from migrator.dataplane.change.printed import Unfit, makes_routine, printed
from migrator.dataplane.change.progress import Connection, Recorded, Work
from migrator.db.error_text import server_message
from migrator.db.lock_retry import BUSY
from migrator.errors import NoGo
from migrator.inventory.look import refresh

_DONE = (
    psycopg.errors.DuplicateObject, psycopg.errors.DuplicateTable, psycopg.errors.DuplicateSchema,
    psycopg.errors.DuplicateFunction, psycopg.errors.UndefinedObject, psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedFunction,
)  # fmt: skip
"""What a side says that has it already, or has it no more. The check tried the statement, so it was done since."""


def drops(statement: str) -> bool:
    """Whether a statement takes something away: then classic comes first."""
    return statement[:5].upper() == "DROP "


def run_there(conn: Connection, change: Change) -> None:
    """Run what Limitless gets for a whole statement, in the caller's transaction there."""
    for made in change.there:
        with looked_up_in(conn, change.path):
            if made.record[0]:
                make_there(conn, [made])
            else:
                for statement in made.statements:
                    conn.execute(sql.SQL(statement))


def first_on_limitless(work: Work, recorded: Recorded) -> None:
    """Run it on Limitless, unless it takes something away.

    Raises:
        NoGo: classic refuses a view or a function, or Limitless cannot have it; nothing was changed.
    """
    change = recorded.change
    if not change.there and makes_routine(change):
        _print(work, recorded)
    if not drops(change.statement):
        _on_limitless(work, recorded)


def _print(work: Work, recorded: Recorded) -> None:
    """Take what Limitless gets from classic, where it is made and rolled back: what it rests on is there by now."""
    found = [recorded.change]

    def act(conn: Connection) -> None:
        with conn.transaction(force_rollback=True):
            found[0] = printed(conn, work.limitless, work.plan.tables.schemas, recorded.change)

    try:
        work.patiently("classic", recorded.change.words, act, guarded=True)
    except (*BUSY, psycopg.OperationalError):
        raise
    except psycopg.Error as error:
        why = f"classic refuses it: {server_message(error)}"
    except Unfit as error:
        why = str(error)
    else:
        recorded.restate(work.classic, found[0])
        return
    raise NoGo(recorded.change.words, [why], "Changes before it are done; correct it and apply the file again.")


def last_on_limitless(work: Work, recorded: Recorded) -> None:
    """Run it on Limitless, if it takes something away."""
    if drops(recorded.change.statement):
        _on_limitless(work, recorded)


def _on_limitless(work: Work, recorded: Recorded) -> None:
    change = recorded.change

    def act(conn: Connection) -> None:
        run_there(conn, change)

    try:
        work.patiently("limitless", change.words, act)
    except _DONE as error:
        work.tell(f"{change.words}: Limitless has it so: {server_message(error)}")
    refresh(work.classic, work.limitless)


def on_classic(work: Work, recorded: Recorded) -> None:
    """Run it on classic, once.

    Raises:
        NoGo: classic refuses it; Limitless is as before then, where that can be.
    """
    change = recorded.change
    if change.late:
        _alone(work, recorded)
        return

    def act(conn: Connection) -> None:
        if change.condition == "w":  # it waits for rows, and no session waits for it
            conn.execute("SELECT set_config('lock_timeout', '0', true)")
        with as_owner(conn, change.owner), looked_up_in(conn, change.path):
            conn.execute(sql.SQL(change.statement))
        recorded.done(conn, "on_classic")

    step = recorded.step
    try:
        work.patiently("classic", change.words, act, guarded=True)
    except (*BUSY, psycopg.OperationalError):
        recorded.step = step
        raise
    except psycopg.Error as error:
        recorded.step = step
        back_on_limitless(work, recorded)
        raise NoGo(
            change.words,
            [f"classic refuses it: {server_message(error)}"],
            "Changes before it are done; correct it and apply the file again.",
        ) from None


def back_on_limitless(work: Work, recorded: Recorded) -> None:
    """Give Limitless back what it had before `first_on_limitless`."""
    change = recorded.change
    if change.before and not drops(change.statement):
        work.patiently("limitless", change.words, lambda conn: _run(conn, change.before))
        refresh(work.classic, work.limitless)
    recorded.done(work.classic, "")


def _alone(work: Work, recorded: Recorded) -> None:
    """Run what takes no transaction; it may run again."""
    change = recorded.change
    work.classic.execute(
        "SELECT set_config('search_path', %s, false), set_config('lock_timeout', '0', false)", (listed(change.path),)
    )
    try:
        work.classic.execute(sql.SQL(change.statement))
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise NoGo(change.words, [f"classic refuses it: {server_message(error)}"]) from None
    finally:
        if not work.classic.broken:
            work.classic.execute("SELECT set_config('search_path', 'pg_catalog', false)")


def _run(conn: Connection, statement: str) -> None:
    conn.execute(sql.SQL(statement))

"""What adopting consists of: a task is one step of it; what cannot be adopted is left, with advice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from migrator.control.route import locked_write_mode
from migrator.control.tables import captured_size
from migrator.dataplane.capture.names import table_identifier
from migrator.dataplane.change.progress import Connection, Work
from migrator.errors import NoGo
from migrator.model.route import WriteMode
from migrator.model.table import Table


@dataclass(frozen=True, slots=True)
class Task:
    """One step, safe to repeat.

    Attributes:
        name: which step it is, the same for everything that takes it.
        words: what it does to what, for the operator.
    """

    name: str
    words: str
    act: Callable[[Work], None]


@dataclass(frozen=True, slots=True)
class Left:
    """Something that is not brought to the other side: what is true, and what to do about it."""

    subject: str
    text: str
    advice: str

    def __str__(self) -> str:
        return f"{self.text}. {self.advice}"


def keep_writers_out(conn: Connection, table: Table, words: str, write_pause_s: float) -> None:
    """Lock *table* against writers until the caller's transaction on classic ends, and bound its statements.

    Our own guard lets the transaction pass from here on.

    Raises:
        NoGo: writes do not go to classic.
    """
    conn.execute("SELECT set_config('migrator.ddl', 'capture', true)")
    mode = locked_write_mode(conn)
    if mode is not WriteMode.DUAL:
        raise NoGo(words, [f"the write mode is {mode}, not dual"])
    conn.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(table_identifier(table.qualified)))
    limit_pause(conn, write_pause_s)


def limit_pause(conn: Connection, write_pause_s: float) -> None:
    """Bound every statement of the caller's transaction: one of them journals all keys."""
    conn.execute("SELECT set_config('statement_timeout', %s, true)", (str(round(write_pause_s * 1000)),))


@contextmanager
def bounded(words: str, write_pause_s: float) -> Iterator[None]:
    """Say what to do when a statement inside takes longer than writers may wait.

    Raises:
        NoGo: it did.
    """
    try:
        yield
    except psycopg.errors.QueryCanceled:
        raise NoGo(
            words,
            [f"journalling the keys of its rows takes longer than {write_pause_s:g} s, while its writers wait"],
            hint="Allow more, at an hour with few writes: --write-pause SECONDS. Nothing was changed on classic.",
        ) from None


def copy_cost(conn: Connection) -> str:
    """Return what beginning dual write again would cost, as advice."""
    return (
        "or begin dual write again, which copies everything anew"
        f" ({captured_size(conn)} with indexes, while reads come from classic): migrator undo dual-write, then"
        " migrator run"
    )

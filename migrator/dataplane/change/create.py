"""Creates a new table, type or sequence on both sides, and captures a table from its creation.

Limitless first, so that it can take every row. Then classic, where the transaction that makes the table also captures
it: no write can pass unjournalled, nothing has to be copied, and no tenant leaves the mirrored set. Mirrors take the
table up in the snapshot in which they first see it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import psycopg
from psycopg import sql

from migrator.control import provisioned
from migrator.control.route import locked_write_mode
from migrator.dataplane.capture.new_table import capture_new, lock_above
from migrator.dataplane.change import change_sql
from migrator.dataplane.change.change import Change, Made
from migrator.dataplane.change.kinds import Kind
from migrator.dataplane.change.names import looked_up_in
from migrator.dataplane.change.progress import Connection, Recorded, Work
from migrator.db.error_text import server_message
from migrator.db.lock_retry import BUSY
from migrator.errors import NoGo
from migrator.inventory.look import refresh
from migrator.model.route import WriteMode
from migrator.model.table import Table
from migrator.plan.schema import TablePlan, Tables
from migrator.plan.tables import describe_table
from migrator.provision.ddl_sql import Record, Step, drop
from migrator.provision.one import link_steps, make, right_steps, rights_differ


def exists(conn: Connection, kind: Kind, schema: str, name: str) -> bool:
    """Return whether *conn*'s side has a relation, or a type, of this name."""
    query = "SELECT to_regtype(%s) IS NOT NULL" if kind is Kind.CREATE_TYPE else "SELECT to_regclass(%s) IS NOT NULL"
    row = conn.execute(query, (sql.Identifier(schema, name).as_string(conn),)).fetchone()
    return bool(row and row[0])


def planned(tables: Tables, change: Change) -> Tables:
    """Return *tables* with what is said about the table of *change*."""
    if not change.entry:
        return tables
    return tables.model_copy(update={"table": {**tables.table, change.table: TablePlan(**change.entry)}})


@contextmanager
def as_owner(conn: Connection, owner: str) -> Iterator[None]:
    """Act as *owner* in the caller's transaction, so that what is made is theirs, with their default privileges."""
    before = conn.execute("SELECT current_setting('role')").fetchone()
    if owner:
        conn.execute("SELECT set_config('role', %s, true)", (owner,))
    yield
    if owner:
        conn.execute("SELECT set_config('role', %s, true)", (before[0] if before else "none",))


def create(conn: Connection, change: Change) -> None:
    """Make it on classic, a table without its foreign keys, in the caller's transaction."""
    with as_owner(conn, change.owner), looked_up_in(conn, change.path):
        conn.execute(sql.SQL(change.statement))


def link(conn: Connection, change: Change) -> None:
    """Make the foreign keys of a new table on classic."""
    with as_owner(conn, change.owner):
        for text in change.links:
            conn.execute(sql.SQL("ALTER TABLE {} ADD {}").format(change_sql.table_name(change.table), sql.SQL(text)))


def make_there(conn: Connection, made: Sequence[Made]) -> None:
    """Make *made* in the caller's transaction on Limitless."""
    for one in made:
        make(conn, Record(*one.record), [sql.SQL(text) for text in one.statements], one.settings)


def make_on_limitless(work: Work, recorded: Recorded) -> None:
    """Make what classic is about to have; it is there already when an earlier run came so far.

    Raises:
        NoGo: a table of this name holds rows there.
    """
    change = recorded.change

    def act(conn: Connection) -> None:
        if not exists(conn, change.kind, change.schema, change.name):
            make_there(conn, change.there)

    work.patiently("limitless", change.words, act)
    if change.kind is Kind.CREATE_TABLE and filled(work.limitless, change.table):
        raise NoGo(
            change.words, [f"{change.table} holds rows on Limitless, and is not on classic yet"], "Empty it there."
        )
    refresh(work.classic, work.limitless)


def filled(limitless: Connection, table: str) -> bool:
    """Return whether *table* holds rows on Limitless."""
    row = limitless.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(change_sql.table_name(table))).fetchone()
    return bool(row and row[0])


def make_on_classic(work: Work, recorded: Recorded) -> None:
    """Make it on classic; a table with its capture, in one transaction.

    Raises:
        NoGo: classic refuses it by now; Limitless is as before then.
    """
    change = recorded.change
    made: list[Table] = []

    def act(conn: Connection) -> None:
        made.clear()
        conn.execute("SELECT set_config('migrator.ddl', 'capture', true)")
        require_dual(conn, change)
        create(conn, change)
        if change.kind is Kind.CREATE_TABLE:
            entries = planned(work.planned, change)
            lock_above(conn, describe_table(conn, entries, change.table))
            link(conn, change)
            made.append(describe_table(conn, entries, change.table))
            capture_new(conn, made[0], work.plan.dual_write.parts)
        recorded.shape_changed(conn, "make_on_classic")

    try:
        work.patiently("classic", change.words, act)
    except (*BUSY, psycopg.OperationalError):
        raise
    except psycopg.Error as error:
        take_back(work, recorded)
        raise NoGo(
            change.words, [f"classic refuses it: {server_message(error)}"], "Limitless is as it was before."
        ) from None
    for table in made:
        work.tables[table.qualified] = table
        if change.entry and change.table not in work.plan.tables.table:
            work.tell(
                f"the plan's file does not name {change.table}: before starting dual write again, add"
                f' [tables.table."{change.table}"] with '
                + ", ".join(f'{name} = "{value}"' for name, value in change.entry.items() if name != "key")
            )


def require_dual(conn: Connection, change: Change) -> None:
    """Keep writes from being closed, or moved to Limitless, until the caller's transaction on classic ends.

    Raises:
        NoGo: they are.
    """
    mode = locked_write_mode(conn)
    if mode is not WriteMode.DUAL:
        raise NoGo(change.words, [f"the write mode is {mode}, not dual"])


def take_back(work: Work, recorded: Recorded) -> None:
    """Drop on Limitless what was made for something that classic does not get: it cannot hold rows."""
    with work.limitless.transaction():
        for one in reversed(recorded.change.there):
            work.limitless.execute(drop(Record(*one.record)))
            provisioned.forget(work.limitless, provisioned.Made(*one.record))
    recorded.done(work.classic, "")
    refresh(work.classic, work.limitless)


def link_on_limitless(work: Work, recorded: Recorded) -> None:
    """Make the foreign keys that the other tables have there by now, checked at commit."""
    change = recorded.change
    tables = list(work.tables.values())
    steps = link_steps(work.classic, work.limitless, tables, work.plan, change.table)
    if steps:
        with work.alone(change.words):
            work.patiently("limitless", change.words, lambda conn: _run(conn, steps))


def grant_on_limitless(work: Work, recorded: Recorded) -> None:
    """Give Limitless the rights that classic has on it: by default privileges, and as its owner.

    What Limitless refuses is reported, and stops nothing here: the gates compare rights by themselves.
    """
    change = recorded.change
    words = {Kind.CREATE_TABLE: "table", Kind.CREATE_TYPE: "type", Kind.CREATE_SEQUENCE: "sequence"}
    made = [(words[change.kind], change.schema, change.name), *(one.record[:3] for one in change.there)]
    found = right_steps(work.classic, work.limitless, list(work.tables.values()), work.plan, made)
    for step in found:
        try:
            work.patiently("limitless", change.words, partial(_run, found=[step]))
        except (*BUSY, psycopg.OperationalError):
            raise
        except psycopg.Error as error:  # the gates name what is missing for it
            work.tell(f"{change.words}: Limitless refuses: {step.label}: {server_message(error)}")
    for difference in rights_differ(work.classic, work.limitless, work.plan):
        work.tell(f"rights: {difference}")


def _run(conn: Connection, found: Sequence[Step]) -> None:
    for step in found:
        make(conn, step.record, step.statements, dict(step.settings))

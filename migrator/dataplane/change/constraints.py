"""Adds, validates and drops a constraint on both sides.

To add: classic first, NOT VALID, which looks at no row, then validated while writers go on; Limitless gets it when it
holds a state in which every row follows it. To drop: Limitless first. In between Limitless never refuses a row that
classic accepted.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from migrator.catalog.details import constraints as constraints_of
from migrator.control.provisioned import Made, forget
from migrator.dataplane.change import create
from migrator.dataplane.change.change import Change
from migrator.dataplane.change.change_sql import table_name
from migrator.dataplane.change.progress import Connection, Recorded, Work
from migrator.db.error_text import server_message
from migrator.errors import NoGo
from migrator.model.table import split_qualified

_STALE = "Rows of quarantined tenants are not up to date: migrator mirror retry --all, then apply it again."


def definition(change: Change, parent: sql.Identifier | None = None) -> sql.Composed:
    """Return what follows ADD, with the name; a foreign key leads to *parent* where that is given."""
    text: sql.Composable = sql.SQL(change.statement)
    if change.condition == "f":
        target = parent or table_name(change.parent)
        text = sql.SQL("{} REFERENCES {} {}").format(text, target, sql.SQL(change.tail))
    head = sql.SQL("CONSTRAINT {} ").format(sql.Identifier(change.name)) if change.name else sql.SQL("")
    return sql.Composed([head, text])


def add(change: Change, table: sql.Identifier, parent: sql.Identifier | None = None) -> sql.Composed:
    """Return the statement that adds it without looking at rows."""
    return sql.SQL("ALTER TABLE {} ADD {} NOT VALID").format(table, definition(change, parent))


def drop(change: Change, name: str, table: sql.Identifier | None = None) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}").format(
        table or table_name(change.table), sql.Identifier(name)
    )


def validate(table: sql.Identifier, name: str) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(table, sql.Identifier(name))


def constrain_on_classic(work: Work, recorded: Recorded) -> None:
    """Add it to classic, where no row is looked at yet."""
    change = recorded.change
    table = table_name(change.table)

    def act(conn: Connection) -> None:
        if change.name not in constraints_of(conn, table):
            conn.execute(add(change, table))

    with work.alone(change.words):
        work.patiently("classic", change.words, act)


def index_to_constraint(work: Work, recorded: Recorded) -> None:
    """Make classic's new unique index a constraint."""
    change = recorded.change
    table = table_name(change.table)
    statement = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} UNIQUE USING INDEX {}{}").format(
        table, sql.Identifier(change.name), sql.Identifier(change.name), sql.SQL(change.statement)
    )

    def act(conn: Connection) -> None:
        if change.name not in constraints_of(conn, table):
            conn.execute(statement)

    with work.alone(change.words):
        work.patiently("classic", change.words, act)


def validate_on_classic(work: Work, recorded: Recorded) -> None:
    """Look at the rows while writers go on.

    Raises:
        NoGo: a row breaks it. One that this change added is dropped again.
    """
    change = recorded.change
    table = table_name(change.table)
    found = constraints_of(work.classic, table).get(change.name)
    if change.late or (found is not None and found.validated):
        return
    try:
        work.patiently("classic", change.words, lambda conn: _run(conn, validate(table, change.name)))
    except psycopg.IntegrityError as error:
        why = server_message(error)
        if change.condition:
            release_on_classic(work, recorded)
            recorded.done(work.classic, "")
        raise NoGo(
            change.words, [f"classic's rows do not allow it: {why}"], "Correct the rows and apply it again."
        ) from None


def constrain_on_limitless(work: Work, recorded: Recorded) -> None:
    """Give Limitless the constraint: a CHECK in two steps as on classic, a foreign key as provisioning makes it.

    Raises:
        NoGo: rows there break it.
    """
    change = recorded.change
    table = table_name(change.table)
    here = constraints_of(work.classic, table).get(change.name)
    if here is None or not here.validated:
        return
    if here.sort == "f":
        create.link_on_limitless(work, recorded)
        return
    there = constraints_of(work.limitless, table).get(change.name)
    try:
        if there is None:
            statement = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {} NOT VALID").format(
                table, sql.Identifier(change.name), sql.SQL(here.definition.removesuffix(" NOT VALID"))
            )
            with work.alone(change.words):
                work.patiently("limitless", change.words, lambda conn: _run(conn, statement))
        if there is None or not there.validated:
            work.patiently("limitless", change.words, lambda conn: _run(conn, validate(table, change.name)))
    except psycopg.IntegrityError as error:
        raise NoGo(change.words, [f"rows on Limitless break it: {server_message(error)}"], _STALE) from None


def release_on_limitless(work: Work, recorded: Recorded) -> None:
    """Drop it on Limitless, where a UNIQUE constraint may be an index."""
    change = recorded.change
    schema, name = split_qualified(change.table)

    def act(conn: Connection) -> None:
        conn.execute(drop(change, change.name))
        if change.condition == "u":
            conn.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(schema, change.name)))
            forget(conn, Made("index", schema, change.name, ""))
        forget(conn, Made("constraint", schema, change.name, name))

    with work.alone(change.words):
        work.patiently("limitless", change.words, act)


def release_on_classic(work: Work, recorded: Recorded) -> None:
    change = recorded.change
    with work.alone(change.words):
        work.patiently("classic", change.words, lambda conn: _run(conn, drop(change, change.name)))


def _run(conn: Connection, statement: sql.Composed) -> None:
    conn.execute(statement)

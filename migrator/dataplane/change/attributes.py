"""Changes NOT NULL, a default and a type of a column on both sides.

What forbids more comes to classic first, what forbids less to Limitless first. A default matters on classic, where rows
are written; Limitless gets it for the time after. A wider type comes to Limitless first, then to classic together with
the descriptor, so that no mirror reads a value that its column there does not hold.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from migrator.catalog.details import constraints as constraints_of
from migrator.dataplane.change import constraints
from migrator.dataplane.change.change import Change
from migrator.dataplane.change.change_sql import table_name
from migrator.dataplane.change.inspect import columns_of
from migrator.dataplane.change.names import MAX_NAME_BYTES
from migrator.dataplane.change.progress import Connection, Recorded, Work
from migrator.db.error_text import server_message
from migrator.errors import NoGo
from migrator.plan.tables import describe_table


def _helper(change: Change) -> str:
    """Return the name of the CHECK that lets SET NOT NULL look at no row."""
    return f"migrator_not_null_{change.name}".encode()[:MAX_NAME_BYTES].decode(errors="ignore")


def _not_null(conn: Connection, change: Change) -> bool:
    return columns_of(conn, change.table)[change.name][1]


def null(change: Change, table: sql.Identifier, *, wanted: bool) -> sql.Composed:
    """Return the statement that forbids NULL, or allows it."""
    return sql.SQL("ALTER TABLE {} ALTER COLUMN {} {}").format(
        table, sql.Identifier(change.name), sql.SQL("SET NOT NULL" if wanted else "DROP NOT NULL")
    )


def _describe(work: Work, conn: Connection, recorded: Recorded, step: str) -> None:
    work.describe(conn, describe_table(conn, work.planned, recorded.change.table))
    recorded.shape_changed(conn, step)


def _checked(work: Work, recorded: Recorded, side: str) -> None:
    """Add the helper and validate it, so that rows are looked at while they are written."""
    change = recorded.change
    conn = work.classic if side == "classic" else work.limitless
    table, name = table_name(change.table), _helper(change)
    if _not_null(conn, change):
        return

    def add(conn: Connection) -> None:
        if name not in constraints_of(conn, table):
            conn.execute(
                sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} CHECK ({} IS NOT NULL) NOT VALID").format(
                    table, sql.Identifier(name), sql.Identifier(change.name)
                )
            )

    with work.alone(change.words):
        work.patiently(side, change.words, add)
    work.patiently(side, change.words, lambda conn: _run(conn, constraints.validate(table, name)))


def _set(conn: Connection, change: Change) -> None:
    conn.execute(null(change, table_name(change.table), wanted=True))
    conn.execute(
        sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}").format(
            table_name(change.table), sql.Identifier(_helper(change))
        )
    )


def check_not_null_on_classic(work: Work, recorded: Recorded) -> None:
    """Have classic refuse NULL, and look at its rows.

    Raises:
        NoGo: a row has NULL; classic is as it was.
    """
    change = recorded.change
    try:
        _checked(work, recorded, "classic")
    except psycopg.IntegrityError as error:
        drop_helper_on_classic(work, recorded)
        raise NoGo(
            change.words, [f"classic's rows do not allow it: {server_message(error)}"], "Fill them and apply it again."
        ) from None


def drop_helper_on_classic(work: Work, recorded: Recorded) -> None:
    """Take back what `check_not_null_on_classic` did."""
    _drop_helper(work, recorded, "classic")


def drop_helper(work: Work, recorded: Recorded) -> None:
    """Drop the CHECK that looks for NULL on both sides."""
    _drop_helper(work, recorded, "limitless")
    _drop_helper(work, recorded, "classic")


def _drop_helper(work: Work, recorded: Recorded, side: str) -> None:
    change = recorded.change
    statement = sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}").format(
        table_name(change.table), sql.Identifier(_helper(change))
    )
    with work.alone(change.words):
        work.patiently(side, change.words, lambda conn: _run(conn, statement))


def set_not_null_on_classic(work: Work, recorded: Recorded) -> None:
    change = recorded.change

    def act(conn: Connection) -> None:
        _set(conn, change)
        _describe(work, conn, recorded, "set_not_null_on_classic")

    with work.alone(change.words):
        work.patiently("classic", change.words, act)


def set_not_null_on_limitless(work: Work, recorded: Recorded) -> None:
    """Have Limitless refuse NULL as well.

    Raises:
        NoGo: a row there has NULL.
    """
    change = recorded.change
    try:
        _checked(work, recorded, "limitless")
        with work.alone(change.words):
            work.patiently("limitless", change.words, lambda conn: _set(conn, change))
    except psycopg.IntegrityError as error:
        raise NoGo(
            change.words,
            [f"rows on Limitless do not allow it: {server_message(error)}"],
            "Rows of quarantined tenants are not up to date: migrator mirror retry --all, then apply it again.",
        ) from None


def drop_not_null_on_classic(work: Work, recorded: Recorded) -> None:
    change = recorded.change

    def act(conn: Connection) -> None:
        conn.execute(null(change, table_name(change.table), wanted=False))
        _describe(work, conn, recorded, "drop_not_null_on_classic")

    with work.alone(change.words):
        work.patiently("classic", change.words, act)


def default_on_classic(work: Work, recorded: Recorded) -> None:
    with work.alone(recorded.change.words):
        work.patiently("classic", recorded.change.words, lambda conn: _run(conn, default(recorded.change)))


def default_on_limitless(work: Work, recorded: Recorded) -> None:
    with work.alone(recorded.change.words):
        work.patiently("limitless", recorded.change.words, lambda conn: _run(conn, default(recorded.change)))


def default(change: Change, table: sql.Identifier | None = None) -> sql.Composed:
    """Return the statement that gives the column its default, or takes it."""
    what = sql.SQL("SET DEFAULT {}").format(sql.SQL(change.default)) if change.default else sql.SQL("DROP DEFAULT")
    return sql.SQL("ALTER TABLE {} ALTER COLUMN {} {}").format(
        table or table_name(change.table), sql.Identifier(change.name), what
    )


def change_type(change: Change, table: sql.Identifier) -> sql.Composed:
    collation = sql.SQL(" COLLATE {}").format(sql.SQL(change.collation)) if change.collation else sql.SQL("")
    return sql.SQL("ALTER TABLE {} ALTER COLUMN {} TYPE {}{}").format(
        table, sql.Identifier(change.name), sql.SQL(change.type), collation
    )


def type_on_limitless(work: Work, recorded: Recorded) -> None:
    change = recorded.change
    statement = change_type(change, table_name(change.table))
    with work.alone(change.words):
        work.patiently("limitless", change.words, lambda conn: _run(conn, statement))


def type_on_classic(work: Work, recorded: Recorded) -> None:
    change = recorded.change

    def act(conn: Connection) -> None:
        conn.execute(change_type(change, table_name(change.table)))
        _describe(work, conn, recorded, "type_on_classic")

    with work.alone(change.words):
        work.patiently("classic", change.words, act)


def _run(conn: Connection, statement: sql.Composed) -> None:
    conn.execute(statement)

"""Says what each migrated table of classic held in the end, and whether a restored copy holds the same.

Count and digest of all rows in one statement a table, on one server after the other: the digest is a sum of hashes of
the rows' text, so no order is needed, and both are of the same engine under the same session settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from migrator.control import history, retirement
from migrator.control.install import installed_version
from migrator.control.tables import captured_tables, dump_table, load_table
from migrator.model.counted import counted
from migrator.model.retirement import FinalTable
from migrator.model.table import Table
from migrator.plan.schema import Tables
from migrator.provision.tables import tables_in_force

Connection = psycopg.Connection[Any]

_ROWS = sql.SQL("""
SELECT count(*), coalesce(sum(hashtextextended(t::text COLLATE "C", 0)::numeric), 0)::text FROM {} AS t
""")

SHOWN = 10


_CAPTURED = "decommission.tables"


def remember_tables(classic: Connection) -> None:
    """Keep which tables were captured, before capture is removed: the plan a worker began with may not know them."""
    if captured := captured_tables(classic):
        body = {"tables": [dump_table(table) for table in captured.values()]}
        history.add_report_if_new(classic, _CAPTURED, body)


def migrated_tables(conn: Connection, tables: Tables) -> tuple[Table, ...]:
    """Return the migrated tables of classic or of a copy of it, also where capture was removed.

    Raises:
        PlanInvalid: none were ever captured there, and the plan does not fit the catalog.
    """
    without_capture = installed_version(conn) is not None and not captured_tables(conn)
    if without_capture and (remembered := history.newest_report(conn, _CAPTURED)) is not None:
        return tuple(load_table(body) for body in remembered["body"]["tables"])
    return tables_in_force(conn, tables)


def of_table(conn: Connection, table: Table) -> FinalTable:
    """Return what *table* holds on *conn*'s server: reads all of it."""
    row = conn.execute(_ROWS.format(sql.Identifier(table.schema, table.name))).fetchone()
    assert row is not None
    return FinalTable(table.qualified, int(row[0]), str(row[1]))


def keep(classic: Connection, limitless: Connection, tables: Sequence[Table]) -> int:
    """Store what each of *tables* holds on classic, which takes no writes any more; return how many there were left.

    Killed anywhere, it goes on with the tables that are left.
    """
    known = retirement.tables(limitless)
    left = [table for table in tables if table.qualified not in known]
    for table in left:
        retirement.put_table(limitless, of_table(classic, table))
    return len(left)


def compared(conn: Connection, wanted: Mapping[str, FinalTable], tables: Iterable[Table]) -> list[str]:
    """Return in what a restored copy on *conn* differs from what classic held; empty when it is the same."""
    there = {table.qualified: table for table in tables}
    return differences(wanted, there, lambda table: of_table(conn, table))


def differences(
    wanted: Mapping[str, FinalTable], there: Mapping[str, Table], read: Callable[[Table], FinalTable]
) -> list[str]:
    """Return in what the tables *there* differ from those *wanted*."""
    if not wanted:
        return ["nothing is known of what classic held in the end, so nothing could be compared"]
    problems = [f"table {name} is missing" for name in sorted(wanted.keys() - there.keys())]
    for name in sorted(wanted.keys() & there.keys()):
        found, table = read(there[name]), wanted[name]
        if found.rows != table.rows:
            problems.append(f"table {name} has {counted(found.rows, 'row')}, classic had {table.rows:,}")
        elif found.digest != table.digest:
            problems.append(f"table {name} has as many rows as classic had ({table.rows:,}), and other ones")
    return problems
